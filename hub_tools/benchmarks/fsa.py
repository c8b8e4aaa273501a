"""The fine-grained sentiment benchmark of paper 1 (arXiv 2412.18552): official files → `fsa-benchmark` rows.

Reads `<data>/fsa_datasets/w_hard/<task>/<set>/{train,dev,test,hard_test}.json`; makes, per config, the splits
`train`, `validation`, `test` (the official one) and `test_hard` (official and hard sentences: what the paper reports).

    >>> aspect = {"from": "4", "to": "8", "target": "soup", "category": None, "polarity": "positive"}
    >>> row, = build_rows([{"ID": "7", "sentence": "The soup rocks.", "aspects": [aspect]}], "tsa", hard=False)
    >>> row["text"], row["opinions"][0]["start"], row["implicit"]
    ('soup | positive', 4, None)

Each row's opinions stand in the order in which the reference code writes them, so that `text` is its target string
byte for byte: annotation order for aspects; for targets, the order of the stored offsets, which SemEval's files keep
as strings ("102" before "12"). Where the reference leaves the order to chance (one span with two polarities, hard
files only) it is the annotation order here. Opinions without a target come last.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from datasets import Features, List, Value

from hub_tools.benchmarks.records import BenchmarkError, Row, field, read_records, show, text_field
from hub_tools.opinions import POLARITIES, serialize


logger = logging.getLogger(__name__)


class Source(NamedTuple):
    """What a config annotates, and where its files are below `<data>/fsa_datasets/w_hard`."""

    task: str
    folder: str


CONFIGS = {
    "tsa-rest14": Source("tsa", "atsa/rest14"),
    "tsa-laptop14": Source("tsa", "atsa/laptop14"),
    "asa-rest16": Source("asa", "acsa/rest16"),
    "asa-laptop16": Source("asa", "acsa/laptop16"),
}
SPLITS = {
    "train": ("train.json",),
    "validation": ("dev.json",),
    "test": ("test.json",),
    "test_hard": ("test.json", "hard_test.json"),
}
FEATURES = Features(
    {
        "id": Value("string"),
        "sentence": Value("string"),
        "opinions": List(
            {
                "target": Value("string"),
                "start": Value("int32"),
                "end": Value("int32"),
                "category": Value("string"),
                "polarity": Value("string"),
                "opinion_words": List(Value("string")),
            }
        ),
        "text": Value("string"),
        "hard": Value("bool"),
        "implicit": Value("bool"),
        "multiple": Value("bool"),
    }
)

# Where whitespace was lost from Laptop14's train and dev sentences, spans lie up to this far right of their targets
# (103 of 2,358; 91 of them by 2). None of the other files has one.
MAX_SHIFT = 5
MOVED = f"spans moved by at most {MAX_SHIFT} characters onto their targets"


def build(data_dir: Path, config: str, changes: Counter[str] | None = None) -> dict[str, list[Row]]:
    """Read one config's official files into its splits.

    Args:
        data_dir: the folder that holds `fsa_datasets`.
        config: one of `CONFIGS`.
        changes: what is not as in the files is counted here.

    Raises:
        BenchmarkError: unknown config, or a file that is missing or broken. Nothing is written, so nothing is left.
    """
    if config not in CONFIGS:
        raise BenchmarkError(f"unknown config {config!r}; allowed: {', '.join(CONFIGS)}")
    task, folder = CONFIGS[config]
    folder = Path(data_dir) / "fsa_datasets" / "w_hard" / folder
    files = {}
    for name in dict.fromkeys(name for names in SPLITS.values() for name in names):
        path = folder / name
        files[name] = build_rows(read_records(path), task, hard=name == "hard_test.json", path=path, changes=changes)
    splits = {split: [row for name in names for row in files[name]] for split, names in SPLITS.items()}
    for split, rows in splits.items():
        seen: set[str] = set()
        for row in rows:
            if row["id"] in seen:
                raise BenchmarkError(
                    f"{folder}: ID {row['id']!r} occurs more than once in {split} ({' + '.join(SPLITS[split])}); "
                    "IDs must be unique within a split"
                )
            seen.add(row["id"])
    return splits


def build_rows(
    records: Sequence[Mapping[str, Any]],
    task: str,
    *,
    hard: bool,
    path: Path | str = "<records>",
    changes: Counter[str] | None = None,
) -> list[Row]:
    """Turn one file's records into benchmark rows, in file order.

    `implicit` (some opinion has no opinion words) is `None` where the file does not annotate opinion words, as train
    and dev do not: `False` would claim what nobody looked at. `multiple` (opinions of more than one polarity) counts
    opinions without a target too.

    Args:
        records: as in the official files: `ID, sentence, aspects[{from, to, target, category, polarity
            [, opinion_words]}]`. Spans that miss their target by at most `MAX_SHIFT` are moved onto it.
        task: "tsa" or "asa"; decides the order of the opinions, the text, and which fields an aspect needs.
        hard: whether these are the sentences that paper 1 added.
        path: named in errors.
        changes: what is not as in the records is counted here.

    Raises:
        BenchmarkError: a field that is missing or of the wrong kind, an unknown polarity, a span that is not its
            target's, or a repeated ID.
    """
    annotated = any(
        isinstance(aspect, dict) and "opinion_words" in aspect
        for record in records
        if isinstance(record.get("aspects"), list)
        for aspect in record["aspects"]
    )
    rows, seen, moved = [], set(), 0
    for index, record in enumerate(records):
        at = f"{path}: record {index} (ID {record.get('ID')!r})"
        row, shifts = _row(record, task, hard, annotated, at)
        if row["id"] in seen:
            raise BenchmarkError(f"{at}, ID: occurs before; IDs must be unique within a file")
        seen.add(row["id"])
        rows.append(row)
        moved += shifts
    if moved:
        logger.info("%s: moved %d spans by at most %d characters onto their targets", path, moved, MAX_SHIFT)
    if changes is not None:
        changes[MOVED] += moved
    return rows


def summary(rows: Sequence[Row]) -> dict[str, int | None]:
    """The counts of paper 1, Table 2: `sentences`, distinct `targets` and `aspects`, sentences with `implicit` and
    `multiple` sentiments (`implicit` is `None` where it is not annotated)."""
    targets = aspects = 0
    for row in rows:
        opinions = row["opinions"]
        targets += len({(o["target"], o["polarity"], o["start"], o["end"]) for o in opinions if o["target"]})
        aspects += len({(o["category"], o["polarity"]) for o in opinions if o["category"]})
    known = [row["implicit"] for row in rows if row["implicit"] is not None]
    return {
        "sentences": len(rows),
        "targets": targets,
        "aspects": aspects,
        "implicit": sum(known) if known else None,
        "multiple": sum(row["multiple"] for row in rows),
    }


def _row(record: Mapping[str, Any], task: str, hard: bool, annotated: bool, at: str) -> tuple[Row, int]:
    """One benchmark row, and how many of its spans had to be moved."""
    sentence = text_field(record, "sentence", at)
    aspects = field(record, "aspects", at)
    if not isinstance(aspects, list):
        raise BenchmarkError(f"{at}, aspects: expected an array, found {show(aspects)}")
    opinions, keys, moved = [], [], 0
    for number, aspect in enumerate(aspects):
        where = f"{at}, aspects[{number}]"
        if not isinstance(aspect, dict):
            raise BenchmarkError(f"{where}: expected an object, found {show(aspect)}")
        opinion, shift = _opinion(aspect, sentence, task, annotated, where)
        opinions.append(opinion)
        keys.append((opinion["target"] is None, aspect.get("from"), aspect.get("to")))
        moved += shift != 0
    if task == "tsa":
        if len({type(offset) for key in keys if not key[0] for offset in key[1:]}) > 1:
            raise BenchmarkError(f"{at}, aspects: from and to are strings in places and integers in others")
        # Offsets are compared as stored, strings as strings; opinions without a target keep their order.
        order = sorted(range(len(keys)), key=lambda i: keys[i] if not keys[i][0] else (True,))
        opinions = [opinions[i] for i in order]
    try:
        text = serialize(opinions, task)
    except ValueError as error:
        raise BenchmarkError(f"{at}, aspects: {error}") from error
    row = {
        "id": text_field(record, "ID", at),
        "sentence": sentence,
        "opinions": opinions,
        "text": text,
        "hard": hard,
        "implicit": any(not opinion["opinion_words"] for opinion in opinions) if annotated else None,
        "multiple": len({opinion["polarity"] for opinion in opinions}) > 1,
    }
    return row, moved


def _opinion(aspect: dict[str, Any], sentence: str, task: str, annotated: bool, at: str) -> tuple[Row, int]:
    """One opinion in the contract's form, and by how many characters its span was moved."""
    target = field(aspect, "target", at)
    target = None if target in (None, "NULL") else text_field(aspect, "target", at)
    category = field(aspect, "category", at)
    category = text_field(aspect, "category", at) if category is not None or task == "asa" else None
    polarity = field(aspect, "polarity", at)
    if polarity not in POLARITIES:
        raise BenchmarkError(f"{at}.polarity: found {show(polarity)}, allowed: {', '.join(POLARITIES)}")
    start = end = None
    shift = 0
    if target is not None:
        stored = _offset(aspect, "from", at), _offset(aspect, "to", at)
        start, end = _span(stored, target, sentence, at)
        shift = start - stored[0]
    words = _opinion_words(field(aspect, "opinion_words", at), at) if annotated else None
    return {
        "target": target,
        "start": start,
        "end": end,
        "category": category,
        "polarity": polarity,
        "opinion_words": words,
    }, shift


