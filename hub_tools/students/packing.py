"""
Training batches without padding. For a model whose attention knows nothing but the distance between tokens (T5), a
text beside others is computed as it is alone, so a batch has the same loss and gradients as when padded to its longest
text, of which about half is padding both on the FSA benchmark and on the corpus.

- `joined`: all texts in one row, and each attends to itself by itself: no padding, no attention to what is masked
  anyway. Quickest on a CPU, where calls are cheap, with long texts.
- `packed`: several rows and attention masks that keep the texts apart: fewer, larger calls, of shapes that change
  little. Quickest on a GPU, under `torch.compile`, and with short texts.

`layout` says which serves a model here.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from hub_tools.students.attention import written_one_by_one
from hub_tools.students.hardware import is_short_memory
from hub_tools.students.losses import summed_cross_entropy


WIDTH = 256  # tokens of a row, at most, unless the texts are long: attention grows with the square of it
TEXTS_A_ROW = 4  # about as many or more, of the average length: fewer cannot be combined to rows of about equal length
LONG = 64  # tokens of an average target, from which on `joined` is the quicker on a CPU
FAMILY = ("t5", "mt5")  # whose language-model head is applied here

Encoded = tuple[list[int], list[int]]  # a text's tokens, and its target's
Batch = dict[str, torch.Tensor]


class SummedLoss(nn.Module):
    """
    The model's cross-entropy in nats, summed over the target tokens of a batch that `padded`, `packed` or `joined`
    made; of T5, without keeping logits.

    A module of its own because DistributedDataParallel averages the gradients of what is called through it.
    """

    def __init__(self, model: PreTrainedModel):
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> torch.Tensor:
        """`batch` → a scalar, float32."""
        if self.model.config.model_type not in FAMILY:
            return self.model(**batch, use_cache=False).loss.float() * (batch["labels"] != -100).sum()
        hidden, labels = written(self.model, batch)
        return summed_cross_entropy(hidden, self.model.get_output_embeddings().weight, labels)


def written(model: PreTrainedModel, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """
    What the language-model head of a T5 is applied to (target tokens × width), and the labels (target tokens), in the
    order in which `batch["labels"]` has them, without padding.
    """
    if "source_lengths" in batch:
        hidden, labels = written_one_by_one(model, batch), batch["labels"][0]
    else:
        if "source_of" in batch:
            batch = batch | _masks(batch["source_of"], batch["target_of"])
        inputs = batch.get("decoder_input_ids")
        read = model.get_encoder()(
            input_ids=batch["input_ids"], attention_mask=batch.get("encoder_mask", batch["attention_mask"])
        )
        hidden = model.get_decoder()(
            input_ids=model.prepare_decoder_input_ids_from_labels(batch["labels"]) if inputs is None else inputs,
            attention_mask=batch.get("decoder_attention_mask"),
            encoder_hidden_states=read[0],
            encoder_attention_mask=batch["attention_mask"],
            use_cache=False,
        )[0]
        real = batch["labels"] != -100
        hidden, labels = hidden[real], batch["labels"][real]
    umt5 = model.config.model_type == "umt5" and model.config.tie_word_embeddings  # which has no such field
    if getattr(model.config, "scale_decoder_outputs", umt5):
        hidden = hidden * model.model_dim**-0.5
    return hidden, labels


def layout(
    model: PreTrainedModel, rows: Sequence[Encoded], pad: int, compiled: bool = False
) -> Callable[[Sequence[Encoded]], Batch]:
    """
    What lays out `model`'s batches: the quickest of `joined`, `packed` and `padded` that gives the loss of `padded`.

    Args:
        rows: some of the pairs, to try it on.
        compiled: whether the loss goes through `torch.compile`, for which `joined` has too many shapes.
    """
    start = model.config.decoder_start_token_id
    if not packs(model, rows, pad):
        return partial(padded, pad=pad)
    on_cpu, long = model.device.type == "cpu", sum(len(target) for _, target in rows) >= LONG * len(rows)
    if long and on_cpu and model.config.model_type == "t5" and not compiled:
        return partial(joined, pad=pad, start=start)
    return partial(packed, pad=pad, start=start, masks=on_cpu)


def padded(rows: Sequence[Encoded], pad: int) -> Batch:
    """`input_ids, attention_mask, labels` (texts × longest), the usual way."""
    sources, source_lengths = _joined([source for source, _ in rows])
    targets, target_lengths = _joined([target for _, target in rows])
    return {
        "input_ids": _rows(sources, source_lengths, pad),
        "attention_mask": _rows(np.ones_like(sources), source_lengths, 0),
        "labels": _rows(targets, target_lengths, -100),
    }


def joined(rows: Sequence[Encoded], pad: int, start: int) -> Batch:
    """
    The same texts one after another: `input_ids` (1 × source tokens), `decoder_input_ids, labels` (1 × target
    tokens), and `source_lengths, target_lengths` (texts). Nothing is padded; `pad` is there as in `packed`.
    """
    sources, source_lengths = _joined([source for source, _ in rows])
    targets, target_lengths = _joined([target for _, target in rows])
    return {
        "input_ids": torch.from_numpy(sources[None]),
        "decoder_input_ids": torch.from_numpy(_shifted(targets, target_lengths, start)[None]),
        "labels": torch.from_numpy(targets[None]),
        "source_lengths": torch.from_numpy(source_lengths),
        "target_lengths": torch.from_numpy(target_lengths),
    }


def packed(rows: Sequence[Encoded], pad: int, start: int, masks: bool = True) -> Batch:
    """
    The same texts in fewer, longer rows: `input_ids, decoder_input_ids, labels` (rows × tokens), and the masks
    `encoder_mask, decoder_attention_mask`, and `attention_mask` from decoder to encoder (rows × 1 × queries × keys).

    Without `masks` there are `source_of, target_of` (rows × tokens) instead, which text of its row a token is of, -1
    for padding: a thousandth of the bytes to bring to a GPU, where `written` makes the masks.
    """
    lines = _lines([(len(row[0]), len(row[1])) for row in rows])
    order = [index for line in lines for index in line]
    number = np.array([place for line in lines for place in range(len(line))])
    first = np.cumsum([0, *map(len, lines[:-1])])
    (sources, source_lengths), (targets, target_lengths) = (
        _joined([rows[index][side] for index in order]) for side in (0, 1)
    )

    def in_lines(tokens: np.ndarray, lengths: np.ndarray, value: int) -> torch.Tensor:
        return _rows(tokens, np.add.reduceat(lengths, first), value, multiple=8)  # as GPUs like it

    tokens = {
        "input_ids": in_lines(sources, source_lengths, pad),
        "decoder_input_ids": in_lines(_shifted(targets, target_lengths, start), target_lengths, pad),
        "labels": in_lines(targets, target_lengths, -100),
    }
    source_of, target_of = (
        in_lines(np.repeat(number, lengths), lengths, -1) for lengths in (source_lengths, target_lengths)
    )
    return tokens | (_masks(source_of, target_of) if masks else {"source_of": source_of, "target_of": target_of})


@torch.no_grad()
def packs(model: PreTrainedModel, rows: Sequence[Encoded], pad: int) -> bool:
    """Whether batches of `rows` without padding have the padded one's loss, so that training on them is the same."""
    start = model.config.decoder_start_token_id
    if start is None or getattr(model.config, "max_position_embeddings", None):
        return False  # positions of its own, or another kind of model
    if model.config.model_type not in FAMILY:
        return False
    training, loss = model.training, SummedLoss(model.eval())
    ways = [packed(rows, pad, start)] + [joined(rows, pad, start)] * (model.config.model_type == "t5")
    try:
        usual = {name: tensor.to(model.device) for name, tensor in padded(rows, pad).items()}
        wanted = model(**usual).loss.float() * (usual["labels"] != -100).sum()
        found = [loss({name: tensor.to(model.device) for name, tensor in batch.items()}) for batch in (usual, *ways)]
    except (RuntimeError, TypeError, ValueError, IndexError) as error:  # a model that does not take such masks
        if is_short_memory(error):
            raise
        return False
    finally:
        model.train(training)
    return all(torch.isclose(each, wanted, rtol=1e-3) for each in found)


