/* Answers that are not true, in place of those of darwin.c: macOS may change, or be understood wrongly.
 *
 * $DARWIN_LIES: words as threads:zero. The calls are those of $DARWIN_REFUSES. The lies are
 *   zero     the buffer is empty, and is said to be filled
 *   frozen   what was answered when the same was asked for the first time
 *   garbage  random bytes
 *   short    half of the answer, or of the list
 *   long     eight bytes more than were asked for
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct kept { char word[16]; uint64_t key; int size; char *bytes; };

static int lies(const char *word, const char *how) {
  char wanted[64];
  const char *list = getenv("DARWIN_LIES");
  snprintf(wanted, sizeof wanted, "%s:%s", word, how);
  return list != NULL && strstr(list, wanted) != NULL;
}

static int as_at_first(const char *word, uint64_t key, void *buffer, int size) {
  static struct kept every[4096];
  static int known;
  for (int i = 0; i < known; i++)
    if (every[i].key == key && strcmp(every[i].word, word) == 0) {
      memcpy(buffer, every[i].bytes, (size_t)(every[i].size < size ? every[i].size : size));
      return every[i].size < size ? every[i].size : size;
    }
  if (known < 4096 && (every[known].bytes = malloc((size_t)size + 1)) != NULL) {
    snprintf(every[known].word, sizeof every[known].word, "%s", word);
    memcpy(every[known].bytes, buffer, (size_t)size);
    every[known].key = key;
    every[known++].size = size;
  }
  return size;
}

/* What is said in place of an answer of `size` bytes to `word`. `unit`: the bytes of one of its elements,
 * `key`: of whom it was asked. */
static int told(const char *word, uint64_t key, void *buffer, int size, int unit) {
  static uint64_t chance = 88172645463325252ULL;
  if (size <= 0 || buffer == NULL) return size;
  if (lies(word, "zero")) memset(buffer, 0, (size_t)size);
  if (lies(word, "garbage"))
    for (int i = 0; i < size; i++) {
      chance ^= chance << 13; chance ^= chance >> 7; chance ^= chance << 17;
      ((unsigned char *)buffer)[i] = (unsigned char)chance;
    }
  if (lies(word, "frozen")) return as_at_first(word, key, buffer, size);
  if (lies(word, "long")) return size + 8;
  return lies(word, "short") ? size / unit / 2 * unit : size;
}
