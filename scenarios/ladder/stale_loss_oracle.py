"""Read a loss after the update that was built before it, and compare.

Varies: the loss stays lazy while the update replaces the parameters in place. It must still be
the loss at the old parameters.
Separates: graph corruption (the values differ) from everything else.
"""

import mlx.core as mx


def make_step(training):
    model, optimizer = training.model, training.optimizer
    loss_and_grad = training.value_and_grad()

    def step(inputs, targets):
        before = training.loss(model, inputs, targets).item()
        loss, gradients = loss_and_grad(model, inputs, targets)
        training.phase("update")
        optimizer.update(model, gradients)
        training.phase("eval")
        mx.eval(model.parameters(), optimizer.state)
        training.check("stale_loss", loss.item(), before)
        return loss

    return step
