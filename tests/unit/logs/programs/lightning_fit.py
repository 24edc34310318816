"""A small fit with Lightning. `python lightning_fit.py tqdm|rich`."""

import sys
import time

import lightning
import torch
from lightning.pytorch.callbacks import RichProgressBar, TQDMProgressBar
from torch.utils.data import DataLoader, TensorDataset


class Line(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch, _):
        time.sleep(0.05)
        loss = ((self.layer(batch[0]) - batch[1]) ** 2).mean()
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch, _):
        time.sleep(0.05)
        self.log("val_loss", ((self.layer(batch[0]) - batch[1]) ** 2).mean(), prog_bar=True)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.05)


if __name__ == "__main__":
    torch.manual_seed(0)
    x = torch.randn(40, 4)
    data = TensorDataset(x, x.sum(1, keepdim=True))
    bar = RichProgressBar() if sys.argv[1] == "rich" else TQDMProgressBar()
    trainer = lightning.Trainer(
        max_epochs=3, accelerator="cpu", callbacks=[bar], logger=True, enable_checkpointing=False
    )
    trainer.fit(Line(), DataLoader(data, batch_size=4), DataLoader(data, batch_size=20))
