"""The update is computed and its result dropped: the loss is read, and nothing is learned."""

import mlx.core as mx

VERDICT = {
    "outcome": "completed",
    "findings": ("parameters_unchanged", "gradients_not_applied"),
}


def make_step(training):
    model, optimizer = training.model, training.optimizer
    loss_and_grad = training.value_and_grad()

    def step(inputs, targets):
        loss, gradients = loss_and_grad(model, inputs, targets)
        training.phase("update")
        # Unlike optimizer.update, this returns the new parameters and leaves the model as it is.
        mx.eval(optimizer.apply_gradients(gradients, model))
        return loss

    return step