class Padding(NamedTuple):
    """Which share of a batch's positions is padding, 0 to 1."""

    both: float
    encoder: float
    decoder: float


def padding(batch: Batch, rows: Sequence[Encoded]) -> Padding:
    """The padding of a batch made of `rows`."""
    positions = [batch[name].numel() for name in ("input_ids", "labels")]
    real = [sum(len(row[side]) for row in rows) for side in (0, 1)]
    return Padding(1 - sum(real) / sum(positions), 1 - real[0] / positions[0], 1 - real[1] / positions[1])


def _lines(lengths: Sequence[tuple[int, int]]) -> list[list[int]]:
    """
    Texts by row, as indices: rows about equally long on both sides, of about WIDTH target tokens or more.

    Longest first, each to the row that it leaves emptiest; then texts are exchanged while that makes rows more equal.
    """
    sizes = np.array(lengths, dtype=float)
    whole = sizes.sum(0)
    texts = TEXTS_A_ROW * float(sizes.max(1).mean())
    # Of long texts as many rows as come nearest to so many texts each: five in two rows would be a fifteenth padding
    count = round(whole.max() / texts) if texts > WIDTH else math.ceil(whole.max() / WIDTH)
    count = min(len(sizes), max(1, count))
    sizes /= whole / count  # 1 is what a row holds of a side when all are equal
    row_of, totals = np.empty(len(sizes), dtype=int), np.zeros((count, 2))
    for index in np.argsort(-sizes.sum(1), kind="stable"):
        row_of[index] = (totals + sizes[index]).max(1).argmin()
        totals[row_of[index]] += sizes[index]
    for _ in range(2 * len(sizes)):
        if not _exchange(sizes, row_of, totals):
            break
    return [np.flatnonzero(row_of == row).tolist() for row in range(count)]


