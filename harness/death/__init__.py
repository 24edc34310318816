"""The last words of a process: what it printed when it failed, turned into one line. Pure.

`tracebacks` reads those of Python, `native` those of C++, Rust and the C library, `codes` knows the
errors of Metal, CUDA, NCCL and MLX. `last_words` chooses the ones that explain an end.
"""
