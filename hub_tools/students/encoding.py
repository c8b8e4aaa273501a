"""Pair rows → token ids as Arrow, and the account of what the limits and the tokenizer lost of their texts."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from itertools import chain
from string import ascii_letters

import numpy as np
import pyarrow as arrow
from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerBase

from hub_tools.students.models import NEWLINE, escape_newlines


COLUMNS = ("review_id", "input", "target")
BATCH = 250  # texts of one call of the tokenizer, which takes some 100 bytes a token while it works
_HALF = re.compile("[\ud800-\udfff]")  # a lone surrogate, as careless JSON writers leave them: no UTF-8 has it


class Encoder:
    """
    Tokenises pairs: line breaks as `[NL]`, no task prefix, truncated with the end mark kept.

    Args:
        max_input, max_target: tokens that are kept, the end mark included.

    Raises:
        ValueError: a limit is below 2.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, max_input: int, max_target: int) -> None:
        for name, limit in (("max_input", max_input), ("max_target", max_target)):
            if limit < 2:
                raise ValueError(f"{name} must be at least 2 (a token and the end mark), found {limit}.")
        self._tokenizer, self._limits = tokenizer, {"input": max_input, "target": max_target}
        largest = max(tokenizer.get_vocab().values())
        self._type = arrow.uint16() if largest < 2**16 else arrow.uint32()
        ids = arrow.list_(self._type)
        self.schema = arrow.schema({"review": arrow.uint64(), "source": ids, "target": ids})
        self._drops = DroppedSigns(tokenizer)
        marks = sorted({*tokenizer.all_special_tokens} - {NEWLINE}, key=len, reverse=True)
        self._marks = re.compile("|".join(map(re.escape, marks)))

    def encode(self, rows: Sequence[tuple[str, str, str]]) -> tuple[arrow.RecordBatch, dict[str, int]]:
        """
        Rows of (review_id, input, target) → columns `review` (a number that pairs of one review share), `source` and
        `target` (token ids), and what it cost:

        - `input_tokens`, `target_tokens`: as kept, end marks included; `tokens`: both
        - `truncated_inputs`, `truncated_targets`: pairs; `cut_input_tokens`, `cut_target_tokens`: what they lost
        - `unknown_tokens`: of the tokens kept, those that stand for signs that the vocabulary does not have
        - `removed_marks`: special tokens that the texts spelled out ("</s>"), each now a space
        - `dropped_characters`: of the whole texts, signs that leave no token at all: see `DroppedSigns`
        """
        cost: Counter[str] = Counter()
        inputs, targets = ([self._text(row[side], cost) for row in rows] for side in (1, 2))
        cost["dropped_characters"] = self._drops.count(inputs) + self._drops.count(targets)
        columns = {
            "review": arrow.array([_number(row[0]) for row in rows], arrow.uint64()),
            "source": self._tokenise("input", "text", inputs, cost),
            "target": self._tokenise("target", "text_target", targets, cost),
        }
        cost["tokens"] = cost["input_tokens"] + cost["target_tokens"]
        return arrow.RecordBatch.from_pydict(columns, schema=self.schema), dict(sorted(cost.items()))

    def _text(self, text: str, cost: Counter[str]) -> str:
        # Tokenizers read "</s>" in a text as the end mark, and teachers do write it: the student would learn to stop.
        text, found = self._marks.subn(" ", text)
        cost["removed_marks"] += found
        return escape_newlines(text)

    def _tokenise(self, side: str, argument: str, texts: Sequence[str], cost: Counter[str]) -> arrow.Array:
        found: list[list[int]] = []
        for start in range(0, len(texts), BATCH):
            given = {argument: texts[start : start + BATCH]}
            found += self._tokenizer(**given, return_attention_mask=False, verbose=False)["input_ids"]
        limit, end = self._limits[side], self._tokenizer.eos_token_id
        kept = [truncate(ids, limit, end) for ids in found]
        cost[f"{side}_tokens"] = sum(map(len, kept))
        cost[f"truncated_{side}s"] = sum(len(ids) > limit for ids in found)
        cost[f"cut_{side}_tokens"] = sum(map(len, found)) - cost[f"{side}_tokens"]
        cost["unknown_tokens"] += sum(ids.count(self._tokenizer.unk_token_id) for ids in kept)
        starts = np.cumsum([0, *map(len, kept)], dtype=np.int32)
        values = np.fromiter(chain.from_iterable(kept), self._type.to_pandas_dtype(), starts[-1])
        return arrow.ListArray.from_arrays(arrow.array(starts), arrow.array(values))


