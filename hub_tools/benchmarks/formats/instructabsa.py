"""InstructABSA's CSV (github.com/kevinscaria/InstructABSA): lists of Python dictionaries in its cells.

    sentenceId,raw_text,aspectTerms,aspectCategories
    1,The soup was cold.,"[{'term': 'soup', 'polarity': 'negative'}]","[{'category': 'food', 'polarity': 'negative'}]"

`sentenceId` and the column that is not read may be missing. No opinion is the term "noaspectterm" (for categories
here: "noaspectcategory") with the polarity "none".
"""

import csv
import io
from collections.abc import Sequence
from functools import partial

from hub_tools.benchmarks.formats.cells import csv_rows
from hub_tools.benchmarks.formats.fitting import Format
from hub_tools.benchmarks.formats.problems import Problems, decoded, parsed_literal
from hub_tools.benchmarks.formats.rows import Draft, opinion
from hub_tools.benchmarks.records import Row


COLUMNS = {"term": "aspectTerms", "category": "aspectCategories"}


def read(data: bytes, problems: Problems, task: str, key: str) -> list[Draft]:
    """The column of terms or that of categories."""
    drafts = []
    for line, row in csv_rows(decoded(data, problems), ",", ["raw_text", COLUMNS[key]], problems):
        items = parsed_literal(row[COLUMNS[key]] or "[]")
        if not isinstance(items, list) or not all(isinstance(i, dict) and {key, "polarity"} <= {*i} for i in items):
            found = f"{row[COLUMNS[key]]!r:.80}"
            problems.add(line, f"{COLUMNS[key]} should be a list like [{{'{key}': …, 'polarity': …}}], found {found}")
            continue
        field = {"term": "target", "category": "category"}[key]
        opinions = [
            opinion(**{field: item[key]}, polarity=item["polarity"])
            for item in items
            if item[key] != f"noaspect{key}" or item["polarity"] != "none"
        ]
        drafts.append(Draft(line, row.get("sentenceId") or None, row["raw_text"], opinions))
    return drafts


def write(rows: Sequence[Row], task: str, key: str) -> str:
    """Ids, sentences, and the column of terms or that of categories."""
    content = io.StringIO()
    writer = csv.writer(content)
    writer.writerow(["sentenceId", "raw_text", COLUMNS[key]])
    field = {"term": "target", "category": "category"}[key]
    for row in rows:
        items = [{key: item[field], "polarity": item["polarity"]} for item in row["opinions"]]
        items = items or [{key: f"noaspect{key}", "polarity": "none"}]
        writer.writerow([row["id"], row["sentence"], repr(items)])
    return content.getvalue()


_HOLDS = {"id", "conflict", "empty", "repeats", "overlaps", "order"}
TERMS = Format(
    about="InstructABSA's CSV, aspect terms",
    suffix=".csv",
    read=partial(read, key="term"),
    write=partial(write, key="term"),
    holds=frozenset(_HOLDS | {"target"}),
    needs=frozenset({"target"}),
    tasks=("tsa",),
    forbidden="(?!)",
)
CATEGORIES = Format(
    about="InstructABSA's CSV, aspect categories",
    suffix=".csv",
    read=partial(read, key="category"),
    write=partial(write, key="category"),
    holds=frozenset(_HOLDS | {"category", "span"}),
    needs=frozenset({"category"}),
    tasks=("asa",),
    forbidden="(?!)",
)