def _span(stored: tuple[int, int], target: str, sentence: str, at: str) -> tuple[int, int]:
    """The span of the target's occurrence that is nearest to the stored start, at most `MAX_SHIFT` away."""
    start, end = stored
    for shift in sorted(range(-MAX_SHIFT, MAX_SHIFT + 1), key=abs):
        if start + shift >= 0 and end - start == len(target) and sentence.startswith(target, start + shift):
            return start + shift, end + shift
    place = f"{sentence[start:end]!r}" if start < end <= len(sentence) else f"outside its {len(sentence)} characters"
    raise BenchmarkError(
        f"{at}.from/to: the span {start}:{end} is {place} of {sentence!r}, and the target {target!r} is not within "
        f"{MAX_SHIFT} characters of it"
    )


def _opinion_words(words: Any, at: str) -> list[str]:
    """SemEval-14 has a string or null per target, SemEval-16 and the hard files a list of {from, to, opinion}."""
    if words is None or words == "":
        return []
    if isinstance(words, str):
        return [words]
    if isinstance(words, list) and all(isinstance(word, dict) for word in words):
        return [text_field(word, "opinion", f"{at}.opinion_words[{i}]") for i, word in enumerate(words)]
    raise BenchmarkError(f"{at}.opinion_words: expected a string, null, or an array of objects, found {show(words)}")


def _offset(aspect: Mapping[str, Any], name: str, at: str) -> int:
    value = field(aspect, name, at)
    is_digits = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10
    if is_digits or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return int(value)
    raise BenchmarkError(f"{at}.{name}: expected a number of characters, found {show(value)}")
