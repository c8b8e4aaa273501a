"""
Learning from a teacher's distribution over the next token as well as from its text: the loss, and its batches.

Word-level distillation (Kim and Rush 2016, arXiv 1606.07947, section 3.1) with a temperature and its square before
the term (Hinton, Vinyals and Dean 2015, arXiv 1503.02531, section 2). Of each distribution the teacher's likeliest
pieces are known one by one, all others as one rest (hub_tools.students.soft_targets).
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from hub_tools.students.packing import Batch, Encoded, written
from hub_tools.students.soft_store import SoftTargets
from hub_tools.students.step_plan import lengths_of


CHUNK = 512  # positions whose logits exist at once: 66 MB with T5's vocabulary, twice that at a temperature
SMALL = 1e-30  # instead of a sum that underflowed: its logarithm is finite, and so is what is divided by it

SoftPair = tuple[list[int], list[int], np.ndarray, np.ndarray]  # source, target, ids, probabilities


@torch.compiler.disable  # its loop would be compiled anew for every number of chunks
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


class _SoftCrossEntropy(torch.autograd.Function):
    """The loss and, while a chunk's logits exist, its gradients: nothing is computed twice, nothing large is kept."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        labels: torch.Tensor,
        ids: torch.Tensor,
        probabilities: torch.Tensor,
        share: float,
        temperature: float,
    ) -> torch.Tensor:
        by_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        by_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        device, precise = hidden.device.type, torch.promote_types(hidden.dtype, torch.float32)
        if torch.is_autocast_enabled(device):  # the products in its type, all else precisely
            hidden, weight = (each.to(torch.get_autocast_dtype(device)) for each in (hidden, weight))
        total = hidden.new_zeros((), dtype=precise)
        with torch.autocast(device, enabled=False):
            for start in range(0, len(hidden), CHUNK):
                part = slice(start, start + CHUNK)
                logits = (hidden[part] @ weight.T).to(precise)
                known = ids[part], probabilities[part].to(precise)
                loss, slope = _losses(logits, labels[part], *known, share, temperature)
                total += loss
                slope = slope.to(weight.dtype)
                if by_hidden is not None:
                    by_hidden[part] = slope @ weight
                if by_weight is not None:
                    _add_product(by_weight, slope.T, hidden[part])
        ctx.save_for_backward(by_hidden, by_weight)
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        by_hidden, by_weight = (None if each is None else each * gradient for each in ctx.saved_tensors)
        return by_hidden, by_weight, None, None, None, None, None


def _add_product(total: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> None:
    """`total += left @ right`, where their types allow it without a second matrix of that size."""
    if total.dtype == right.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right


def _losses(
    logits: torch.Tensor,
    labels: torch.Tensor,
    ids: torch.Tensor,
    probabilities: torch.Tensor,
    share: float,
    temperature: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The summed loss of some positions, and its gradient by their logits (positions × vocabulary), in their place."""
    labels = labels[:, None]
    logits -= logits.amax(-1, keepdim=True)  # the exponentials then end at 1
    known, wanted = logits.gather(-1, ids) / temperature, logits.gather(-1, labels)
    slope = None
    if temperature != 1:  # the text is learned at 1
        slope = logits.exp()
        sums = slope.sum(-1, keepdim=True)
        hard = (sums.log() - wanted).sum()
        slope *= (1 - share) / sums
        logits /= temperature
    logits.exp_().scatter_(-1, ids, 0.0)
    outside, known_parts = logits.sum(-1, keepdim=True), known.exp()
    sums = outside + known_parts.sum(-1, keepdim=True)
    if slope is None:
        hard = (sums.log() - wanted).sum()
    outside.clamp_(min=SMALL)
    rest = (1 - probabilities.sum(-1, keepdim=True)).clamp(min=0)
    if ids.shape[-1] == logits.shape[-1]:
        rest.zero_()  # nothing is left to be in it
    xlogx = torch.special.xlogy(probabilities, probabilities).sum() + torch.special.xlogy(rest, rest).sum()
    cross = (probabilities * (known - sums.log())).sum() + (rest * (outside / sums).log()).sum()
    # Of the student's and the teacher's probabilities in the gradient; at 1 the student's serve both terms
    ours, theirs = (1.0, share) if slope is None else (share * temperature, share * temperature)
    logits *= (ours - theirs * rest * sums / outside) / sums
    logits.scatter_(-1, ids, ours * known_parts / sums - theirs * probabilities)
    slope = logits if slope is None else slope.add_(logits)
    slope.scatter_add_(-1, labels, torch.full_like(wanted, share - 1))
    return (1 - share) * hard + share * temperature**2 * (xlogx - cross), slope


class SoftLoss(nn.Module):
    """
    `soft_cross_entropy` of the model, summed over the target tokens of a batch that `soft_batch` made.

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

    def forward(self, batch: Batch) -> torch.Tensor:
        """`batch` → a scalar."""
        batch = dict(batch)
        ids, probabilities = batch.pop("soft_ids"), batch.pop("soft_probabilities")
        hidden, labels = written(self.model, batch)
        weight = self.model.get_output_embeddings().weight
        return soft_cross_entropy(hidden, weight, labels, ids, probabilities, self.share, self.temperature)


class SoftPairs(Sequence):
    """
    Encoded pairs and what a teacher holds likely of their targets, to train on.

    `pairs[i] → (source, target, ids (tokens × k), probabilities (tokens × k))`; `lengths` are the tokens of source
    and target (pairs × 2).

    Raises:
        ValueError: the soft targets are of other pairs.
    """

    def __init__(self, rows: Sequence[Encoded], targets: SoftTargets):
        self.rows, self.targets, self.lengths = rows, targets, lengths_of(rows)
        if not np.array_equal(self.lengths[:, 1], targets.lengths):
            raise ValueError(
                f"The soft targets in {targets.folder} are of {len(targets)} other pairs, not of these {len(rows)}: "
                "make them of the pairs that are trained on, after the hold-out."
            )
        if hasattr(rows, "where"):
            self.where = rows.where  # of the encoded corpus, to name pairs by

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> SoftPair:
        return (*self.rows[index], *self.targets[index])


def soft_batch(rows: Sequence[SoftPair], lay: Callable[[Sequence[Encoded]], Batch]) -> Batch:
    """
    The batch that `lay` makes of the pairs (as `packing.layout` gives it), and beside it `soft_ids`,
    `soft_probabilities` (target tokens × k), in the order in which the target tokens stand in the batch.
    """
    order = order_of(rows, lay)
    ids, probabilities = (torch.from_numpy(np.concatenate([row[side] for row in rows])) for side in (2, 3))
    batch = lay([(source, target) for source, target, *_ in rows])
    return batch | {"soft_ids": ids[order], "soft_probabilities": probabilities[order]}


def order_of(rows: Sequence, lay: Callable[[Sequence[Encoded]], Batch]) -> torch.Tensor:
    """Where among the target tokens of `rows`, one row after another, each of the batch's is (target tokens)."""
    # Where a token comes to stand depends on lengths alone: running numbers in place of tokens tell.
    numbers = itertools.count()
    labels = lay([(row[0], list(itertools.islice(numbers, len(row[1])))) for row in rows])["labels"]
    return labels[labels != -100]
