"""PyABSA's files (github.com/yangheng95/ABSADatasets): `apc` and `atepc` for targets, JSON lines for quads.

The $T$ was cold .        apc: a line per opinion with $T$ for its target, then the target, then the polarity
soup
Negative

The O -999                atepc: a token, its tag and its polarity a line; a block per opinion, in which the other
soup B-ASP Negative       targets have no polarity (-999); here blocks on the same words are one sentence again
was O -999

{"text": "…", "labels": [{"aspect": "soup", "opinion": "cold", "category": "FOOD#QUALITY", "polarity": "negative"}]}
"""

import json
import re
from collections.abc import Sequence

from hub_tools.benchmarks.formats.fitting import BREAKS, Format
from hub_tools.benchmarks.formats.problems import Problems, decoded, json_lines, numbered_lines
from hub_tools.benchmarks.formats.rows import IMPLICIT, Draft, opinion
from hub_tools.benchmarks.records import Row


MARK = "$T$"
NOTHING = "-999"
_NUMBERS = {"-1": "negative", "0": "neutral", "1": "positive"}  # some older files have these


def read_apc(data: bytes, problems: Problems, task: str) -> list[Draft]:
    """Three lines an opinion; opinions on the same sentence, one after another, are one draft."""
    lines = numbered_lines(decoded(data, problems))
    drafts: list[Draft] = []
    for first in range(0, len(lines), 3):
        group = lines[first : first + 3]
        number, text = group[0]
        if len(group) < 3:
            problems.add(
                number, f"expected three lines an opinion (sentence with {MARK}, target, polarity), found the end"
            )
        elif text.count(MARK) != 1:
            problems.add(number, f"expected {MARK} once, where the target stands; found it {text.count(MARK)} times")
            if not any(MARK in line for _, line in group):  # out of step: all that follows would be wrong too
                break
        else:
            target, polarity = group[1][1], group[2][1].strip()
            start, sentence = text.index(MARK), text.replace(MARK, target)
            item = opinion(target, start, start + len(target), polarity=_NUMBERS.get(polarity, polarity))
            if not drafts or drafts[-1].sentence != sentence:
                drafts.append(Draft(number, None, sentence))
            drafts[-1].add(item, number + 1)
    return drafts


def write_apc(rows: Sequence[Row], task: str) -> str:
    """Three lines an opinion."""
    lines = []
    for row in rows:
        for item in row["opinions"]:
            before, after = row["sentence"][: item["start"]], row["sentence"][item["end"] :]
            lines += [f"{before}{MARK}{after}", item["target"], item["polarity"].capitalize()]
    return "\n".join(lines) + "\n"


def read_atepc(data: bytes, problems: Problems, task: str) -> list[Draft]:
    """Blocks of `token tag polarity` lines."""
    drafts: list[Draft] = []
    tagged: list[int] = []
    before: list[tuple[str, str]] = []
    for number, block in _blocks(decoded(data, problems)):
        cells = [(place, line.split()) for place, line in block]
        wrong = [place for place, cell in cells if len(cell) != 3 or cell[1] not in ("O", "B-ASP", "I-ASP")]
        if wrong:
            reason = "expected a token, its tag (O, B-ASP or I-ASP) and its polarity (or -999), found"
            problems.reject(number, [(place, f"{reason} {dict(block)[place]!r:.60}") for place in wrong[:3]])
            continue
        words = [(cell[0], cell[1]) for _, cell in cells]
        if words != before:
            drafts.append(Draft(number, None, " ".join(word for word, _ in words), []))
            tagged.append(sum(tag == "B-ASP" for _, tag in words))
            before = words
        for item in _tagged([cell for _, cell in cells]):
            drafts[-1].add(item, number)
    problems.notes["tagged targets have no polarity and were left out"] += sum(
        max(0, count - len(draft.opinions)) for count, draft in zip(tagged, drafts, strict=True)
    )
    return drafts


