// Waits of C++, each with its truth: the function that a hung thread is in is named after it.
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <future>
#include <mutex>
#include <thread>
#include <unistd.h>

#define OWN __attribute__((noinline, noipa)) static

static std::mutex weights, log_file;
static std::condition_variable batch;
static bool there = false;

OWN void lock_weights_then_log() {
    std::lock_guard<std::mutex> first(weights);
    usleep(200000);
    std::lock_guard<std::mutex> second(log_file);
    puts("both");
}

OWN void lock_log_then_weights() {
    std::lock_guard<std::mutex> first(log_file);
    usleep(200000);
    std::lock_guard<std::mutex> second(weights);
    puts("both");
}

OWN void wait_for_batch() {
    std::unique_lock<std::mutex> held(weights);
    batch.wait(held, [] { return there; });
    puts("batch");
}

OWN void get_result() {
    std::promise<int> promise;
    printf("%d\n", promise.get_future().get());
}

OWN void join_saver() {
    std::thread saver(wait_for_batch);
    saver.join();
    puts("joined");
}

int main(int, char **arguments) {
    printf("%d\n", getpid());
    fflush(stdout);
    if (!strcmp(arguments[1], "mutex")) {
        std::thread saver(lock_log_then_weights);
        lock_weights_then_log();
        saver.join();
    } else if (!strcmp(arguments[1], "condition")) {
        wait_for_batch();
    } else if (!strcmp(arguments[1], "future")) {
        get_result();
    } else {
        join_saver();
    }
    puts("end");
}
