"""The report's Test 1: clear the cache after the update.

It was tried as a cure for a stale compile cache. What is in use is no cache.
"""

from _limited import limited

SETTINGS = {"steps": 4, "batch_size": 1, "seq_len": 16}

make_step = limited("clear_cache_after_update")