class DroppedSigns:
    """
    Counts the characters that a tokenizer drops without a trace, as T5's drops control characters.

    A character is dropped if, between two letters, it leaves the tokens that the letters have alone or with a space
    between. White space is not counted, nor what becomes another sign ("…" → "...") or the unknown token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._known: dict[str, bool] = {}
        unknown = tokenizer.unk_token_id
        # Unknown signs in a row become one token; the letters beside the sign in question must not be such.
        self._letter = next((x for x in ascii_letters if unknown not in self._tokens([x])[0]), None)
        self._bare = self._tokens([f"{self._letter}{between}{self._letter}" for between in ("", " ")])

    def count(self, texts: Sequence[str]) -> int:
        """Dropped characters in `texts`; 0 for a tokenizer that knows no letter."""
        signs = set().union(*texts)
        new = sorted(sign for sign in signs - self._known.keys() if not sign.isspace())
        if not self._letter or not signs:
            return 0
        if new:
            probes = self._tokens([f"{self._letter}{sign}{self._letter}" for sign in new])
            self._known |= {sign: tokens in self._bare for sign, tokens in zip(new, probes, strict=True)}
        dropped = [sign for sign in signs if self._known.get(sign)]
        return sum(text.count(sign) for sign in dropped for text in texts)

    def _tokens(self, texts: list[str]) -> list[list[int]]:
        return self._tokenizer(texts, return_attention_mask=False)["input_ids"]


def in_chunks(pairs: Iterable[Mapping], chunk: int) -> Iterator[list[tuple[str, str, str]]]:
    """
    The texts of `chunk` rows at a time, in the order of COLUMNS, with a progress bar.

    Raises:
        ValueError: a row lacks a text, or holds one that is none.
    """
    total = len(pairs) if isinstance(pairs, Sized) else None
    rows: list[tuple[str, str, str]] = []
    for number, pair in enumerate(tqdm(pairs, total=total, desc="encode", unit="pair", disable=None)):
        rows.append(_texts(number, pair))
        if len(rows) == chunk:
            yield rows
            rows = []
    if rows:
        yield rows


def _texts(number: int, pair: Mapping) -> tuple[str, str, str]:
    """review_id, input, target of row `number`."""
    if missing := [name for name in COLUMNS if pair.get(name) is None]:
        raise ValueError(
            f"row {number} has no {', '.join(missing)}; a pair needs {', '.join(COLUMNS)}, found: {', '.join(pair)}."
        )
    for side in ("input", "target"):
        if not isinstance(pair[side], str):
            raise ValueError(f"row {number}: {side} is no text but a {type(pair[side]).__name__}.")
    texts = str(pair["review_id"]), pair["input"], pair["target"]
    for name, text in zip(COLUMNS, texts, strict=True):
        if found := _HALF.search(text):
            raise ValueError(f"row {number}: {name} holds {found[0]!r}, half of a sign, and is no valid text.")
    return texts


def tokenizer_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """A digest of all that decides the ids of a text: vocabulary, scores, normalisation, added tokens."""
    state: dict = {"kind": type(tokenizer).__name__, "end": tokenizer.eos_token_id, "vocab": tokenizer.get_vocab()}
    if tokenizer.is_fast:
        state |= json.loads(tokenizer.backend_tokenizer.to_str())
        # Left by whoever tokenised last, for whom it padded; here nothing is padded, and we truncate ourselves.
        state["truncation"] = state["padding"] = None
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()[:32]


def truncate(ids: list[int], limit: int, end: int) -> list[int]:
    """The first `limit` ids, the last of them `end`."""
    return ids if len(ids) <= limit else [*ids[: limit - 1], end]


def _number(review_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(review_id.encode(), digest_size=8).digest(), "big")
