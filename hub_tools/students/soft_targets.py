"""
What a seq2seq teacher holds likely at each target token of the encoded pairs: read once, kept on disk, mapped.

The teacher reads every pair as a student in training does (teacher forcing), and of its distribution at each target
token the k likeliest pieces are kept. For students that share its tokenizer (T5-large → T5-base); `soft_loss` learns
from them. In a recipe:

    teacher, teacher_tokenizer = load_student(*split_revision(options.soft_teacher))
    same_tokenizer(tokenizer, teacher_tokenizer)  # ValueError: with the first pieces that differ
    targets = write_soft_targets(
        teacher, encoded, folder, k=options.soft_k, temperature=options.soft_temperature, vocabulary=len(tokenizer)
    )
    training = SoftPairs(encoded, targets)
    loss = SoftLoss(model, options.soft_weight, targets.temperature)
    pretrain(model, training, validation, settings, accelerator, run_folder, loss=loss, collate=soft_collate)

`targets.facts` is for the card.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hub_tools.students.packing import Encoded


SoftPair = tuple[list[int], list[int], np.ndarray, np.ndarray]  # source, target, ids, probabilities


def same_tokenizer(student: PreTrainedTokenizerBase, teacher: PreTrainedTokenizerBase) -> None:
    """
    Passes if both give every piece, `[NL]` included, the same id.

    Raises:
        ValueError: they do not; the message shows the first ids that differ.
    """
    raise NotImplementedError


class SoftTargets(Sequence):
    """
    `targets[i] → (ids (tokens × k) int64, probabilities (tokens × k) float32)`, likeliest first, of pair i's target.

    What a row of probabilities lacks to 1 is that of all other pieces. `facts` holds `pairs, tokens, k, temperature,
    vocabulary, bytes_per_token, covered` (mean mass of the k pieces), `teacher_loss` (the teacher's own nats per
    target token at temperature 1).
    """

    facts: dict[str, Any]
    temperature: float

    @classmethod
    def open(cls, folder: Path) -> "SoftTargets":
        """
        Those that `write_soft_targets` finished in `folder`.

        Raises:
            ValueError: there are none, or not all yet, or the files are damaged.
        """
        raise NotImplementedError


def write_soft_targets(
    teacher: PreTrainedModel,
    rows: Sequence[Encoded],
    folder: Path,
    *,
    k: int = 16,
    temperature: float = 1.0,
    vocabulary: int | None = None,
    batch_tokens: int = 4096,
) -> SoftTargets:
    """Runs `teacher` over `rows` and keeps what it holds likely in `folder`, or goes on where a killed run ended."""
    raise NotImplementedError


class SoftPairs(Sequence):
    """Encoded pairs and their soft targets, to train on: `pairs[i] → (source, target, ids, probabilities)`."""

    def __init__(self, rows: Sequence[Encoded], targets: SoftTargets):
        raise NotImplementedError
