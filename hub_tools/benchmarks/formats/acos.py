"""ACOS's quads by token numbers (github.com/NUSTM/ACOS), and the same as JSON (github.com/HITSZ-HLT/ST-w-Scorer-ABSA).

    the soup was cold<TAB>1,2 FOOD#QUALITY 0 3,4     target, category, polarity, opinion; -1,-1 is implicit

    [{"ID": 0, "sentence": "the soup was cold", "quads": [["soup", "cold", "food quality", "negative"]]}]

Token spans end before their second number; polarities are 0 (negative), 1 (neutral), 2 (positive).
"""

import json
import re
from collections.abc import Sequence

from hub_tools.benchmarks.formats.fitting import Format, aligned_place
from hub_tools.benchmarks.formats.problems import Problems, decoded, numbered_lines, parsed_json
from hub_tools.benchmarks.formats.rows import IMPLICIT, Draft, opinion
from hub_tools.benchmarks.formats.tuples import tokens
from hub_tools.benchmarks.records import Row


POLARITIES = ("negative", "neutral", "positive")
_QUAD = re.compile(r"(-?\d{1,5}),(-?\d{1,5}) (\S.*?) ([012]) (-?\d{1,5}),(-?\d{1,5})", re.ASCII)


def read_tsv(data: bytes, problems: Problems, task: str) -> list[Draft]:
    """A sentence and its quads a line."""
    drafts = []
    for number, line in numbered_lines(decoded(data, problems)):
        sentence, *quads = line.split("\t")
        draft = Draft(number, None, sentence)
        spans = tokens(sentence)
        for quad in filter(str.strip, quads):
            found = _QUAD.fullmatch(quad.strip())
            if not found:
                expected = "expected a quad like '1,2 FOOD#QUALITY 0 3,4' (polarity 0, 1 or 2)"
                draft.wrong.append((number, f"{expected}, found {quad!r:.60}"))
                continue
            numbers = [int(found[group]) for group in (1, 2, 5, 6)]
            places = []
            for first, last in (numbers[:2], numbers[2:]):
                if (first, last) == (-1, -1):
                    places.append(None)
                elif 0 <= first < last <= len(spans):
                    places.append((spans[first][0], spans[last - 1][1]))
                else:
                    reason = f"tokens {first},{last} of {quad!r}: the sentence has tokens from 0 to {len(spans)}"
                    draft.wrong.append((number, reason))
            if not draft.wrong:
                target, words = places
                draft.opinions.append(
                    opinion(
                        *((sentence[slice(*target)], *target) if target else ()),
                        category=found[3],
                        polarity=POLARITIES[int(found[4])],
                        words=[sentence[slice(*words)]] if words else [],
                    )
                )
        drafts.append(draft)
    return drafts


def write_tsv(rows: Sequence[Row], task: str) -> str:
    """A sentence and its quads a line."""
    lines = []
    for row in rows:
        sentence = row["sentence"]
        cells = [sentence]
        for item in row["opinions"]:
            target = (item["start"], item["end"]) if item["target"] is not None else None
            words = aligned_place(item["opinion_words"][0], sentence) if item["opinion_words"] else None
            number = POLARITIES.index(item["polarity"])
            cells.append(f"{_numbers(target, sentence)} {item['category']} {number} {_numbers(words, sentence)}")
        lines.append("\t".join(cells) + "\n")
    return "".join(lines)


def _numbers(place: tuple[int, int] | None, sentence: str) -> str:
    if place is None:
        return "-1,-1"
    inside = [number for number, (start, _) in enumerate(tokens(sentence)) if place[0] <= start < place[1]]
    return f"{inside[0]},{inside[-1] + 1}"


def read_json(data: bytes, problems: Problems, task: str) -> list[Draft]:
    """An array of `ID, sentence, quads[[target, opinion, category, polarity]]`."""
    records = parsed_json(decoded(data, problems), problems)
    if not isinstance(records, list):
        raise problems.fatal(None, f"expected a JSON array of sentences, found {type(records).__name__}")
    drafts = []
    for index, record in enumerate(records):
        place = f"record {index}"
        quads = record.get("quads") if isinstance(record, dict) else None
        if not isinstance(quads, list) or not all(isinstance(quad, list) and len(quad) == 4 for quad in quads):
            expected = "expected `sentence` and `quads`, a list of [target, opinion, category, polarity]"
            problems.add(place, f"{expected}, found {record!r:.80}")
            continue
        id_ = record.get("ID")
        draft = Draft(place, str(id_) if type(id_) is int else id_, record.get("sentence"))
        for target, words, category, polarity in quads:
            draft.opinions.append(opinion(target, category=category, polarity=polarity, words=[words]))
        drafts.append(draft)
    return drafts


def write_json(rows: Sequence[Row], task: str) -> str:
    """An array of sentences."""
    records = [
        {
            "sentence": row["sentence"],
            "quads": [
                [
                    item["target"] or IMPLICIT,
                    (item["opinion_words"] or [IMPLICIT])[0],
                    item["category"],
                    item["polarity"],
                ]
                for item in row["opinions"]
            ],
            "ID": row["id"],
        }
        for row in rows
    ]
    return json.dumps(records, ensure_ascii=False, indent=1) + "\n"


_HOLDS = {"target", "category", "opinion", "empty", "repeats", "overlaps", "order"}
TSV = Format(
    about="ACOS quads by token numbers: sentence, then 'b,e CATEGORY 0|1|2 b,e' after tabs",
    suffix=".tsv",
    read=read_tsv,
    write=write_tsv,
    holds=frozenset(_HOLDS | {"span"}),
    needs=frozenset({"category"}),
    tokens=True,
    category_spaces=False,
)
JSON = Format(
    about="ST-w-Scorer's JSON of quads",
    suffix=".json",
    read=read_json,
    write=write_json,
    holds=frozenset(_HOLDS | {"id", "conflict"}),
    needs=frozenset({"category"}),
    forbidden="(?!)",
)
