"""How sure a score is, and a difference between two: over the sentences of a test set and over training seeds.

All functions take counts, an array of shape (seeds, sentences, 4): for each trained model and sentence what
`hub_tools.evaluation.rules.sentence_counts` gives: right, predicted, found, gold. F1 is not a mean over sentences, so
each resample sums counts and computes F1 anew. The score of a system is the mean of its seeds' F1. Scores and
differences are fractions in [0, 1], as everywhere in this project: 0.01 is what papers call one point.

Two things vary, and a claim about methods has to survive both:

- **Sentences** are resampled with replacement, the same draw for all seeds and for both systems, since all were
  scored on the same sentences (Efron & Tibshirani 1993; for F1, Berg-Kirkpatrick et al. 2012).
- **Seeds** are few, and a bootstrap of two or three values is far too narrow. So a resample's second level is
  parametric: noise of Student's t, with the seeds' standard error as its scale, less what seeds differ because they
  get different sentences right, which the first level counts already. Where only seeds vary, this gives exactly the t
  interval (and Welch's test) over seeds; where they do not, the bootstrap over sentences.

A system of one seed has no seed noise that could be measured. What is said then holds for these trained models, and
not for those trained next in the same way: where seeds matter a lot, two systems that are equally good differ
"significantly" in half of all cases (tests/evaluation/test_statistics.py has the simulation).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from hub_tools.evaluation.statistics.variation import (
    StatisticsError,
    check_counts,
    exchanged_differences,
    f1_by_seed,
    mean_f1,
    resampled_differences,
    resampled_sums,
    seed_noise,
    seed_variance,
)


class Interval(NamedTuple):
    """A score and its confidence interval; `low` and `high` are nan where nothing could vary."""

    mean: float
    low: float
    high: float


class Paired(NamedTuple):
    """By how much the second system is better than the first, its confidence interval, and a two-sided p-value."""

    difference: float
    low: float
    high: float
    p_value: float


NOTHING = float("nan")


def seed_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """The mean of one score per seed, and Student's t interval for it; of one seed, only the mean.

    Raises:
        StatisticsError: no values, a value that is not finite, or a level outside (0, 1).
    """
    _check_share("level", level)
    scores = np.asarray(values, dtype=float)
    if scores.ndim != 1 or not scores.size or not np.isfinite(scores).all():
        raise StatisticsError(f"expected one finite score per seed, found {np.array2string(scores, threshold=10)}")
    mean = float(scores.mean())
    if scores.size == 1:
        return Interval(mean, NOTHING, NOTHING)
    half = stdtrit(scores.size - 1, 0.5 + level / 2) * scores.std(ddof=1) / np.sqrt(scores.size)
    return Interval(mean, mean - float(half), mean + float(half))


def score_interval(counts: np.ndarray, level: float = 0.95, n: int = 10_000, seed: int = 0) -> Interval:
    """A system's F1 (mean over seeds) and the percentiles of `n` resamples of sentences and seeds.

    Args:
        counts: shape (seeds, sentences, 4). Of no sentences, all three numbers are nan.
        seed: of the random numbers; the same counts and seed give the same interval.

    Raises:
        StatisticsError: counts of another shape, negative or not finite; a level outside (0, 1); n < 1.
    """
    counts = check_counts(counts)
    _check_share("level", level)
    if not counts.shape[1]:
        return Interval(NOTHING, NOTHING, NOTHING)
    rng = np.random.default_rng(seed)
    scores = np.concatenate([f1_by_seed(sums).mean(axis=-1) for sums in resampled_sums(counts, n, rng)])
    scores += seed_noise(n, rng, counts)
    mean = mean_f1(counts)
    # Some rules that others use give more than 1; theirs is the one case in which the scale has no end.
    low, high = np.quantile(scores.clip(0, max(1, mean)), [0.5 - level / 2, 0.5 + level / 2])
    return Interval(mean, float(low), float(high))


def paired_test(a: np.ndarray, b: np.ndarray, n: int = 10_000, seed: int = 0, level: float = 0.95) -> Paired:
    """Is system b better than system a, for other sentences and other seeds than these?

    *Difference and interval*: F1 of b less F1 of a, and the percentiles of `n` resamples of the same sentences for
    both, with the seeds' noise of both.

    *p-value*: null hypothesis, the two systems are interchangeable: what they wrote for a sentence, all seeds
    together, could as well have been written the other way round, and their trained models are draws whose mean F1 is
    the same. The unit of exchange is the sentence with all its seeds, since outputs of several seeds for one sentence
    are much alike: in each of `n` draws every sentence's outputs change sides with probability one half (approximate
    randomisation, Noreen 1989; Yeh 2000). This alone would ask about these very models, and would call ten lucky
    seeds a method. So each draw adds the seeds' noise, Student's t with Welch's standard error and degrees of freedom.
    p is the share of draws that are at least as far from 0 as what was observed, which counts as one of them:
    (1 + hits) / (1 + n). Seeds of the two systems are not paired, even under the same number: one number in two
    models starts nothing that is the same. The statistic is the F1 of the seeds' mean counts, which needs no pairing
    either and differs from their mean F1 in second order only.

    Args:
        a, b: shapes (seeds_a, sentences, 4) and (seeds_b, sentences, 4), the same sentences in the same order.

    Raises:
        StatisticsError: as for `score_interval`, or the numbers of sentences differ.
    """
    a, b = _check_pair(a, b)
    _check_share("level", level)
    if not a.shape[1]:
        return Paired(NOTHING, NOTHING, NOTHING, NOTHING)
    rng = np.random.default_rng(seed)
    noise = seed_noise(n, rng, a, b)
    spread = resampled_differences(a, b, n, rng) + noise
    low, high = np.quantile(spread, [0.5 - level / 2, 0.5 + level / 2])
    mean_a, mean_b = a.mean(axis=0), b.mean(axis=0)
    observed = abs(float(f1_by_seed(mean_b.sum(axis=0)) - f1_by_seed(mean_a.sum(axis=0))))
    exchanged = np.abs(exchanged_differences(mean_a, mean_b, n, rng) + noise)
    p_value = (1 + int(np.sum(exchanged >= observed - 1e-12))) / (1 + n)
    return Paired(mean_f1(b) - mean_f1(a), float(low), float(high), p_value)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values of a family of tests, adjusted by Holm's method (1979), in their order; nan stays nan, and counts not.

    Raises:
        StatisticsError: a p-value outside [0, 1].
    """
    values = np.asarray(p_values, dtype=float)
    if ((values < 0) | (values > 1)).any():
        raise StatisticsError(f"p-values lie in [0, 1], found {[float(p) for p in values if p < 0 or p > 1]}")
    adjusted = np.full(values.shape, np.nan)
    order = np.argsort(values)[: int(np.sum(~np.isnan(values)))]  # nan sorts last
    steps = values[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted.tolist()


def smallest_difference(
    a: np.ndarray,
    b: np.ndarray | None = None,
    power: float = 0.8,
    level: float = 0.05,
    n: int = 2_000,
    seed: int = 0,
) -> float:
    """The smallest true difference in F1 (a fraction) that a test at `level` finds with probability `power`.

    It is (t_{1 - level/2} + t_power) · se, with se the standard error of the paired difference over sentences and
    seeds and t Student's quantiles at its Welch-Satterthwaite degrees of freedom. With power=0.5 the second term is 0:
    what is left is the noise bound, below which a difference cannot be told from none.

    Args:
        a, b: counts of two systems on the same sentences. Without `b`, the worst case for a second system of the
            same quality and number of seeds: one that errs on other sentences, so that pairing gains nothing and the
            variance is twice that of `a`.

    Returns:
        The difference; nan where there are no sentences.

    Raises:
        StatisticsError: as for `paired_test`, or a power or level outside (0, 1).
    """
    _check_share("power", power)
    _check_share("level", level)
    a, b = (check_counts(a), None) if b is None else _check_pair(a, b)
    if not a.shape[1]:
        return NOTHING
    rng = np.random.default_rng(seed)
    if b is None:
        scores = np.concatenate([f1_by_seed(sums).mean(axis=-1) for sums in resampled_sums(a, n, rng)])
        over_sentences, systems = 2 * float(scores.var()), (a, a)
    else:
        over_sentences, systems = float(resampled_differences(a, b, n, rng).var()), (a, b)
    over_seeds, freedom = seed_variance(*systems)
    variance = over_sentences + over_seeds
    if not variance:
        return 0.0
    parts = over_sentences**2 / max(1, a.shape[1] - 1) + (over_seeds**2 / freedom if over_seeds else 0)
    freedom = variance**2 / parts
    return float((stdtrit(freedom, 1 - level / 2) + stdtrit(freedom, power)) * np.sqrt(variance))


def noise_line(name: str, a: np.ndarray, b: np.ndarray | None = None) -> str:
    """A sentence for reports: how many sentences `name` has, and which differences it cannot show, in points."""
    n_sentences = check_counts(a).shape[1]
    if not n_sentences:
        return f"{name} has no sentences: it shows nothing."
    noise, sure = (100 * smallest_difference(a, b, power) for power in (0.5, 0.8))
    return (
        f"{name} has {n_sentences:,} sentences: differences below {noise:.1f} points cannot be told from chance, "
        f"and one of {sure:.1f} is found four times in five."
    )


def _check_pair(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = check_counts(a), check_counts(b)
    if a.shape[1] != b.shape[1]:
        raise StatisticsError(f"a pair is scored on the same sentences; found {a.shape[1]:,} and {b.shape[1]:,}")
    return a, b


def _check_share(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise StatisticsError(f"{name} lies between 0 and 1; found {value!r}")
