"""A training-hang diagnostic harness for MLX."""

__version__ = "0.1.0"
