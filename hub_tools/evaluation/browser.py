"""The error browser: predictions as one HTML page to filter and read, which needs nothing but a web browser.

The page holds everything (rows, style, script), asks no other host for anything, and forbids itself to
(Content-Security-Policy). Its address says what is filtered (`errors.html#kind=missed&polarity=negative`), so that a
view can be kept or sent. Rows are as `hub_tools.evaluation.rows.read_rows` gives them.
"""

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hub_tools.evaluation.errors import KINDS, Finding, Item, classify, known_categories
from hub_tools.evaluation.rows import write_text
from hub_tools.opinions import IMPLICIT, POLARITIES, fields_of, locate, parse


TEMPLATES = Path(__file__).parent / "templates"
SUBSETS = ("implicit", "multiple", "implicit_aspect", "implicit_opinion")
CONTEXT = "a guess: the sentence points at something that it does not name, or is very short"
RULE = (
    "Strict scores: a sentence's items are sets, so repeats neither help nor hurt, and each malformed or invented "
    "item counts as wrong. Equal items are paired first, then the likeliest mistakes; each gold item has one finding."
)


class BrowserError(ValueError):
    """Rows that cannot be shown together."""


def write_browser(
    rows: Sequence[Mapping[str, Any]],
    path: Path,
    title: str,
    task: str,
    against: Sequence[Mapping[str, Any]] | None = None,
    names: Sequence[str] = ("A", "B"),
) -> None:
    """
    Writes the page.

    Args:
        rows: `id, sentence, reference, prediction`; optionally `implicit, multiple, hard, model, seed`. Ids and
            seeds may be numbers.
        title: the page's heading.
        task: what `hub_tools.opinions.fields_of` knows.
        against: another system's rows for the same sentences, shown beside the first's.
        names: what the two systems are called.

    Raises:
        BrowserError: no rows, or `against` does not answer the same sentences.
        ValueError: unknown task.
    """
    data = page_data(rows, task, against, names)
    parts = {name: (TEMPLATES / f"browser.{name}").read_text(encoding="utf-8") for name in ("html", "css", "js")}
    policy = (
        f"default-src 'none'; style-src '{_digest(parts['css'])}'; script-src '{_digest(parts['js'])}'; "
        "base-uri 'none'; form-action 'none'"
    )
    filled = {
        "title": html.escape(title),
        "policy": html.escape(policy, quote=False),
        "style": parts["css"],
        "script": parts["js"],
        "data": _script_safe(data),
    }
    # One pass, so that braces in a title or sentence are not filled in turn.
    write_text(re.sub(r"\{\{(\w+)\}\}", lambda hole: filled[hole[1]], parts["html"]), Path(path))


def page_data(
    rows: Sequence[Mapping[str, Any]],
    task: str,
    against: Sequence[Mapping[str, Any]] | None = None,
    names: Sequence[str] = ("A", "B"),
) -> dict[str, Any]:
    """What the page's script reads, as JSON-ready values; raises as `write_browser` does."""
    if not rows:
        raise BrowserError("there are no rows to show")
    fields = fields_of(task)
    categories = known_categories([row["reference"] for row in rows], task)
    others = _aligned(rows, against) if against is not None else [None] * len(rows)
    shown = [_row(row, other, task, categories) for row, other in zip(rows, others, strict=True)]
    polarities = {item[fields.index("polarity")] for item in _all_items(shown)} if "polarity" in fields else set()
    found = {flag for row in shown for flag in row["flags"]}
    distinct = {name: sorted({row[name] for row in shown if name in row}) for name in ("model", "seed")}
    unit = "answers" if len(distinct["seed"]) > 1 or len(distinct["model"]) > 1 else "sentences"
    return {
        "task": task,
        "fields": list(fields),
        "names": list(names[: 1 if against is None else 2]),
        "subtitle": f"Task {task} ({', '.join(fields)}); {len(rows):,} {unit}.",
        "unit": unit,
        "kinds": {kind: {"label": label, "meaning": meaning} for kind, (label, meaning) in KINDS.items()},
        "context": CONTEXT,
        "rule": RULE,
        "polarities": [polarity for polarity in POLARITIES if polarity in polarities],
        "categories": sorted(categories or ()),
        "subsets": [subset for subset in SUBSETS if subset in found],
        "hard": "hard" in found,
        "models": distinct["model"],
        "seeds": sorted(distinct["seed"], key=lambda seed: (len(seed), seed)),
        "rows": shown,
    }


