"""Read the loss, apply the update, evaluate nothing else.

Varies: nothing; every other scenario is compared with this one. The loss is the only thing that
is read, so step 0's backward pass and update are first evaluated by step 1's loss.
Separates: by itself nothing. A jump from step 0 to step 1 is deferred work or memory.
"""


def make_step(training):
    model, optimizer = training.model, training.optimizer
    loss_and_grad = training.value_and_grad()

    def step(inputs, targets):
        loss, gradients = loss_and_grad(model, inputs, targets)
        training.phase("update")
        optimizer.update(model, gradients)
        return loss

    return step
