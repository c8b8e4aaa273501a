"""SetFit's columns for aspect-based sentiment: `text, span, label, ordinal`, a row per opinion, CSV or JSON lines.

`ordinal` says which occurrence of the span in the text is meant, from 0. Rows on the same text, one after another, are
one sentence.
"""

import csv
import io
import json
from collections.abc import Iterable, Sequence

from hub_tools.benchmarks.formats.cells import csv_rows
from hub_tools.benchmarks.formats.fitting import Format
from hub_tools.benchmarks.formats.nearest import not_in
from hub_tools.benchmarks.formats.problems import Problems, decoded, json_lines
from hub_tools.benchmarks.formats.rows import Draft, opinion
from hub_tools.benchmarks.records import Row


COLUMNS = ("text", "span", "label", "ordinal")


def read_csv(data: bytes, problems: Problems, task: str) -> list[Draft]:
    """A header and a row per opinion."""
    return _drafts(csv_rows(decoded(data, problems), ",", COLUMNS, problems), problems)


def read_jsonl(data: bytes, problems: Problems, task: str) -> list[Draft]:
    """An object per opinion."""
    return _drafts(json_lines(decoded(data, problems), problems), problems)


def write_csv(rows: Sequence[Row], task: str) -> str:
    """A header and a row per opinion."""
    content = io.StringIO()
    writer = csv.DictWriter(content, COLUMNS)
    writer.writeheader()
    writer.writerows(_records(rows))
    return content.getvalue()


def write_jsonl(rows: Sequence[Row], task: str) -> str:
    """An object per opinion."""
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in _records(rows))


def _records(rows: Sequence[Row]) -> Iterable[dict[str, str | int]]:
    for row in rows:
        for item in row["opinions"]:
            ordinal = _places(item["target"], row["sentence"]).index(item["start"])
            yield {
                "text": row["sentence"],
                "span": item["target"],
                "label": item["polarity"],
                "ordinal": ordinal,
            }


def _drafts(records: Iterable[tuple[int, dict]], problems: Problems) -> list[Draft]:
    drafts: list[Draft] = []
    for line, row in records:
        missing = [name for name in COLUMNS if name not in row]
        texts = [row.get(name) for name in COLUMNS[:3]]
        if missing or not all(isinstance(text, str) for text in texts):
            problems.add(line, f"expected text, span, label and ordinal, found {row!r:.100}")
            continue
        text, span, label = texts
        if not drafts or drafts[-1].sentence != text:
            drafts.append(Draft(line, None, text))
        places = _places(span, text) if span else []
        ordinal = str(row["ordinal"]).strip() or "0"
        if not places:
            drafts[-1].wrong.append((line, not_in(span, text)))
        elif not (ordinal.isascii() and ordinal.isdecimal() and len(ordinal) < 6 and int(ordinal) < len(places)):
            reason = f"ordinal {row['ordinal']!r} of {span!r}, which is in the text {len(places)} times (from 0)"
            drafts[-1].wrong.append((line, reason))
        else:
            start = places[int(ordinal)]
            drafts[-1].add(opinion(span, start, start + len(span), polarity=label), line)
    return drafts


def _places(span: str, text: str) -> list[int]:
    """All places of a span, overlapping ones too, as SetFit counts them."""
    places, start = [], text.find(span)
    while start >= 0:
        places.append(start)
        start = text.find(span, start + 1)
    return places


CSV = Format(
    about="SetFit's columns text, span, label, ordinal as CSV",
    suffix=".csv",
    read=read_csv,
    write=write_csv,
    holds=frozenset({"target", "span", "conflict", "overlaps", "order"}),
    needs=frozenset({"target"}),
    tasks=("tsa",),
    forbidden="(?!)",
)
JSONL = CSV._replace(
    about="SetFit's columns text, span, label, ordinal as JSON lines",
    suffix=".jsonl",
    read=read_jsonl,
    write=write_jsonl,
)
