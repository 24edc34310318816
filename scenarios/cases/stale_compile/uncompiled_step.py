"""The same function without compilation. It learns."""

from _captured import evaluated, one_batch

SETTINGS = {"steps": 6}

batches = one_batch


def make_step(training):
    return evaluated(training, lambda function: function)
