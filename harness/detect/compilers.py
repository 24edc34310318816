"""Programs that compile: a process that waits for one of them compiles."""

COMPILERS = frozenset(
    ("g++", "gcc", "c++", "cc", "cc1plus", "cc1", "clang", "clang++", "as", "ld", "collect2", "lld",
     "nvcc", "cicc", "ptxas", "nvlink", "metal", "metallib", "xcrun", "air-lld", "ninja", "make")
)  # fmt: skip
