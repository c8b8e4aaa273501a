"""
The corpus as a student reads it: the token ids of every pair in one Arrow file, made once and memory-mapped.

encode_corpus(pairs, tokenizer, folder) makes `<folder>/encoding.json`, which says what was encoded, how, and what of
it was lost, and the Arrow file that it names; EncodedPairs.open(folder) reads them. The host's memory holds a chunk of
the corpus while it is made, and some 16 bytes a pair while it is read.
"""

import fcntl
import hashlib
import json
import mmap
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

import numpy as np
import pyarrow as arrow
from transformers import PreTrainedTokenizerBase

from hub_tools.students.encoding import Encoder, in_chunks, tokenizer_digest


FORMAT = 1
HEADER = "encoding.json"
CHUNK = 2_000  # pairs that are tokenised at once: some 5 MB of text, and all that a killed process loses
READS = 100  # pairs after which the pages of the map are given up: at most some 50 MB

Encoded = tuple[list[int], list[int]]  # a pair's input tokens and target tokens


class EncodedPairs(Sequence[Encoded]):
    """
    Pairs of an encoded corpus: `pairs[7]` is `([source ids], [target ids])`, truncated, unpadded, ending in the end
    mark. `open` makes it; `subset` and slices are views that copy no token.

    Attributes:
        cost: what the limits and the tokenizer lost, in the whole corpus even for a view: see `Encoder.encode`.
        digest: of all that decides the tokens of the whole corpus, even for a view: texts, tokenizer and limits.
    """

    def __init__(self, chunks: "Sequence[_Chunk]", mapped: mmap.mmap, header: Mapping, order: np.ndarray | None):
        self._chunks, self._mapped, self._header, self._order = chunks, mapped, header, order
        self._pairs, self._reads = sum(len(chunk.review) for chunk in chunks), 0
        self.cost: dict[str, int] = dict(header["cost"])
        self.digest = Path(header["file"]).stem.removeprefix("pairs-")

    @classmethod
    def open(cls, folder: Path) -> Self:
        """
        The encoded corpus in `folder`.

        Raises:
            ValueError: there is none, or it is of another version, or damaged.
        """
        folder = Path(folder)
        header = _read_header(folder)
        if header is None:
            raise ValueError(f"{folder} holds no encoded corpus ({HEADER}, format {FORMAT}): encode the pairs first.")
        path = folder / header["file"]
        try:
            with path.open("rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            reader = arrow.ipc.open_file(arrow.BufferReader(arrow.py_buffer(mapped)))
            chunks = [_Chunk.of(reader.get_batch(number)) for number in range(reader.num_record_batches)]
        except (OSError, ValueError, KeyError) as error:  # ArrowInvalid is a ValueError
            raise ValueError(f"{path} is damaged ({error}): delete {folder} and encode the pairs again.") from error
        pairs = cls(chunks, mapped, header, None)
        pairs._give_up_pages()  # those of the chunks' heads
        return pairs

    def __len__(self) -> int:
        return self._pairs if self._order is None else len(self._order)

    def __getitem__(self, index: int | slice) -> "Encoded | EncodedPairs":
        if isinstance(index, slice):
            return self.subset(range(len(self))[index])
        self._reads += 1
        if self._reads % READS == 0:
            self._give_up_pages()
        number, row = divmod(self.where(index), self._header["chunk"])
        return self._chunks[number].pair(row)

    def subset(self, indices: Sequence[int] | np.ndarray) -> "EncodedPairs":
        """
        These pairs in this order, as a view: for a hold-out, or a filter.

        Raises:
            IndexError: an index is not in 0 … len - 1.
        """
        order = np.asarray(indices, dtype=np.int64)
        if order.size and not 0 <= order.min() <= order.max() < len(self):
            raise IndexError(f"indices {order.min()} to {order.max()}, but there are {len(self)} pairs")
        order = order if self._order is None else self._order[order]
        return EncodedPairs(self._chunks, self._mapped, self._header, order)

    def where(self, index: int) -> int:
        """The row of the whole corpus, counted from 0 as it was encoded, that pair `index` of this view is."""
        position = range(len(self))[index]
        return position if self._order is None else int(self._order[position])

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of source and target (pairs × 2), int32."""
        return self._column(lambda chunk: np.stack([np.diff(chunk.starts), np.diff(chunk.ends)], 1), (0, 2), np.int32)

    @cached_property
    def reviews(self) -> np.ndarray:
        """A number for the review of each pair (pairs), uint64: pairs of one review have the same."""
        return self._column(lambda chunk: chunk.review, (0,), np.uint64)

    def _column(self, of: "Callable[[_Chunk], np.ndarray]", shape: tuple[int, ...], kind: type) -> np.ndarray:
        parts = [np.zeros(shape, kind)]
        for chunk in self._chunks:
            parts.append(np.array(of(chunk)))
            self._give_up_pages()
        column = np.concatenate(parts)
        return column if self._order is None else column[self._order]

    def _give_up_pages(self) -> None:
        # A page once read counts as ours until the system wants it back: in an epoch the process would seem to grow by
        # the whole file. Given up, the pages stay in the system's cache, and reading them again takes microseconds.
        self._mapped.madvise(mmap.MADV_DONTNEED)


def encode_corpus(
    pairs: Iterable[Mapping],
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    *,
    max_input: int = 128,
    max_target: int = 400,
    chunk: int = CHUNK,
) -> EncodedPairs:
    """
    Pair rows → token ids in `folder`; `pairs` is read once, so it may stream.

    Each chunk is kept as soon as it is tokenised, under the digest of its texts, the tokenizer and the limits: the
    same call goes on after the last whole chunk of a killed one, tokenises nothing of a corpus that is there, and
    only what is new of one that has grown. Processes that encode into one folder wait for each other.

    Args:
        pairs: rows with `review_id`, `input` and `target`.
        max_input, max_target: tokens that are kept, the end mark included.
        chunk: pairs that are tokenised at once.

    Raises:
        ValueError: a limit is below 2, or a row lacks a text.
    """
    folder, encoder = Path(folder), Encoder(tokenizer, max_input, max_target)
    recipe = {
        "format": FORMAT,
        "tokenizer": tokenizer_digest(tokenizer),
        "max_input": max_input,
        "max_target": max_target,
        "chunk": chunk,
    }
    drafts = folder / "chunks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        drafts.mkdir(exist_ok=True)
        earlier = _earlier(folder, recipe)
        found: list[str] = []
        for rows in in_chunks(pairs, chunk):
            found.append(_chunk_digest(recipe, rows))
            if found[-1] not in earlier and not (drafts / found[-1]).exists():
                batch, cost = encoder.encode(rows)
                told = batch.replace_schema_metadata({"cost": json.dumps(cost)})
                with _written(drafts / found[-1], drafts) as file, arrow.ipc.new_file(file, told.schema) as writer:
                    writer.write_batch(told)
        _join(folder, recipe, found, earlier, encoder.schema)
        shutil.rmtree(drafts)
        return EncodedPairs.open(folder)  # before another process may put other pairs in their place


_Done = tuple[arrow.RecordBatch, dict[str, int]]  # a chunk and its cost


class _Chunk(NamedTuple):
    """A record batch as numpy views: pair `row` has `source[starts[row] : starts[row + 1]]`, and so its target."""

    review: np.ndarray
    starts: np.ndarray
    source: np.ndarray
    ends: np.ndarray
    target: np.ndarray

    @classmethod
    def of(cls, batch: arrow.RecordBatch) -> Self:
        source, target = batch["source"], batch["target"]
        columns = batch["review"], source.offsets, source.values, target.offsets, target.values
        return cls(*(column.to_numpy() for column in columns))

    def pair(self, row: int) -> Encoded:
        return (
            self.source[self.starts[row] : self.starts[row + 1]].tolist(),
            self.target[self.ends[row] : self.ends[row + 1]].tolist(),
        )


def _read_header(folder: Path) -> dict | None:
    """What `folder` says it holds; None if it holds nothing that this version made whole."""
    try:
        header = json.loads((folder / HEADER).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(header, dict) and {"file", "pairs", "cost", "chunk", "chunks"} <= header.keys()
    return header if whole and header.get("format") == FORMAT else None


def _earlier(folder: Path, recipe: dict) -> dict[str, _Done]:
    """Chunks of an encoded corpus in `folder`, with their costs, if they were made by this very recipe."""
    header = _read_header(folder)
    if header is None or any(header.get(key) != value for key, value in recipe.items()):
        return {}
    try:
        reader = arrow.ipc.open_file(arrow.memory_map(str(folder / header["file"])))
        return {
            part["digest"]: (reader.get_batch(number), part["cost"]) for number, part in enumerate(header["chunks"])
        }
    except (OSError, ValueError, KeyError):
        return {}  # damaged: made again


def _chunk_digest(recipe: dict, rows: list[tuple[str, str, str]]) -> str:
    """What decides a chunk's tokens and what they are called by: 32 hexadecimal digits."""
    return hashlib.sha256(json.dumps([recipe, rows]).encode()).hexdigest()[:32]


def _join(folder: Path, recipe: dict, found: list[str], earlier: dict[str, _Done], schema: arrow.Schema) -> None:
    """Makes one file of the chunks, unless it is there; the header that names it comes last and makes it valid."""
    header = _read_header(folder)
    if header and earlier and [part["digest"] for part in header["chunks"]] == found:
        return
    drafts, name = folder / "chunks", hashlib.sha256("".join(found).encode()).hexdigest()[:16]
    path = folder / f"pairs-{name}.arrow"
    parts: list[dict] = []
    total: Counter[str] = Counter()
    with _written(path, drafts) as file, arrow.ipc.new_file(file, schema) as writer:
        for digest in found:
            batch, cost = earlier.get(digest) or _read_chunk(drafts / digest)
            writer.write_batch(batch.replace_schema_metadata(None))
            parts.append({"digest": digest, "pairs": len(batch), "cost": cost})
            total.update(cost)
    pairs = sum(part["pairs"] for part in parts)
    header = {**recipe, "file": path.name, "pairs": pairs, "cost": dict(sorted(total.items())), "chunks": parts}
    with _written(folder / HEADER, drafts) as file:
        file.write(json.dumps(header).encode())
    for old in set(folder.glob("pairs-*.arrow")) - {path}:
        old.unlink()


def _read_chunk(path: Path) -> _Done:
    with path.open("rb") as file:
        batch = arrow.ipc.open_file(file).get_batch(0)
    return batch, json.loads(batch.schema.metadata[b"cost"])


@contextmanager
def _written(path: Path, drafts: Path) -> Iterator[BinaryIO]:
    """A file that is at `path`, whole and on the disk, when the `with` block was left without an error."""
    draft = drafts / f"{path.name}.draft"
    with draft.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)