def write_atepc(rows: Sequence[Row], task: str) -> str:
    """A block per opinion; a sentence without opinions is one block of O."""
    blocks = []
    for row in rows:
        tokens = [(match.start(), match.group()) for match in re.finditer(r"\S+", row["sentence"])]
        for said in row["opinions"] or [None]:
            lines = []
            for start, token in tokens:
                on = next((item for item in row["opinions"] if item["start"] <= start < item["end"]), None)
                tag = "O" if on is None else ("B-ASP" if on["start"] == start else "I-ASP")
                lines.append(f"{token} {tag} {said['polarity'].capitalize() if said and on is said else NOTHING}")
            blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def read_quads(data: bytes, problems: Problems, task: str) -> list[Draft]:
    """`text` and `labels`, a JSON object a line."""
    drafts = []
    for number, row in json_lines(decoded(data, problems), problems):
        labels = row.get("labels")
        names = {"aspect", "opinion", "category", "polarity"}
        if not isinstance(labels, list) or not all(isinstance(label, dict) and names <= {*label} for label in labels):
            problems.add(number, f"expected `labels`, a list of {', '.join(sorted(names))}; found {labels!r:.80}")
            continue
        opinions = [
            opinion(label["aspect"], category=label["category"], polarity=label["polarity"], words=[label["opinion"]])
            for label in labels
        ]
        drafts.append(Draft(number, None, row.get("text"), opinions))
    return drafts


def write_quads(rows: Sequence[Row], task: str) -> str:
    """A JSON object a line."""
    lines = []
    for row in rows:
        labels = [
            {
                "aspect": item["target"] or IMPLICIT,
                "opinion": (item["opinion_words"] or [IMPLICIT])[0],
                "polarity": item["polarity"],
                "category": item["category"] or IMPLICIT,
            }
            for item in row["opinions"]
        ]
        lines.append(json.dumps({"text": row["sentence"], "labels": labels}, ensure_ascii=False) + "\n")
    return "".join(lines)


def _blocks(text: str) -> list[tuple[int, list[tuple[int, str]]]]:
    """(first line, lines) of what blank lines separate."""
    blocks: list[tuple[int, list[tuple[int, str]]]] = []
    last = None
    for number, line in numbered_lines(text):
        if last != number - 1:
            blocks.append((number, []))
        blocks[-1][1].append((number, line))
        last = number
    return blocks


def _tagged(cells: list[list[str]]) -> list[Row]:
    """The opinions of one block: those of its targets that have a polarity."""
    found: list[Row] = []
    place, inside = 0, None
    for word, tag, polarity in cells:
        if tag == "O":
            inside = None
        elif tag == "I-ASP" and inside is not None:
            inside["target"] += f" {word}"
            inside["end"] = place + len(word)
        else:
            inside = opinion(word, place, place + len(word), polarity=_NUMBERS.get(polarity, polarity))
            found.append(inside)
        place += len(word) + 1
    return [item for item in found if item["polarity"] != NOTHING]


_TARGETS = {"target", "span", "conflict", "order"}
APC = Format(
    about="PyABSA, aspect polarity classification: three lines an opinion",
    suffix=".txt",
    read=read_apc,
    write=write_apc,
    holds=frozenset(_TARGETS | {"overlaps"}),
    needs=frozenset({"target"}),
    tasks=("tsa",),
    forbidden=rf"{BREAKS}|\$(?=T)",
)
ATEPC = Format(
    about="PyABSA, aspect term extraction: a tagged token a line",
    suffix=".atepc",
    read=read_atepc,
    write=write_atepc,
    holds=frozenset(_TARGETS | {"empty"}),
    needs=frozenset({"target"}),
    tasks=("tsa",),
    tokens=True,
    single_spaces=True,
)
QUADS = Format(
    about="PyABSA, quads: JSON lines of `text` and `labels`",
    suffix=".jsonl",
    read=read_quads,
    write=write_quads,
    holds=frozenset({"target", "category", "opinion", "conflict", "empty", "repeats", "overlaps", "order"}),
    forbidden="(?!)",
)