def _aligned(rows: Sequence[Mapping], against: Sequence[Mapping]) -> list[Mapping]:
    """The other system's row for each of `rows`: the one of the same id and seed, or of the same id alone."""
    by_seed = {(row["id"], row.get("seed")): row for row in against}
    by_id = {row["id"]: row for row in against}
    single = len(by_id) == len(against)
    aligned = []
    for row in rows:
        other = by_id.get(row["id"]) if single else by_seed.get((row["id"], row.get("seed")))
        if other is None:
            wanted = row["id"] if single else f"{row['id']} (seed {row.get('seed')})"
            raise BrowserError(f"the other system has no prediction for sentence {wanted}; both need the same ones")
        if other["sentence"] != row["sentence"] or other["reference"] != row["reference"]:
            raise BrowserError(f"sentence {row['id']} or its gold is not the same in both files; give both one gold")
        aligned.append(other)
    return aligned


def _row(row: Mapping, other: Mapping | None, task: str, categories: frozenset[str] | None) -> dict[str, Any]:
    fields = fields_of(task)
    gold = list(dict.fromkeys(parse(row["reference"], task, row["sentence"]).pairs))
    spans = _spans(gold, fields, row["sentence"])
    flags = [name for name in ("implicit", "multiple", "hard") if row.get(name)]
    if task in ("acos", "asqp"):
        names = (("implicit_aspect", "target"), ("implicit_opinion", "opinion"))
        flags += [flag for flag, field in names if any(item[fields.index(field)] == IMPLICIT for item in gold)]
    systems = [_system(each, gold, spans, task, categories) for each in (row, other) if each is not None]
    return {
        "id": str(row["id"]),
        **{name: str(row[name]) for name in ("model", "seed") if row.get(name) is not None},
        "sentence": row["sentence"],
        "reference": row["reference"],
        "flags": flags,
        "gold": gold,
        "spans": spans,
        "systems": systems,
    }


def _system(
    row: Mapping, gold: list[Item], spans: list[list], task: str, categories: frozenset[str] | None
) -> dict[str, Any]:
    """One system's answer: its text, its findings, and what it adds to the strict scores (right, predicted, gold)."""
    findings = classify(row["prediction"], row["reference"], row["sentence"], task, categories)
    predicted = [finding.predicted for finding in findings if finding.predicted]
    places = iter(_spans(predicted, fields_of(task), row["sentence"]))
    told = []
    for finding in findings:
        where = next(places) if finding.predicted else None
        number = gold.index(finding.gold) if finding.gold else None
        if number is not None and where:  # the same words are at the same place on both sides
            same = [left == right for left, right in zip(finding.gold, finding.predicted, strict=True)]
            where = [spans[number][at] if same[at] else where[at] for at in range(len(where))]
        told.append(_told(finding, number, where))
    read = parse(row["prediction"], task, row["sentence"])
    right = sum(finding.kind == "right" for finding in findings)
    counts = [right, len(set(read.pairs)) + read.malformed + read.invented, len(gold)]
    return {"prediction": row["prediction"], "findings": told, "counts": counts}


def _told(finding: Finding, gold: int | None, spans: list | None) -> dict[str, Any]:
    """A finding as the page reads it, empty fields left out; `gold` is the place in the row's gold items."""
    told = {
        "kind": finding.kind,
        "gold": gold,
        "predicted": finding.predicted,
        "spans": spans,
        "text": finding.text or None,
        "detail": finding.detail or None,
        "context": finding.needs_context or None,
    }
    return {name: value for name, value in told.items() if value is not None}


def _spans(items: Sequence[Item], fields: Sequence[str], sentence: str) -> list[list[list[int] | None]]:
    """For each item and field [start, end) in characters, found by looking; `None` where nothing is quoted."""
    spans: list[list[list[int] | None]] = [[None] * len(fields) for _ in items]
    for at, field in enumerate(fields):
        if field not in ("target", "opinion"):
            continue
        quotes = ["" if item[at] == IMPLICIT else item[at] for item in items]
        for span, row in zip(spans, locate([(quote, "") for quote in quotes], sentence), strict=True):
            span[at] = None if row["start"] is None else [row["start"], row["end"]]
    return spans


def _all_items(shown: Sequence[Mapping]) -> list[Item]:
    findings = [finding for row in shown for system in row["systems"] for finding in system["findings"]]
    return [item for row in shown for item in row["gold"]] + [f["predicted"] for f in findings if "predicted" in f]


def _script_safe(data: Mapping) -> str:
    """JSON that can stand inside a <script> element: no character of it ends the element or starts a comment."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    # Half a surrogate pair, which JSON lines may hold, is no UTF-8.
    return re.sub("[<>&\u2028\u2029\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text)


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
