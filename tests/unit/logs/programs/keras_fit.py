"""A small fit with Keras. `python keras_fit.py VERBOSE [nan|unknown|checkpoint]`."""

import os
import sys
import time

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np

if __name__ == "__main__":
    keras.utils.set_random_seed(0)
    odd = sys.argv[2] if len(sys.argv) > 2 else ""
    x = np.random.randn(64, 4).astype("float32")
    y = x.sum(1, keepdims=True)
    model = keras.Sequential([keras.layers.Dense(1)])
    rate = 1e30 if odd == "nan" else 0.05
    model.compile(keras.optimizers.SGD(rate), "mse", metrics=["mae"])
    slow = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: time.sleep(0.06))
    callbacks = [slow]
    if odd == "checkpoint":
        callbacks.append(
            keras.callbacks.ModelCheckpoint("/tmp/best.keras", save_best_only=True, verbose=1)
        )

    def batches():
        for i in range(0, 64, 8):
            yield x[i : i + 8], y[i : i + 8]

    data = {"x": batches()} if odd == "unknown" else {"x": x, "y": y, "validation_split": 0.25}
    model.fit(
        **data,
        batch_size=None if odd == "unknown" else 8,
        epochs=1 if odd == "unknown" else 3,
        verbose=int(sys.argv[1]),
        callbacks=callbacks,
    )