def _exchange(sizes: np.ndarray, row_of: np.ndarray, totals: np.ndarray) -> bool:
    """Swaps a text of the fullest row with one of another, in place, if any swap makes the two more equal."""
    fullest = int(totals.max(1).argmax())
    mine, others = np.flatnonzero(row_of == fullest), np.flatnonzero(row_of != fullest)
    if not len(others):
        return False
    change = sizes[others][None] - sizes[mine][:, None]  # mine × others × sides
    rows = row_of[others]
    after = np.maximum((totals[fullest] + change).max(2), (totals[rows][None] - change).max(2))
    best = after.argmin()
    if after.flat[best] >= totals[fullest].max() - 1e-9:
        return False
    at, of = np.unravel_index(best, after.shape)
    totals[fullest] += change[at, of]
    totals[rows[of]] -= change[at, of]
    row_of[mine[at]], row_of[others[of]] = rows[of], fullest
    return True


def _joined(texts: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """The tokens of texts one after another, and how many are of each; int64."""
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    return np.fromiter(chain.from_iterable(texts), dtype=np.int64, count=lengths.sum()), lengths


def _shifted(targets: np.ndarray, lengths: np.ndarray, start: int) -> np.ndarray:
    """What a decoder reads where it is to write `targets`, which are one after another."""
    shifted = np.empty_like(targets)
    shifted[1:] = targets[:-1]
    shifted[(np.cumsum(lengths) - lengths)[lengths > 0]] = start
    return shifted


def _rows(tokens: np.ndarray, lengths: np.ndarray, value: int, multiple: int = 1) -> torch.Tensor:
    """Tokens that follow one another as rows of such lengths, filled up with `value` to a `multiple`."""
    width = -(-int(lengths.max()) // multiple) * multiple
    rows = np.full((len(lengths), width), value, dtype=np.int64)
    rows[np.arange(width) < lengths[:, None]] = tokens
    return torch.from_numpy(rows)


def _masks(source_of: torch.Tensor, target_of: torch.Tensor) -> Batch:
    """Texts see themselves, decoders nothing ahead; padding is of one text that nobody is asked about."""
    return {
        "encoder_mask": _alike(source_of, source_of),
        "attention_mask": _alike(target_of, source_of),
        "decoder_attention_mask": _alike(target_of, target_of).tril(),
    }


def _alike(queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """Mask (rows × 1 × queries × keys): may look at each other, being of one text."""
    return (queries[:, :, None] == keys[:, None, :])[:, None]
