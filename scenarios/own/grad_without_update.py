"""Your step without its update; nothing evaluates the gradients.

Varies: no update. Where your step reads the loss alone, the backward pass never runs at all.
Separates: nothing alone; read it together with grad_evaluated_without_update.
"""

from _own_step import batches, without_update

EXPECTS = ("parameters_unchanged",)
__all__ = ["batches", "make_step"]


def make_step(training):
    return without_update(training)
