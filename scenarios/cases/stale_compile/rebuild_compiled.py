"""The same function, compiled anew in each step, from the state of that step. It learns."""

from _captured import compiled, evaluated, one_batch

SETTINGS = {"steps": 6}
EXPECTS = ("retrace_every_step",)

batches = one_batch


def make_step(training):
    return evaluated(training, compiled(training), rebuilt=True)
