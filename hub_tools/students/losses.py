"""
Cross-entropy over a large vocabulary without the logits of all tokens at once: the language-model head and the loss
go over the target tokens chunk by chunk, and what is kept for the backward pass is the gradient, not the logits.

For T5 (32 thousand pieces) the logits of 20 pairs and what autograd keeps of them were the largest part of the
reference code's memory.
"""

from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear


CHUNK = 512  # tokens: large enough for full matmul speed, 66 MB of float32 logits at 32 thousand pieces


@torch.compiler.disable  # its loop would be compiled anew for every number of chunks
def summed_cross_entropy(
    hidden: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor, chunk: int = CHUNK
) -> torch.Tensor:
    """
    Cross-entropy in nats of `hidden @ weight.T` against `labels`, summed over the tokens; float32.

    The gradients come with the loss in the forward pass, so that the logits of one chunk are all that ever exist.
    Under autocast the matrix products are in its type and everything else in float32.

    Args:
        hidden: (tokens, width) what the head reads; zero tokens are a loss of 0.
        weight: (vocabulary, width) of the head.
        labels: (tokens,) whole numbers, each in the vocabulary.
        chunk: tokens whose logits are held at once.

    Raises:
        ValueError: the shapes do not fit each other.
    """
    if hidden.dim() != 2 or labels.shape != hidden.shape[:1] or weight.shape[1:] != hidden.shape[1:]:
        found = f"hidden {tuple(hidden.shape)}, weight {tuple(weight.shape)}, labels {tuple(labels.shape)}"
        raise ValueError(f"expected (tokens, width), (vocabulary, width) and (tokens,), found {found}.")
    if not torch.is_grad_enabled():
        return _in_chunks(hidden, weight, labels, chunk)
    return _SummedCrossEntropy.apply(hidden, weight, labels, chunk)


class _SummedCrossEntropy(torch.autograd.Function):
    """Saves d loss / d hidden and d loss / d weight, both for an incoming gradient of 1."""

    @staticmethod
    def forward(
        context: Any, hidden: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor, chunk: int
    ) -> torch.Tensor:
        by_hidden = torch.empty_like(hidden)
        by_weight = torch.zeros_like(weight, dtype=torch.float32)
        total = _in_chunks(hidden, weight, labels, chunk, by_hidden, by_weight)
        context.save_for_backward(by_hidden, by_weight.to(weight.dtype))
        return total

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None, None]:
        by_hidden, by_weight = context.saved_tensors
        return by_hidden * gradient.to(by_hidden.dtype), by_weight * gradient.to(by_weight.dtype), None, None


def _in_chunks(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    labels: torch.Tensor,
    chunk: int,
    by_hidden: torch.Tensor | None = None,
    by_weight: torch.Tensor | None = None,
) -> torch.Tensor:
    """The sum; fills `by_hidden` and adds to `by_weight`, where they are given."""
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        hidden, weight = (each.to(torch.get_autocast_dtype(device)) for each in (hidden, weight))
    total = torch.zeros((), dtype=torch.float32, device=hidden.device)
    with torch.autocast(device, enabled=False):
        for part, wanted, place in zip(
            hidden.split(chunk), labels[:, None].split(chunk), range(0, len(hidden), chunk), strict=False
        ):
            scores = linear(part, weight).float()
            scores -= scores.amax(1, keepdim=True)  # the exponentials then end at 1
            total -= scores.gather(1, wanted).sum()
            sums = scores.exp_().sum(1, keepdim=True)
            total += sums.log().sum()
            if by_hidden is None or by_weight is None:
                continue
            scores /= sums
            scores.scatter_add_(1, wanted, scores.new_full(wanted.shape, -1.0))
            error = scores.to(weight.dtype)
            by_hidden[place : place + chunk] = error @ weight
            if by_weight.dtype == part.dtype:
                by_weight.addmm_(error.T, part)  # no second matrix of the head's size
            else:
                by_weight += error.T @ part
    return total
