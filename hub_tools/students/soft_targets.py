"""
What a seq2seq teacher holds likely at each target token of the encoded pairs: read once, kept on disk, mapped.

The teacher reads every pair as a student in training does (teacher forcing), and of its distribution at each target
token the k likeliest pieces are kept. For students that share its tokenizer (T5-large → T5-base); `soft_loss` learns
from them. In a recipe, on every process alike (one of a machine writes, the others wait for it):

    teacher, teacher_tokenizer = load_student(*split_revision(options.soft_teacher))
    same_tokenizer(tokenizer, teacher_tokenizer)
    targets = write_soft_targets(
        teacher, encoded, folder, k=options.soft_k, temperature=options.soft_temperature, vocabulary=len(tokenizer)
    )
    loss = SoftLoss(model, options.soft_weight, targets.temperature)
    pretrain(model, SoftPairs(encoded, targets), ..., loss=loss, collate=soft_batch)

`cost_of(targets)` is for the card.
"""

import hashlib
import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from tqdm.auto import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hub_tools.students.packing import Batch, Encoded, layout, written
from hub_tools.students.soft_loss import CHUNK, order_of
from hub_tools.students.soft_store import Draft, SoftTargets


logger = logging.getLogger(__name__)

NAMES = ("_name_or_path", "architectures", "transformers_version")  # in a model's config, that change no output
CHUNK_PAIRS = 1024  # what a killed run loses, at most
TRIED = 8  # pairs on which it is seen how the teacher can read several at once


def same_tokenizer(student: PreTrainedTokenizerBase, teacher: PreTrainedTokenizerBase) -> None:
    """
    Passes if both give every piece, `[NL]` included, the same id, and end and fill texts with the same ones.

    How they cut a text into pieces does not matter: the teacher reads the student's pieces.

    Raises:
        ValueError: they do not; the message shows the first ids that differ.
    """
    ours, theirs = ({index: piece for piece, index in each.get_vocab().items()} for each in (student, teacher))
    differ = [index for index in sorted(ours.keys() | theirs.keys()) if ours.get(index) != theirs.get(index)]
    if differ:
        shown = ", ".join(f"{index}: {ours.get(index)!r} / {theirs.get(index)!r}" for index in differ[:3])
        raise ValueError(
            f"Its tokenizer is not the student's: of {len(ours)} pieces (student) and {len(theirs)} (its own), "
            f"{len(differ)} ids differ, first {shown}. Probabilities of pieces can only be taken over where both have "
            "the same pieces: choose a model pretrained from the same family, or none."
        )
    for name in ("pad_token_id", "eos_token_id"):
        if getattr(student, name) != getattr(teacher, name):
            raise ValueError(
                f"Its {name} is {getattr(teacher, name)}, the student's {getattr(student, name)}; they must be one: "
                "choose a model pretrained from the same family, or none."
            )


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
    """
    Runs `teacher` once over `rows` and keeps what it holds likely, or goes on where a killed run ended.

    They lie in a folder of their own in `folder`, named by a digest of the teacher's weights, the rows, k,
    temperature and vocabulary: what was made with others is neither reused nor overwritten, and the same are not made
    twice, nor by two processes at once. Each of the k pieces takes 4 bytes (6 where the vocabulary has more than
    65,536): 64 bytes a target token at k = 16.

    Args:
        teacher: a seq2seq model, on the device and in the precision that it shall run with.
        rows: encoded pairs, a list or `EncodedPairs`.
        folder: beside the encoded pairs, say.
        k: pieces kept of each distribution; all of a smaller vocabulary.
        temperature: T in `softmax(logits / T)`. It is applied before the likeliest are chosen, because the
            temperature of a distribution cannot be changed once its smaller part is known only as a sum.
        vocabulary: pieces of the shared tokenizer. Output rows beyond are nobody's, and left out (a T5 from the Hub
            has 32,128 rows for 32,100 pieces). All rows without it.
        batch_tokens: target tokens of a forward pass, padding included.

    Raises:
        ValueError: there are no rows, or a number is out of its range.
        FloatingPointError: the teacher's logits are not finite.
        OSError: the disk has not enough room.
    """
    columns = teacher.get_output_embeddings().weight.shape[0]
    columns = columns if vocabulary is None else min(vocabulary, columns)
    if not rows or k < 1 or not 0 < temperature < math.inf or columns < 1 or batch_tokens < 1:
        raise ValueError(
            "Soft targets need at least one pair, k >= 1, a temperature above 0, vocabulary >= 1 and "
            f"batch_tokens >= 1; got {len(rows)} pairs, k={k}, temperature={temperature}, vocabulary={vocabulary}, "
            f"batch_tokens={batch_tokens}."
        )
    encoding, lengths, largest = digest_rows(rows)
    if largest >= columns:
        raise ValueError(
            f"The pairs hold the token id {largest}, the soft teacher knows those below {columns}: choose one whose "
            "tokenizer is the student's (same_tokenizer)."
        )
    facts = {"k": min(k, columns), "temperature": float(temperature), "vocabulary": columns, "encoding": encoding}
    facts["teacher"] = digest_model(teacher)
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    place = Path(folder) / digest
    if not SoftTargets.finished(place):
        with Draft(place, lengths, facts) as draft:
            size = draft.facts["tokens"] * draft.facts["bytes_per_token"]
            logger.info("Soft targets: %d tokens, %.1f MB in %s.", draft.facts["tokens"], size / 1e6, place)
            _fill(draft, teacher, rows, lengths, batch_tokens)
    return SoftTargets.open(place)


