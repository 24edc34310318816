"""Your step with plain gradient descent in place of its optimizer.

Varies: the optimizer keeps no state: w - learning_rate * gradient.
Separates: memory (clears if the state made the difference) from all else.
"""

from _own_step import batches, plain_descent

__all__ = ["batches", "make_step"]


def make_step(training):
    return plain_descent(training)
