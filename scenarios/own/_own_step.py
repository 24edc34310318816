"""The user's own step, and ways to change it from outside. The scenarios beside this file use it.

The module `own_scenario` is the user's file.
"""

import mlx.core as mx
import mlx.optimizers as optim
import own_scenario
from mlx.utils import tree_map

from harness.errors import SkipError

NO_OPTIMIZER = "the step uses no optimizer of MLX's, so its update cannot be changed"
NO_MODEL = "the step names no model; call training.watch(model, optimizer) in make_step"
TRACED = "the step is compiled, and no array can be evaluated while MLX traces it"


def make_step(training):
    """The user's step as it is."""
    return own_scenario.make_step(training)


def batches(training):
    """The user's batches, or those of the harness where the file brings none."""
    own = getattr(own_scenario, "batches", None)
    return training.batches() if own is None else iter(own(training))


def model_of(training):
    """The model that the step trains. Raises SkipError when it names none."""
    if "model" not in vars(training):
        raise SkipError(NO_MODEL)
    return training.model


def state_of(training):
    """The state that a compiled step reads and writes. Raises SkipError without an optimizer."""
    model = model_of(training)
    if "optimizer" not in vars(training):
        raise SkipError("the step names no optimizer; call training.watch(model, optimizer)")
    return [model.state, training.optimizer.state, mx.random.state]


def after_each_step(training, action):
    """The user's step, and `action(loss)` at its end."""
    step = make_step(training)

    def changed(*batch):
        loss = step(*batch)
        action(loss)
        return loss

    return changed


def without_update(training, use=lambda gradients: None):
    """The user's step, of which each update keeps the parameters; `use` gets the gradients.

    The step raises SkipError in its last step if it has never used an optimizer of MLX's.
    """

    def apply_gradients(self, gradients, parameters):
        use(gradients)
        return tree_map(lambda _, parameter: parameter, gradients, parameters)

    return _with_optimizer(training, {"apply_gradients": apply_gradients})


def evaluate(gradients):
    """Evaluate the gradients. Raises SkipError where MLX traces the step."""
    try:
        mx.eval(gradients)
    except ValueError as error:
        raise SkipError(TRACED) from error


def plain_descent(training):
    """The user's step, whose optimizers keep no state: w - learning_rate * gradient.

    The step raises SkipError in its last step if it has never used an optimizer of MLX's.
    """

    def apply_single(self, gradient, parameter, state):
        return parameter - self.learning_rate.astype(gradient.dtype) * gradient

    def init_single(self, parameter, state):
        pass

    return _with_optimizer(training, {"apply_single": apply_single, "init_single": init_single})


def _with_optimizer(training, methods):
    """The user's step, with `methods` in place of those of MLX's optimizers, by their names."""
    uses = 0

    def counted(method):
        def called(*arguments):
            nonlocal uses
            uses += 1
            return method(*arguments)

        return called

    for name, method in methods.items():
        for optimizer in _with(optim.Optimizer, name):
            setattr(optimizer, name, counted(method))
    step = make_step(training)

    def changed(*batch):
        loss = step(*batch)
        if training.last_step and not uses:
            raise SkipError(NO_OPTIMIZER)
        return loss

    return changed


def _with(kind, name):
    """`kind` and the classes derived from it that define `name` themselves."""
    found = [kind] if name in vars(kind) else []
    for derived in kind.__subclasses__():
        found += _with(derived, name)
    return found
