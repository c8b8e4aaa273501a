"""What a corpus holds and what was kept out of it: the facts of its card."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean

from hub_tools.prompts import READERS

from .pairs import grounded


SAMPLES = 3


def summary(pairs: Sequence[Mapping], rejected: Sequence[Mapping]) -> dict:
    """Counts, lengths and samples.

    Returns:
        `pairs`, `rejected` and `reviews` (counts); `parts` (a list: teacher, domain, prompt, pairs, rejected, and the
        mean words_in and words_out of the pairs); `reasons` (reason → count); `samples` (reason → up to three rejected
        rows); `opinions` and `ungrounded_targets` (of the analyses that were kept).
    """
    parts: dict[tuple[str, str, str], list[Mapping]] = defaultdict(list)
    lost: Counter[tuple[str, str, str]] = Counter()
    samples: dict[str, list[Mapping]] = defaultdict(list)
    for pair in pairs:
        parts[_part(pair)].append(pair)
    for pair in rejected:
        lost[_part(pair)] += 1
        if len(samples[pair["reason"]]) < SAMPLES:
            samples[pair["reason"]].append(pair)
    opinions, ungrounded = _grounding(pairs)
    return {
        "pairs": len(pairs),
        "rejected": len(rejected),
        "reviews": len({pair["review_id"] for pair in pairs}),
        "parts": [_facts(part, parts[part], lost[part]) for part in sorted({*parts, *lost})],
        "reasons": dict(Counter(pair["reason"] for pair in rejected).most_common()),
        "samples": {reason: [dict(row) for row in rows] for reason, rows in samples.items()},
        "opinions": opinions,
        "ungrounded_targets": ungrounded,
    }


def _part(pair: Mapping) -> tuple[str, str, str]:
    return pair["teacher"], pair["domain"], pair["prompt"]


def _facts(part: tuple[str, str, str], pairs: Sequence[Mapping], rejected: int) -> dict:
    teacher, domain, prompt = part
    return {
        "teacher": teacher,
        "domain": domain,
        "prompt": prompt,
        "pairs": len(pairs),
        "rejected": rejected,
        "words_in": round(fmean(len(pair["input"].split()) for pair in pairs), 1) if pairs else 0.0,
        "words_out": round(fmean(len(pair["target"].split()) for pair in pairs), 1) if pairs else 0.0,
    }


def _grounding(pairs: Sequence[Mapping]) -> tuple[int, int]:
    """Opinions of the analyses, and how many of their targets are not in the words of the review."""
    total = found = 0
    for pair in pairs:
        if pair["prompt"] == "analysis":
            targets = [opinion["target"] for opinion in READERS["analysis"](pair["target"]).opinions]
            total += len(targets)
            found += grounded(targets, pair["input"])
    return total, total - found
