"""The batches grow: the peak grows with them, and nothing is kept."""

SETTINGS = {"steps": 16, "seq_len": 64}
VERDICT = {"outcome": "completed", "findings": ("inputs_growth",)}


def batches(training):
    source = training.batches()
    while True:
        length = 4 + 4 * training.step
        inputs, targets = next(source)
        yield inputs[:, :length], targets[:, :length]


def make_step(training):
    model, optimizer = training.model, training.optimizer
    loss_and_grad = training.value_and_grad()

    def step(inputs, targets):
        loss, gradients = loss_and_grad(model, inputs, targets)
        training.phase("update")
        optimizer.update(model, gradients)
        return loss

    return step
