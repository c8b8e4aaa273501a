"""How many tokens a labelling run reads and writes: from a sample of its reviews and what is known of its teacher."""

import json
import math
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, stdev
from typing import NamedTuple

from ..journal import Journal
from ..request import Messages, Teacher, requests_for
from .amounts import Range
from .budget import NOTHING, Spent
from .counting import TokenCounter


SAMPLE = 400  # reviews counted
ENOUGH = 30  # replies that tell more about a teacher than another teacher's do
_Z = 1.96  # 95 % of a normal distribution
_SPREAD = 0.4  # standard deviation of a reply's tokens, of their mean: 0.34 and 0.37 in the published sample

Builders = Mapping[str, Callable[[str], Messages]]


class Length(NamedTuple):
    """How long Mixtral's replies to one prompt are in its tokens: `base + slope x tokens of the review` on average.

    `short` and `long` are the shortest and longest twentieth, of the mean. Measured 2026-11-21 on the 234 analyses and
    266 rewritings of the published sample of paper 1 (arXiv 2412.18552), with the model's tokenizer; none has more
    than 519 tokens.
    """

    base: float
    slope: float
    short: float
    long: float


LENGTHS = {"analysis": Length(273, 0.91, 0.49, 1.50), "rewriting": Length(101, 0.92, 0.55, 1.67)}


@dataclass(frozen=True)
class Replied:
    """How many replies a teacher has given to a prompt, and their tokens on average."""

    count: int
    mean: float


@dataclass(frozen=True)
class Prior:
    """What earlier sessions of the run tell.

    Attributes:
        answered: requests that need not be asked again.
        spent: what they used; limits hold for the run as a whole.
        replies: prompt → the same teacher's replies.
        tokens_per_second: that it wrote; 0 where nothing is known.
    """

    answered: int = 0
    spent: Spent = NOTHING
    replies: Mapping[str, Replied] = field(default_factory=dict)
    tokens_per_second: float = 0.0


NO_PRIOR = Prior()


def prior_of(journal: Journal, teacher: Teacher, answered: int) -> Prior:
    """What the run's journal tells of this teacher.

    Args:
        answered: how many of the wanted requests it holds an answer to.
    """
    groups, sessions = journal.groups(), journal.sessions()
    sampling = json.dumps(dict(teacher.sampling), sort_keys=True)
    own = [
        group for group in groups if (group["teacher"], group["teacher_revision"]) == (teacher.name, teacher.revision)
    ]
    same = [group for group in own if group["sampling"] == sampling and group["completion_tokens"]]
    seconds = sum(session["seconds"] for session in sessions)
    # Sessions do not say whose they were: they tell this teacher's pace where it was the only one.
    measured = seconds > 0 and len(own) == len(groups)
    return Prior(
        answered,
        Spent(sum(group["prompt_tokens"] for group in own), sum(group["completion_tokens"] for group in own), seconds),
        {group["prompt"]: Replied(group["rows"], group["completion_tokens"] / group["rows"]) for group in same},
        sum(session["completion_tokens"] for session in sessions) / seconds if measured else 0.0,
    )


def rehearsed(prior: Prior, teacher: Teacher, reviews: Sequence[Mapping], builders: Builders) -> Prior:
    """The prior with how long this teacher's replies to a sample are, and how fast they come: for one that is free."""
    requests = requests_for(reviews, builders, teacher.name, teacher.revision, teacher.sampling)
    tokens: dict[str, list[int]] = {}
    start = time.perf_counter()
    for answers in teacher.replies(requests):
        for row in answers.rows:
            tokens.setdefault(str(row["prompt"]), []).append(int(row["completion_tokens"]))
    seconds = time.perf_counter() - start
    return replace(
        prior,
        replies={prompt: Replied(len(counts), fmean(counts)) for prompt, counts in tokens.items()},
        tokens_per_second=sum(map(sum, tokens.values())) / seconds,
    )


def sample(reviews: Iterable[Mapping], seed: int, size: int = SAMPLE) -> tuple[list[Mapping], int]:
    """A fair sample of a stream of reviews, the same for the same seed, and how many reviews there are."""
    generator, kept, count = random.Random(seed), [], 0
    for count, review in enumerate(reviews, 1):
        if len(kept) < size:
            kept.append(review)
        elif (place := generator.randrange(count)) < size:
            kept[place] = review
    return kept, count


class Tokens(NamedTuple):
    """Tokens read and written when every prompt is asked about every review, and what the numbers rest on."""

    read: Range
    written: Range
    notes: list[str]


def estimate_tokens(
    reviews: Sequence[Mapping],
    n_reviews: int,
    builders: Builders,
    max_new_tokens: int,
    counter: TokenCounter,
    replies: Mapping[str, Replied],
) -> Tokens:
    """From a sample of the reviews to all of them.

    Input is a 95 % interval. Output is one where the teacher's own replies are known; else it reaches from all replies
    as short as the shortest twentieth of Mixtral's to all as long as the longest.
    """
    notes = [f"input tokens: {counter.how}; on {len(reviews):,} of {n_reviews:,} reviews"]
    counts, written = [0.0] * len(reviews), Range.of(0)
    for prompt, build in builders.items():
        in_review = 0.0
        for place, review in enumerate(reviews):
            messages = build(review["text"])
            tokens = counter.count(messages)
            counts[place] += tokens
            size = sum(len(message["content"].encode()) for message in messages)
            in_review += tokens * len(review["text"].encode()) / size / len(reviews)
        length, how = _length(prompt, in_review, max_new_tokens, replies.get(prompt))
        written += length * n_reviews
        notes.append(f"{prompt}: {how}")
    return Tokens(_extrapolated(counts, n_reviews, counter.error), written, notes)


def _extrapolated(counts: Sequence[float], population: int, error: float) -> Range:
    """The sum over a population from a sample of it, with a 95 % interval, widened by the counting's own error."""
    mean = fmean(counts)
    spread = stdev(counts) if len(counts) > 1 else mean
    half = _Z * spread * math.sqrt(max(1 / len(counts) - 1 / population, 0))  # nothing is unsure once all are seen
    return Range(max(mean - half, 0) * (1 - error), mean, (mean + half) * (1 + error)) * population


def _length(prompt: str, in_review: float, longest: int, replied: Replied | None) -> tuple[Range, str]:
    """Tokens of one reply on average."""
    if replied and replied.count >= ENOUGH:
        half = _Z * _SPREAD * replied.mean / math.sqrt(replied.count)
        edges = (replied.mean - half, replied.mean, replied.mean + half)
        how = f"replies as long as {replied.count:,} of this teacher"
    else:
        length = LENGTHS.get(prompt, LENGTHS["analysis"])
        mean = length.base + length.slope * in_review
        edges = (length.short * mean, mean, length.long * mean)
        how = "replies as long as Mixtral's in the published sample (2026-11-21); other teachers write more or less"
    return Range(*(min(edge, longest) for edge in edges)), how
