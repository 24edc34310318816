"""A thread that prepares batches on a stream of the main thread (ml-explore/mlx#3727, #3537).

The stream belongs to the thread that made it since MLX 0.32.0 on the CPU. The thread raises, and
the training waits for its queue for ever.
"""

import queue
import threading

import mlx.core as mx

SETTINGS = {"steps": 4}


def batches(training):
    ready = queue.Queue()
    stream = mx.new_stream(mx.cpu)

    def prepare():
        for number in range(training.settings.steps):
            with mx.stream(stream):
                batch = mx.arange(16) * number
                mx.eval(batch)
            ready.put(batch)

    threading.Thread(target=prepare, daemon=True).start()
    while True:
        yield ready.get()


def make_step(training):
    def step(x):
        return mx.square(x).mean()

    return step
