"""The quadruple sets ACOS and ASQP: public files → `fsa-benchmark` rows (paper 1, arXiv 2412.18552, Table 13).

A quad is (target, category, polarity, opinion words), its target or its opinion words being implicit in places. Each
set is public in two forms that annotate the same sentences in the same order:

- `detokenised`: `<data>/quads/t5/<acos|asqp>/<set>/{train,dev,test}.json`, the reviews' spelling brought back for T5.
  Most likely what the paper used, since its authors published it; hence the default.
- `raw`: as the annotators published them, a space around every token; ACOS in lower case, with token spans.

    >>> quad = ["Pad Thai", "great", "food quality", "positive"]
    >>> row, = build_rows([{"ID": 0, "sentence": "The Pad Thai is great.", "quads": [quad]}], "asqp")
    >>> row["text"], row["opinions"][0]["start"], row["implicit"]
    ('food quality | positive | Pad Thai | great', 4, False)

Categories are kept as each form writes them ("food quality", or "FOOD#QUALITY" in raw ACOS): the text form is the
same. Opinions, and the text, are in the order of annotation, repeats included: 30 sentences have one.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hub_tools.benchmarks.quad_lines import read_acos, read_asqp
from hub_tools.benchmarks.records import BenchmarkError, Row, check_ids, field, read_records, show, text_field
from hub_tools.opinions import locate, serialize


logger = logging.getLogger(__name__)


class Source(NamedTuple):
    """What a config annotates, and where its files are below `<data>/quads`, by form (`{}` is the split's name)."""

    task: str
    detokenised: str
    raw: str


CONFIGS = {
    "acos-rest16": Source("acos", "t5/acos/rest16/{}.json", "acos_rest16/{}.tsv"),
    "acos-laptop16": Source("acos", "t5/acos/laptop16/{}.json", "acos_laptop16/{}.tsv"),
    "asqp-rest15": Source("asqp", "t5/asqp/rest15/{}.json", "asqp_rest15/{}.txt"),
    "asqp-rest16": Source("asqp", "t5/asqp/rest16/{}.json", "asqp_rest16/{}.txt"),
}
SPLITS = {"train": "train", "validation": "dev", "test": "test"}
FORMS = ("detokenised", "raw")
POLARITIES = ("positive", "neutral", "negative")  # nobody annotated "conflict" here
IMPLICIT = "NULL"
# What is not as in the files, and what is wrong with them and stays
EMPTY = "opinions annotated as no word, taken for implicit"
RESPELT = "opinion words spelt as in their sentence"
UNFOUND = "opinion words that are not in their sentence, left so"


def build(
    data_dir: Path, config: str, form: str = "detokenised", changes: Counter[str] | None = None
) -> dict[str, list[Row]]:
    """Read one config's files into its splits.

    Args:
        data_dir: the folder that holds `quads`.
        config: one of `CONFIGS`.
        form: one of `FORMS`.
        changes: what is not as in the files is counted here.

    Raises:
        BenchmarkError: unknown config or form, or a file that is missing or broken.
    """
    for name, value, allowed in (("config", config, CONFIGS), ("form of quads", form, FORMS)):
        if value not in allowed:
            raise BenchmarkError(f"unknown {name} {value!r}; allowed: {', '.join(allowed)}")
    source = CONFIGS[config]
    pattern = source.raw if form == "raw" else source.detokenised
    splits = {}
    for split, file in SPLITS.items():
        path = Path(data_dir) / "quads" / pattern.format(file)
        splits[split] = build_rows(_READERS[path.suffix](path), source.task, path, changes)
    return splits


def build_rows(
    records: Iterable[Mapping[str, Any]],
    task: str,
    path: Path | str = "<records>",
    changes: Counter[str] | None = None,
) -> list[Row]:
    """Turn one file's records into benchmark rows, in file order.

    An opinion that was annotated as no word at all (one, in ACOS-Rest16's train) is implicit. Opinion words take the
    spelling of their sentence where case and spacing alone differ; where more does they stay as they are (three, in
    raw ASQP, where annotators put a sentence right).

    Args:
        records: `ID, sentence, quads[[target, opinion, category, polarity]]`, "NULL" where implicit, as in the
            de-tokenised files; with `spans` (one (start, end) or None per quad, in characters) where the file has
            them, else a target is at its first occurrence that is a whole word, or else at its first.
        task: "acos" or "asqp"; both have the same text form.
        path: named in errors.
        changes: what is not as in the records is counted here.

    Raises:
        BenchmarkError: a field that is missing or of the wrong kind, an unknown polarity, a target that is not in its
            sentence, or a repeated ID.
    """
    rows: list[Row] = []
    found: Counter[str] = Counter()
    for index, record in enumerate(records):
        line = record.get("line")
        at = f"{path}:{line}" if line else f"{path}: record {index} (ID {record.get('ID')!r})"
        rows.append(_row(record, task, at, found))
    check_ids(rows, path)
    for what, cases in found.items():
        logger.info("%s: %s: %d", path, what, cases)
    if changes is not None:
        changes.update(found)
    return rows


def _row(record: Mapping[str, Any], task: str, at: str, found: Counter[str]) -> Row:
    sentence = text_field(record, "sentence", at)
    quads = field(record, "quads", at)
    if not isinstance(quads, list) or not quads:
        raise BenchmarkError(f"{at}, quads: expected a non-empty array, found {show(quads)}")
    spans = record.get("spans", [None] * len(quads))
    opinions = [
        _opinion(quad, span, sentence, f"{at}, quads[{i}]", found)
        for i, (quad, span) in enumerate(zip(quads, spans, strict=True))
    ]
    try:
        text = serialize(opinions, task)
    except ValueError as error:
        raise BenchmarkError(f"{at}, quads: {error}") from error
    return {
        "id": _id(record, at),
        "sentence": sentence,
        "opinions": opinions,
        "text": text,
        "hard": False,
        "implicit": any(not opinion["opinion_words"] for opinion in opinions),
        "multiple": len({opinion["polarity"] for opinion in opinions}) > 1,
    }


def _opinion(quad: Any, span: tuple[int, int] | None, sentence: str, at: str, found: Counter[str]) -> Row:
    if not isinstance(quad, Sequence) or len(quad) != 4 or not all(isinstance(part, str) for part in quad):
        raise BenchmarkError(f"{at}: expected four strings (target, opinion, category, polarity), found {show(quad)}")
    parts = dict(zip(("target", "opinion", "category", "polarity"), quad, strict=True))
    target = text_field(parts, "target", at)
    if parts["polarity"] not in POLARITIES:
        raise BenchmarkError(f"{at}, polarity: found {show(parts['polarity'])}, allowed: {', '.join(POLARITIES)}")
    start = end = None
    if target == IMPLICIT:
        target = None
    else:
        start, end = span or _place(target, sentence, at)
    return {
        "target": target,
        "start": start,
        "end": end,
        "category": text_field(parts, "category", at),
        "polarity": parts["polarity"],
        "opinion_words": _opinion_words(parts, sentence, at, found),
    }


def _opinion_words(parts: Mapping[str, str], sentence: str, at: str, found: Counter[str]) -> list[str]:
    words = parts["opinion"]
    if words == IMPLICIT:
        return []
    if not words.strip():
        found[EMPTY] += 1
        return []
    words = text_field(parts, "opinion", at)
    if words in sentence:
        return [words]
    written = _as_written(words, sentence)
    found[UNFOUND if written is None else RESPELT] += 1
    return [written or words]


def _place(target: str, sentence: str, at: str) -> tuple[int, int]:
    (found,) = locate([(target, "neutral")], sentence)
    if found["start"] is None:
        raise BenchmarkError(f"{at}, target: {target!r} is not in the sentence {sentence!r}, nor {IMPLICIT!r}")
    return found["start"], found["end"]


def _as_written(words: str, sentence: str) -> str | None:
    """The words as they stand in the sentence, whatever their case and spacing; None if they do not.

    >>> _as_written("can't be beat", "The price ca n't BE beat !")
    "ca n't BE beat"
    """
    places = [i for i, char in enumerate(sentence) if not char.isspace()]
    squeezed = "".join(sentence[i].lower() for i in places)
    wanted = "".join(words.lower().split())
    start = squeezed.find(wanted)
    if start < 0 or len(squeezed) != len(places):  # lower case of another length: no way back
        return None
    return sentence[places[start] : places[start + len(wanted) - 1] + 1]


def _id(record: Mapping[str, Any], at: str) -> str:
    value = field(record, "ID", at)
    if isinstance(value, bool) or not isinstance(value, int):
        return text_field(record, "ID", at)
    return str(value)


_READERS = {".json": read_records, ".tsv": read_acos, ".txt": read_asqp}
