"""The gradients of every step are kept: memory grows by the size of the parameters each step."""

VERDICT = {"outcome": "completed", "findings": ("memory_growth",)}


def make_step(training):
    model, optimizer = training.model, training.optimizer
    loss_and_grad = training.value_and_grad()
    kept = []

    def step(inputs, targets):
        loss, gradients = loss_and_grad(model, inputs, targets)
        kept.append(gradients)
        training.phase("update")
        optimizer.update(model, gradients)
        return loss

    return step
