"""
Dropout whose random numbers are cheap on a CPU.

torch draws a number there for each activation, one after another, which takes an eighth of a pretraining step of
T5-small. Here 64 random bits decide on four activations. On other devices torch's own kernel is the quick one.
"""

import torch
from torch import nn


LEVELS = 2**16  # of a probability: 16 bits decide on an activation


def dropout(hidden: torch.Tensor, p: float = 0.5, training: bool = True) -> torch.Tensor:
    """
    `torch.nn.functional.dropout` with other random numbers, from the same generator (`torch.manual_seed`).

    On a CPU `p` is rounded to a multiple of 2⁻¹⁶; what is kept is divided by the share that is kept of that, so the
    expected value of each activation stays exactly what it was.

    Args:
        hidden: activations of any shape.
        p: probability with which each is set to 0.
        training: whether anything is done at all.
    """
    dropped = round(p * LEVELS)
    if not training or hidden.device.type != "cpu" or not 0 < dropped < LEVELS:
        return nn.functional.dropout(hidden, p, training)
    draws = torch.empty(-(-hidden.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    kept = draws.view(torch.int16)[: hidden.numel()] >= dropped - LEVELS // 2
    return hidden * kept.to(hidden.dtype).mul_(LEVELS / (LEVELS - dropped)).view(hidden.shape)


class QuickDropout(nn.Dropout):
    """`nn.Dropout` by `dropout`."""

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """As `dropout`; nothing in evaluation."""
        return dropout(hidden, self.p, self.training)


def quicken_dropout(model: nn.Module) -> None:
    """Replaces each `nn.Dropout` in `model`; weights, their names and what is saved of the model stay as they are."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Dropout:
                quick = QuickDropout(child.p, child.inplace)
                setattr(parent, name, quick.train(child.training))
