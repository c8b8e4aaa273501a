"""
Learning from a teacher's distribution over the next token as well as from its text: the loss, and its batches.

Word-level distillation (Kim and Rush 2016, arXiv 1606.07947, section 3.1) with a temperature and its square before
the term (Hinton, Vinyals and Dean 2015, arXiv 1503.02531, section 2). Of each distribution the teacher's likeliest
pieces are known one by one, all others as one rest (hub_tools.students.soft_targets).
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from hub_tools.students.packing import packed, padded
from hub_tools.students.soft_targets import SoftPair


CHUNK = 512  # positions whose logits exist at once: 66 MB of them with T5's vocabulary


def soft_cross_entropy(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    labels: torch.Tensor,
    ids: torch.Tensor,
    probabilities: torch.Tensor,
    share: float,
    temperature: float,
) -> torch.Tensor:
    """
    `Σ (1 − share) · CE(label) + share · T² · KL(teacher ‖ student)` over positions, in nats.

    With the logits `z = hidden · weightᵀ`, the student's `q = softmax(z / T)`, the teacher's likeliest pieces `S` and
    their probabilities `p` (at the same T), and what is left of both, `r = 1 − Σ p` and `q_r = Σ_{j ∉ S} q_j`:

        KL = Σ_{i ∈ S} p_i · log(p_i / q_i) + r · log(r / q_r)

    So the teacher says how much the rest gets, and the student how the rest is divided. This is never more than the
    divergence of the whole distributions, and is that divergence when `S` is the whole vocabulary. Its gradient by
    `z / T` is `q_i − p_i` in `S` and `q_j · (1 − r / q_r)` outside. Gradients are made chunk by chunk with the loss,
    so that logits never exist for more than `CHUNK` positions.

    Args:
        hidden: (positions × width) what the student's output matrix is applied to.
        weight: (vocabulary × width) that matrix.
        labels: (positions) the pieces of the text.
        ids: (positions × k) different pieces each.
        probabilities: (positions × k) the teacher's, at `temperature`; a row's sum is at most 1.
        share: of the divergence, 0 (the text only) to 1 (the teacher's distributions only).
        temperature: T, above 0.

    Returns:
        A scalar. It can be differentiated once, by `hidden` and `weight`.
    """
    return _SoftCrossEntropy.apply(hidden, weight, labels, ids, probabilities, share, temperature)


class SoftLoss(nn.Module):
    """
    `soft_cross_entropy` of the model, summed over the target tokens of a batch that `soft_collate` made.

    Called as `SummedLoss` is, and for the same reason a module. For the plain cross-entropy of validation use that.

    Args:
        model: the student.
        share: of the divergence, as in `soft_cross_entropy`.
        temperature: that of the soft targets (`SoftTargets.temperature`).
    """

    def __init__(self, model: PreTrainedModel, share: float, temperature: float):
        super().__init__()
        if not 0 <= share <= 1 or not 0 < temperature < math.inf:
            raise ValueError(
                f"SoftLoss needs a share from 0 (text only) to 1 (teacher's distributions only) and a temperature "
                f"above 0; got share={share}, temperature={temperature}."
            )
        self.model, self.share, self.temperature = model, share, temperature

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """`batch` → a scalar."""
        raise NotImplementedError


def soft_collate(rows: Sequence[SoftPair], *layout: Any) -> dict[str, torch.Tensor]:
    """
    The batch that `packing.packed` (or, with only a `pad`, `packing.padded`) makes of the pairs, and beside it
    `soft_ids`, `soft_probabilities` (real target tokens × k), in the order of `labels[labels != -100]`.
    """
    raise NotImplementedError
