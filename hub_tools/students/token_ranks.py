"""
Where a seq2seq model ranks the tokens of texts it is made to read: what CompEffDist's measure of difficulty is made of
(hub_tools.corpus.difficulty).
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from tqdm.auto import tqdm
from transformers import PreTrainedModel

from hub_tools.students.packing import Encoded, padded, written
from hub_tools.students.step_plan import lengths_of


LOGITS = 32_000_000  # bytes of logits at once; with probabilities and sorting some five times that
FIRST_LOOK = 64  # likeliest tokens, which most nuclei do not exceed; the whole vocabulary is sorted for the others


@torch.inference_mode()
def token_ranks(
    model: PreTrainedModel, rows: Sequence[Encoded], *, top_p: float = 0.95, batch_tokens: int = 4096
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """
    Reads each pair with its target given (teacher forcing), pairs of like length together, and yields, as they come,
    (number of the pair, ranks, nucleus sizes): two int32 arrays with one value a target token.

    A token's rank is the number of tokens that the model holds likelier: 0 for the likeliest. The size of the nucleus
    is the number of likeliest tokens that it takes to reach `top_p` of the probability.

    Args:
        model: on the device and in the precision that it shall run with.
        rows: encoded with the model's own tokenizer; a list or `EncodedPairs`.
        batch_tokens: source and target tokens of a forward pass, padding included.

    Raises:
        ValueError: `top_p` is not in (0, 1], or the rows hold an id that the model has no embedding for.
        FloatingPointError: the model's logits are not finite.
    """
    if not 0 < top_p <= 1 or batch_tokens < 1:
        raise ValueError(f"token_ranks needs 0 < top_p <= 1 and batch_tokens >= 1; got {top_p} and {batch_tokens}.")
    training, lengths = model.training, lengths_of(rows)
    model.eval()
    try:
        with tqdm(total=int(lengths[:, 1].sum()), desc="difficulty", unit="token", unit_scale=True) as bar:
            for batch in _batches(lengths, batch_tokens):
                ranks, sizes = _read(model, [rows[index] for index in batch], top_p)
                ends = np.cumsum(lengths[batch, 1])[:-1]
                yield from zip(batch, np.split(ranks, ends), np.split(sizes, ends), strict=True)
                bar.update(len(ranks))
    finally:
        model.train(training)


def _batches(lengths: np.ndarray, batch_tokens: int) -> Iterator[list[int]]:
    """Rows as indices, longest targets first: as many as fit into `batch_tokens` when padded, or one."""
    batch: list[int] = []
    source = target = 0
    for index in np.lexsort((lengths[:, 0], lengths[:, 1]))[::-1].tolist():
        wider, longer = max(source, int(lengths[index, 0])), max(target, int(lengths[index, 1]))
        if batch and (wider + longer) * (len(batch) + 1) > batch_tokens:
            yield batch
            batch, wider, longer = [], *lengths[index].tolist()
        batch.append(index)
        source, target = wider, longer
    if batch:
        yield batch


def _read(model: PreTrainedModel, rows: Sequence[Encoded], top_p: float) -> tuple[np.ndarray, np.ndarray]:
    """Ranks and nucleus sizes of the target tokens of `rows`, one row after another."""
    known = model.get_input_embeddings().num_embeddings
    largest = max(max(ids) for row in rows for ids in row)
    if largest >= known:
        raise ValueError(
            f"The pairs hold the token id {largest}, the model that judges difficulty knows those below {known}: "
            "encode them with its own tokenizer."
        )
    batch = padded(rows, model.config.pad_token_id)
    hidden, labels = written(model, {name: each.to(model.device) for name, each in batch.items()})
    head, bias = model.get_output_embeddings(), getattr(model, "final_logits_bias", 0.0)  # BART and its kin have one
    size = max(1, LOGITS // (4 * head.weight.shape[0]))
    found = [
        torch.stack(_ranked((head(states) + bias).float(), tokens, top_p))
        for states, tokens in zip(hidden.split(size), labels.split(size), strict=True)
    ]
    ranks, sizes = torch.cat(found, dim=1).cpu().numpy()
    if (ranks < 0).any():
        raise FloatingPointError(
            "The logits of the model that judges difficulty are not finite. T5 overflows in float16: load it in "
            "float32 or bfloat16."
        )
    return ranks, sizes


def _ranked(logits: torch.Tensor, labels: torch.Tensor, top_p: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (tokens × vocabulary) → the labels' ranks, -1 where a logit is not finite, and nucleus sizes (int32)."""
    ranks = (logits > logits.gather(-1, labels[:, None])).sum(-1)
    shares = logits.softmax(-1)  # not a number as soon as one logit is none, or infinite
    ranks = torch.where(shares[:, 0].isfinite(), ranks, -1)
    return ranks.int(), _nucleus_sizes(shares, top_p).int()


def _nucleus_sizes(shares: torch.Tensor, top_p: float) -> torch.Tensor:
    """How many of the largest of each row (rows × vocabulary) it takes to reach `top_p`."""
    vocabulary = shares.shape[-1]
    reached = shares.topk(min(FIRST_LOOK, vocabulary)).values.cumsum(-1)
    sizes = (reached < top_p).sum(-1) + 1
    wide = (reached[:, -1] < top_p).nonzero()[:, 0]
    if len(wide):
        reached = shares[wide].sort(-1, descending=True).values.cumsum(-1)
        sizes[wide] = (reached < top_p).sum(-1) + 1
    return sizes.clamp(max=vocabulary)  # by rounding, all may not reach a top_p of 1
