"""Make a new value_and_grad in every step.

Varies: the lifetime of the function that computes the gradients.
Separates: graph corruption through a transformed function that is kept (this one and
value_and_grad_reused differ) from everything else (they do not).
"""


def make_step(training):
    model, optimizer = training.model, training.optimizer

    def step(inputs, targets):
        loss, gradients = training.value_and_grad()(model, inputs, targets)
        training.phase("update")
        optimizer.update(model, gradients)
        return loss

    return step
