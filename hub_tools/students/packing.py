"""
Training batches without padding: sentences stand one after another in a few rows, and attention masks keep them apart.

For a model whose attention knows nothing but the distance between tokens (T5), a sentence in a row of others is
computed as it is alone, so a batch has the same loss and gradients as when padded to its longest sentence, of which
more than half is padding on the FSA benchmark. `packs` finds out whether that holds for a model.
"""

from collections.abc import Sequence

import torch
from torch import nn
from transformers import PreTrainedModel


WIDTH = 256  # tokens of a row, at most, unless one sentence has more: attention grows with the square of it

Encoded = tuple[list[int], list[int]]  # a sentence's tokens, and its text form's


class SummedLoss(nn.Module):
    """
    The model's cross-entropy, summed over the target tokens of a batch that `padded` or `packed` made.

    A module of its own because DistributedDataParallel averages the gradients of what is called through it.
    """

    def __init__(self, model: PreTrainedModel):
        super().__init__()
        self.model = model

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """`batch` → a scalar."""
        batch = dict(batch)
        if "encoder_mask" in batch:
            hidden = self.model.get_encoder()(
                input_ids=batch.pop("input_ids"), attention_mask=batch.pop("encoder_mask"), return_dict=True
            )
            batch["encoder_outputs"] = hidden
        labels = batch["labels"]
        return self.model(**batch).loss.float() * (labels != -100).sum()


def padded(rows: Sequence[Encoded], pad: int) -> dict[str, torch.Tensor]:
    """`input_ids, attention_mask, labels` (sentences × longest), the usual way."""
    sources, targets = ([torch.tensor(row[side]) for row in rows] for side in (0, 1))
    return {
        "input_ids": nn.utils.rnn.pad_sequence(sources, batch_first=True, padding_value=pad),
        "attention_mask": nn.utils.rnn.pad_sequence([torch.ones_like(each) for each in sources], batch_first=True),
        "labels": nn.utils.rnn.pad_sequence(targets, batch_first=True, padding_value=-100),
    }


def packed(rows: Sequence[Encoded], pad: int, start: int) -> dict[str, torch.Tensor]:
    """
    The same sentences in fewer, longer rows: `input_ids, decoder_input_ids, labels` (rows × tokens), and the masks
    `encoder_mask, decoder_attention_mask`, and `attention_mask` from decoder to encoder (rows × 1 × queries × keys).
    """
    lines = [[rows[index] for index in line] for line in _lines([len(source) for source, _ in rows], WIDTH)]
    sources = [[token for source, _ in line for token in source] for line in lines]
    labels = [[token for _, target in line for token in target] for line in lines]
    shifted = [[token for _, target in line for token in (start, *target[:-1])] for line in lines]
    # Which sentence of its row a token is of; padding is of none, and looks at itself only
    source_of, target_of = (
        _tensor([[n for n, row in enumerate(line) for _ in row[side]] for line in lines], -1) for side in (0, 1)
    )
    decoder = _alike(target_of, target_of).tril()
    return {
        "input_ids": _tensor(sources, pad),
        "encoder_mask": _alike(source_of, source_of),
        "attention_mask": _alike(target_of, source_of),
        "decoder_input_ids": _tensor(shifted, pad),
        "decoder_attention_mask": decoder,
        "labels": _tensor(labels, -100),
    }


@torch.no_grad()
def packs(model: PreTrainedModel, rows: Sequence[Encoded], pad: int) -> bool:
    """Whether a packed batch of `rows` has the loss of a padded one, so that training on packed ones is the same."""
    start = model.config.decoder_start_token_id
    if start is None or getattr(model.config, "max_position_embeddings", None):
        return False  # positions of its own, or another kind of model
    training, loss = model.training, SummedLoss(model.eval())
    try:
        both = [
            loss({name: tensor.to(model.device) for name, tensor in batch.items()})
            for batch in (padded(rows, pad), packed(rows, pad, start))
        ]
    except (RuntimeError, TypeError, ValueError, IndexError):  # a model that does not take such masks
        return False
    finally:
        model.train(training)
    return bool(torch.isclose(*both, rtol=1e-3))


def _lines(lengths: Sequence[int], width: int) -> list[list[int]]:
    """Sentences by row, as indices: about equally long rows of at most `width`, if no sentence is longer."""
    count = max(1, -(-sum(lengths) // width))
    while True:
        lines: list[list[int]] = [[] for _ in range(min(count, len(lengths)))]
        totals = [0] * len(lines)
        for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
            shortest = totals.index(min(totals))
            lines[shortest].append(index)
            totals[shortest] += lengths[index]
        if max(totals) <= max(width, max(lengths)) or count >= len(lengths):
            return lines
        count += 1


def _tensor(rows: Sequence[Sequence[int]], value: int) -> torch.Tensor:
    """Rows of whole numbers, filled up to the longest with `value`."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])


def _alike(queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """Mask (rows × 1 × queries × keys): may look at each other, being of one sentence."""
    return (queries[:, :, None] == keys[:, None, :])[:, None]
