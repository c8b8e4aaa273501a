"""What a corpus holds and what was kept out of it, counted pair by pair: the facts of its card."""

import io
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hub_tools.prompts.analysis import AnalysisReply

from .pairs import Judged
from .words import normalise, stands_in


SAMPLES = 3
STARS = ("1", "2", "3", "4", "5", "none")
Part = tuple[str, str, str]


@dataclass
class Summary:
    """Counts, lengths in words, and samples; it grows with the parts of a corpus and not with its rows.

    Attributes:
        pairs, rejected: of each part (teacher, domain, prompt).
        words_in, words_out: of each part's pairs: words → pairs.
        stars: rounded rating, or "none" → pairs.
        sources: (source, licence) → pairs.
        reasons: why → rejected pairs.
        samples: why → up to `SAMPLES` of the rejected rows.
        opinions, ungrounded: opinions of the analyses that were kept, and those whose target is not in the review.
        reviews: reviews that have a pair; counted where pairs of one review come one after the other.
        repeats: replies that were not judged, since another answered the same request.
    """

    pairs: Counter[Part] = field(default_factory=Counter)
    rejected: Counter[Part] = field(default_factory=Counter)
    words_in: dict[Part, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    words_out: dict[Part, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    stars: Counter[str] = field(default_factory=Counter)
    sources: Counter[tuple[str, str]] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[dict]] = field(default_factory=lambda: defaultdict(list))
    opinions: int = 0
    ungrounded: int = 0
    reviews: int = 0
    repeats: int = 0
    _last_review: tuple[str, str] | None = None

    def add(self, judged: Judged) -> None:
        """Count one pair, kept or rejected."""
        pair = judged.pair
        part = pair["teacher"], pair["domain"], pair["prompt"]
        if judged.reason:
            self.rejected[part] += 1
            self.reasons[judged.reason] += 1
            if len(self.samples[judged.reason]) < SAMPLES:
                self.samples[judged.reason].append({**pair, "detail": judged.detail})
            return
        self.pairs[part] += 1
        self.words_in[part][len(pair["input"].split())] += 1
        self.words_out[part][len(pair["target"].split())] += 1
        self.stars["none" if pair["rating"] is None else str(min(5, max(1, int(pair["rating"] + 0.5))))] += 1
        self.sources[pair["source"], pair["licence"]] += 1
        if self._last_review != (pair["source"], pair["review_id"]):
            self._last_review = pair["source"], pair["review_id"]
            self.reviews += 1
        if isinstance(judged.read, AnalysisReply):
            words = normalise(pair["input"])
            targets = [normalise(opinion["target"]) for opinion in judged.read.opinions]
            self.opinions += len(targets)
            self.ungrounded += sum(not stands_in(target, words) for target in targets)

    def parts(self) -> list[dict]:
        """A row per part: its names, `pairs`, `rejected`, and the mean `words in` and `words out` of its pairs."""
        return [
            {
                "teacher": teacher,
                "domain": domain,
                "prompt": prompt,
                "pairs": self.pairs[teacher, domain, prompt],
                "rejected": self.rejected[teacher, domain, prompt],
                "words in": _mean(self.words_in[teacher, domain, prompt]),
                "words out": _mean(self.words_out[teacher, domain, prompt]),
            }
            for teacher, domain, prompt in sorted({*self.pairs, *self.rejected})
        ]


def gate_rows(asked: Mapping[str, Sequence[int]], says: Mapping[str, str]) -> list[dict]:
    """A row for each thing that was asked of the replies: how many were looked at, how many rejected.

    >>> gate_rows({"copy": [200, 3]}, {"copy": "it is no copy"})
    [{'gate': 'copy', 'asks that': 'it is no copy', 'looked at': 200, 'rejected': 3, '%': '1.5'}]
    """
    return [
        {
            "gate": name,
            "asks that": says[name],
            "looked at": looked_at,
            "rejected": rejected,
            "%": f"{100 * rejected / looked_at:.1f}" if looked_at else "–",
        }
        for name, (looked_at, rejected) in asked.items()
    ]


def draw_lengths(summary: Summary) -> bytes:
    """A PNG of how long reviews and targets are: a row per prompt, a line per teacher and domain."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    prompts = sorted({prompt for _, _, prompt in summary.pairs})
    figure, axes = pyplot.subplots(
        len(prompts), 2, figsize=(9, 2.6 * len(prompts)), squeeze=False, layout="constrained"
    )
    for row, prompt in zip(axes, prompts, strict=True):
        for axis, words, what in zip(row, (summary.words_in, summary.words_out), ("reviews", "targets"), strict=True):
            for part in sorted(part for part in summary.pairs if part[2] == prompt):
                counts = words[part]
                axis.hist(
                    list(counts), weights=list(counts.values()), bins=40, histtype="step", label=", ".join(part[:2])
                )
            axis.set(title=f"{prompt}: {what}", xlabel="words", ylabel="pairs")
            axis.legend(fontsize="small", frameon=False)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=110, metadata={"Software": None})
    pyplot.close(figure)
    return png.getvalue()


def _mean(words: Counter[int]) -> float:
    pairs = words.total()
    return round(sum(length * count for length, count in words.items()) / pairs, 1) if pairs else 0.0
