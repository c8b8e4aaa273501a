"""Plain tables: CSV and TSV with a row per opinion, and JSON lines of benchmark rows.

    id,sentence,target,start,end,category,polarity,opinion
    1,The soup was cold.,soup,4,8,FOOD#QUALITY,negative,cold
    2,We left.,,,,,,

Of the columns only `sentence` is needed, and `polarity` for opinions. Rows of the same `id` (without ids: of the same
sentence, one after another) are one sentence; one without a polarity, target and category has no opinion. `opinion` is
a text, "NULL" where the opinion is implicit, empty where nobody annotated it, and a JSON list for several.

A file with a column `text` and none named `polarity` has a row per sentence, its opinions in the text form of the task
("soup | negative ; …"). A JSON line is a benchmark row (`opinions`), a sentence with `text`, or one opinion.
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from hub_tools.benchmarks.formats.cells import csv_rows
from hub_tools.benchmarks.formats.fitting import HOLDABLE, Format
from hub_tools.benchmarks.formats.problems import Problems, decoded, json_lines
from hub_tools.benchmarks.formats.rows import FLAGS, IMPLICIT, Draft, opinion
from hub_tools.benchmarks.records import Row
from hub_tools.opinions import IMPLICIT as IMPLICIT_IN_TEXT
from hub_tools.opinions import fields_of


OPINION_COLUMNS = ("target", "start", "end", "category", "polarity", "opinion")
_FIELDS = ("target", "start", "end", "category", "polarity", "opinion_words")


def read_csv(data: bytes, problems: Problems, task: str, separator: str) -> list[Draft]:
    """A header, then a row per opinion or, with `text`, per sentence."""
    text = decoded(data, problems)
    header = text.partition("\n")[0].replace('"', "").strip().split(separator)
    by_opinion = "polarity" in header or "text" not in header
    rows = csv_rows(text, separator, ["sentence", "polarity" if by_opinion else "text"], problems)
    filled = ((line, {name: cell for name, cell in row.items() if cell != ""}) for line, row in rows)
    if by_opinion:
        return _grouped(filled, problems)
    return [_from_text(line, {"text": "", **row}, task) for line, row in filled]


def read_jsonl(data: bytes, problems: Problems, task: str) -> list[Draft]:
    """Benchmark rows, sentences with `text`, or opinions."""
    rows = json_lines(decoded(data, problems), problems)
    if rows and "opinions" in rows[0][1]:
        return [_from_row(line, row) for line, row in rows]
    if rows and "text" in rows[0][1] and "polarity" not in rows[0][1]:
        return [_from_text(line, row, task) for line, row in rows]
    return _grouped(((line, {k: v for k, v in row.items() if v is not None}) for line, row in rows), problems)


def write_csv(rows: Sequence[Row], task: str, separator: str) -> str:
    """A row per opinion; `hard` only where some sentence is."""
    content = io.StringIO()
    columns = ["id", "sentence", *OPINION_COLUMNS, *(["hard"] if any(row["hard"] for row in rows) else [])]
    writer = csv.DictWriter(content, columns, delimiter=separator, extrasaction="ignore")
    writer.writeheader()
    for row in rows:
        own = {"id": row["id"], "sentence": row["sentence"], "hard": "true" if row["hard"] else "false"}
        writer.writerows(own | item | {"opinion": _cell(item["opinion_words"])} for item in row["opinions"] or [_NONE])
    return content.getvalue()


def write_jsonl(rows: Sequence[Row], task: str) -> str:
    """Benchmark rows, an object a line."""
    names = ("id", "sentence", "opinions", "text", *FLAGS)
    return "".join(json.dumps({name: row[name] for name in names}, ensure_ascii=False) + "\n" for row in rows)


_NONE: Row = dict.fromkeys(_FIELDS)


def _grouped(rows: Iterable[tuple[int, Mapping[str, Any]]], problems: Problems) -> list[Draft]:
    """Rows of one opinion each (empty cells left out) as sentences."""
    drafts: list[Draft] = []
    by_id: dict[str, Draft] = {}
    for line, row in rows:
        id_, sentence = row.get("id"), row.get("sentence")
        id_ = str(id_) if type(id_) is int else id_
        draft = by_id.get(id_) if isinstance(id_, str) else drafts[-1] if drafts and id_ is None else None
        if draft is None or (id_ is None and draft.sentence != sentence):
            draft = Draft(line, id_, "" if sentence is None else sentence, flags=_flags(row, line))
            drafts.append(draft)
            if isinstance(id_, str):
                by_id[id_] = draft
        elif draft.sentence != sentence:
            draft.wrong.append(
                (line, f"id {id_!r} has another sentence at line {draft.place}: {draft.sentence!r:.60}")
            )
        if any(name in row for name in OPINION_COLUMNS):
            _add(draft, row, line)
    return drafts


def _add(draft: Draft, row: Mapping[str, Any], line: int) -> None:
    """One opinion to its sentence's draft."""
    start, end = (_offset(row, name, draft, line) for name in ("start", "end"))
    if (start is None) != (end is None) and not draft.wrong:
        draft.wrong.append((line, "start and end should both be given, or neither"))
    words = row.get("opinion", row.get("opinion_words"))
    words = _words(words) if isinstance(words, str) else words
    if not isinstance(words, list | None):
        draft.wrong.append((line, f"opinion should be text or a list of texts, found {words!r:.60}"))
        words = None
    draft.add(
        opinion(
            row.get("target"), start, end, category=row.get("category"), polarity=row.get("polarity", ""), words=words
        ),
        line,
    )


