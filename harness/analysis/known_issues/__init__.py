"""Public bugs and pitfalls of MLX and mlx-lm, and the results that show them.

Pure, but for the list itself: `catalog` reads it from the package. `versions` has its ranges, and
`match` compares a result with it.
"""