def cost_of(targets: SoftTargets) -> str:
    """
    What they hold and what they took to make, as the card tells it: mass covered, hours, the teacher's own loss.

    >>> from types import SimpleNamespace
    >>> cost_of(SimpleNamespace(facts={"k": 16, "covered": 0.9712, "seconds": 1512, "teacher_loss": 0.8345}))
    'the 16 likeliest tokens of each position, which cover 97.1 % of its mass; 0.42 hours; its own loss 0.8345 nats'
    """
    facts = targets.facts
    return (
        f"the {facts['k']} likeliest tokens of each position, which cover {100 * facts['covered']:.1f} % of its mass; "
        f"{facts['seconds'] / 3600:.2f} hours; its own loss {facts['teacher_loss']:.4f} nats"
    )


def _fill(
    draft: Draft, teacher: PreTrainedModel, rows: Sequence[Encoded], lengths: np.ndarray, batch_tokens: int
) -> None:
    """Chunk by chunk to the end. In a chunk like lengths share a batch; on the disk the order is that of `rows`."""
    k, ends = draft.facts["k"], draft.ends
    lay = layout(teacher, [rows[index] for index in range(min(TRIED, len(rows)))], teacher.config.pad_token_id)
    with tqdm(
        total=int(ends[-1]), initial=int(ends[draft.pairs]), desc="soft targets", unit="token", unit_scale=True
    ) as bar, _evaluating(teacher):  # fmt: skip
        while draft.pairs < len(rows):
            began, start = time.monotonic(), draft.pairs
            stop = min(start + CHUNK_PAIRS, len(rows))
            chunk = [rows[index] for index in range(start, stop)]
            ids = np.empty((ends[stop] - ends[start], k), np.int64)
            masses = np.empty((len(ids), k + 1), np.float32)
            loss = 0.0
            for batch in _batches(lengths[start:stop], batch_tokens):
                places = [np.arange(ends[start + each], ends[start + each + 1]) - ends[start] for each in batch]
                cells = np.concatenate(places)
                more, ids[cells], masses[cells] = _read(teacher, [chunk[each] for each in batch], lay, draft.facts)
                loss += more
                bar.update(len(cells))
            draft.append(ids, masses, loss, len(chunk), time.monotonic() - began)


@torch.inference_mode()
def _read(
    teacher: PreTrainedModel, rows: Sequence[Encoded], lay: Callable[[Sequence[Encoded]], Batch], facts: dict[str, Any]
) -> tuple[float, np.ndarray, np.ndarray]:
    """
    (the teacher's own loss, ids (tokens × k), masses (tokens × k + 1, the rest in the last column)) of the target
    tokens of `rows`, one row after another.
    """
    hidden, labels = written(teacher, {name: each.to(teacher.device) for name, each in lay(rows).items()})
    back = order_of(rows, lay).argsort().to(hidden.device)
    hidden, labels = hidden[back], labels[back]
    weight = teacher.get_output_embeddings().weight[: facts["vocabulary"]]
    loss, found = 0.0, []
    for start in range(0, len(hidden), CHUNK):
        logits = (hidden[start : start + CHUNK] @ weight.T).float()
        loss += float(cross_entropy(logits, labels[start : start + CHUNK], reduction="sum"))
        shares = (logits / facts["temperature"]).softmax(-1)
        likeliest = shares.topk(facts["k"])
        # Summed up rather than what the likeliest lack to 1, of which rounding would leave nothing
        rest = shares.scatter(-1, likeliest.indices, 0.0).sum(-1, keepdim=True)
        found.append((likeliest.indices.cpu().numpy(), torch.cat([likeliest.values, rest], -1).cpu().numpy()))
    if not math.isfinite(loss):
        raise FloatingPointError(
            "The soft teacher's logits are not finite. T5 overflows in float16: load it in float32 or bfloat16."
        )
    ids, masses = zip(*found, strict=True)
    return loss, np.concatenate(ids), np.concatenate(masses)


def _batches(lengths: np.ndarray, batch_tokens: int) -> Iterator[list[int]]:
    """Rows of a chunk as indices, like lengths together: `batch_tokens` in each, padding included, or one row."""
    batch: list[int] = []
    for index in np.argsort(lengths, kind="stable")[::-1].tolist():
        if batch and int(lengths[batch[0]]) * (len(batch) + 1) > batch_tokens:
            yield batch
            batch = []
        batch.append(index)
    yield batch


@contextmanager
def _evaluating(model: PreTrainedModel) -> Iterator[None]:
    """Without dropout, and afterwards as it was."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def digest_rows(rows: Sequence[Encoded]) -> tuple[str, np.ndarray, int]:
    """(a digest of the pairs' ids, the lengths of their targets, the largest id)."""
    digest, lengths, largest = hashlib.sha256(), np.empty(len(rows), np.int64), 0
    for index in range(len(rows)):
        source, target = rows[index]
        lengths[index] = len(target)
        ids = np.array([*source, *target], "<i4")
        digest.update(np.array([len(source), len(target)], "<i4").tobytes() + ids.tobytes())
        largest = max(largest, int(ids.max(initial=0)))
    return digest.hexdigest(), lengths, largest


def digest_model(model: PreTrainedModel) -> str:
    """Of architecture and weights, whatever their name: a checkpoint trained on under the same name is another one."""
    config = {name: value for name, value in model.config.to_diff_dict().items() if name not in NAMES}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for name, parameter in model.named_parameters():
        digest.update(f"{name} {parameter.dtype} {tuple(parameter.shape)}".encode())
        digest.update(parameter.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
