"""Compute gradients, never evaluate them, apply no update.

Varies: no update, and the gradients stay lazy. Since only the loss is read, the backward pass
never runs at all.
Separates: nothing alone. It completes under nearly every hypothesis; read it only together with
grad_evaluated_without_update and update_without_grad.
"""

EXPECTS = ("parameters_unchanged",)


def make_step(training):
    model = training.model
    loss_and_grad = training.value_and_grad()

    def step(inputs, targets):
        loss, _gradients = loss_and_grad(model, inputs, targets)
        return loss

    return step