def _offset(row: Mapping[str, Any], name: str, draft: Draft, line: int) -> int | None:
    value = row.get(name)
    if value is None or (type(value) is int and value >= 0):
        return value
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10:
        return int(value)
    draft.wrong.append((line, f"{name} should be a number of characters, found {value!r:.60}"))
    return None


def _from_row(line: int, row: Mapping[str, Any]) -> Draft:
    """A benchmark row, its text and flags made anew where they are missing."""
    id_ = row.get("id")
    draft = Draft(line, str(id_) if type(id_) is int else id_, row.get("sentence"), flags=_flags(row, line))
    opinions = row.get("opinions")
    if not isinstance(opinions, list) or not all(isinstance(item, dict) for item in opinions):
        draft.wrong.append((line, f"opinions should be a list of objects, found {opinions!r:.60}"))
        return draft
    for item in opinions:
        _add(draft, {name: value for name, value in item.items() if value is not None}, line)
    return draft


def _from_text(line: int, row: Mapping[str, Any], task: str) -> Draft:
    """A sentence whose opinions are in the text form of the task."""
    id_, text = row.get("id"), row.get("text")
    draft = Draft(line, str(id_) if type(id_) is int else id_, row.get("sentence"), flags=_flags(row, line))
    fields = fields_of(task)
    for part in text.split(";") if isinstance(text, str) else [None]:
        cells = [cell.strip() for cell in part.split("|")] if part else []
        if part is None:
            draft.wrong.append((line, f"text should be text, found {text!r:.60}"))
        elif len(cells) == len(fields):
            said = dict(zip(fields, cells, strict=True))
            words = said.pop("opinion", None)
            if said.get("target") == IMPLICIT_IN_TEXT and "category" in said:
                said["target"] = None
            words = None if words is None else [] if words == IMPLICIT_IN_TEXT else [words]
            draft.add(opinion(**said, words=words), line)
        elif part.strip():
            draft.wrong.append((line, f"expected '{' | '.join(fields)}', found {part.strip()!r:.80}"))
    return draft


def _flags(row: Mapping[str, Any], line: int) -> dict[str, bool | None]:
    """The flags that a row gives; a cell says "true" or "false"."""
    said = {name: {"true": True, "false": False}.get(str(row[name]).lower()) for name in FLAGS if name in row}
    return {name: value for name, value in said.items() if value is not None or name == "implicit"}


def _cell(words: list[str] | None) -> str | None:
    if words == []:
        return IMPLICIT
    if words is not None and (len(words) > 1 or words[0].startswith("[")):
        return json.dumps(words, ensure_ascii=False)
    return words and words[0]


def _words(cell: str) -> list[Any]:
    if cell.startswith("["):
        try:
            words = json.loads(cell)
        except (ValueError, RecursionError):
            return [cell]
        return words if isinstance(words, list) else [cell]
    return [cell]


CSV = Format(
    about="CSV, a row per opinion (or per sentence, with `text` in the text form)",
    suffix=".csv",
    read=partial(read_csv, separator=","),
    write=partial(write_csv, separator=","),
    holds=frozenset(HOLDABLE) - {"implicit", "multiple"},
    forbidden="(?!)",
)
TSV = CSV._replace(
    about="the same, separated by tabs",
    suffix=".tsv",
    read=partial(read_csv, separator="\t"),
    write=partial(write_csv, separator="\t"),
)
JSONL = CSV._replace(
    about="JSON lines of benchmark rows (or a line per opinion, or per sentence with `text`)",
    suffix=".jsonl",
    read=read_jsonl,
    write=write_jsonl,
    holds=frozenset(HOLDABLE),
)
