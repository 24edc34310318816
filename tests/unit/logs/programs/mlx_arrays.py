"""A loop that prints MLX's arrays as they are, and goes wrong: `python mlx_arrays.py`."""

import mlx.core as mx

weight, step_size = mx.array(1.0), mx.array(4.0)
for step in range(12):
    loss = (weight * weight - 2.0) ** 2
    print("step", step, "loss", loss, "lr", step_size)
    weight = weight - step_size * 4.0 * weight * (weight * weight - 2.0)
