"""What varies in a score: draws of sentences, of seeds, and of which of two systems wrote what.

Counts have the shape (seeds, sentences, 4), as in `resampling`, whose functions put these draws together.
"""

from collections.abc import Iterator

import numpy as np


CHUNK = 500  # resamples at a time: 500 × 1,000 sentences are 4 MB of weights


class StatisticsError(ValueError):
    """Counts, values or settings from which nothing can be computed; the message says what was found."""


def check_counts(counts: np.ndarray) -> np.ndarray:
    """The counts as float64, shape (seeds, sentences, 4); raises StatisticsError for anything else."""
    array = np.asarray(counts, dtype=float)
    if array.ndim != 3 or array.shape[2] != 4 or not array.shape[0]:
        raise StatisticsError(f"counts have the shape (seeds, sentences, 4), at least one seed; found {array.shape}")
    if not np.isfinite(array).all() or (array < 0).any():
        raise StatisticsError("counts are finite and not negative; found nan, infinite or negative ones")
    return array


def f1_by_seed(sums: np.ndarray) -> np.ndarray:
    """F1 of summed counts, shape (..., 4) → (...): precision and recall are 1, and F1 is 0, where they say 0 / 0."""
    precision, recall = precision_recall(sums)
    both = precision + recall
    return np.divide(2 * precision * recall, both, out=np.zeros_like(both), where=both > 0)


def precision_recall(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall of summed counts, shape (..., 4) → (...) each; 1 where there is nothing to divide by."""
    right, predicted, found, gold = np.moveaxis(np.asarray(sums, dtype=float), -1, 0)
    precision = np.divide(right, predicted, out=np.ones_like(right), where=predicted > 0)
    recall = np.divide(found, gold, out=np.ones_like(right), where=gold > 0)
    return precision, recall


def mean_f1(counts: np.ndarray) -> float:
    """The mean over seeds of the F1 over all sentences; counts of shape (seeds, sentences, 4)."""
    return float(f1_by_seed(counts.sum(axis=1)).mean())


def resampled_sums(counts: np.ndarray, n: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Sums over sentences drawn with replacement, in chunks of shape (resamples, seeds, 4): one matrix product each,
    of how often each sentence was drawn and the counts."""
    if n < 1:
        raise StatisticsError(f"at least one resample is needed; found n={n}")
    n_seeds, n_sentences, _ = counts.shape
    columns = np.ascontiguousarray(counts.transpose(1, 0, 2).reshape(n_sentences, -1))
    for start in range(0, n, CHUNK):
        size = min(CHUNK, n - start)
        drawn = rng.integers(0, n_sentences, (size, n_sentences))
        drawn += n_sentences * np.arange(size)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=size * n_sentences).reshape(size, n_sentences)
        yield (weights.astype(float) @ columns).reshape(size, n_seeds, 4)


def resampled_differences(a: np.ndarray, b: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """F1 of b less F1 of a, each the mean over seeds, in n resamples of the sentences."""
    parts = []
    for sums in resampled_sums(np.concatenate([a, b]), n, rng):
        scores = f1_by_seed(sums)
        parts.append(scores[:, len(a) :].mean(axis=1) - scores[:, : len(a)].mean(axis=1))
    return np.concatenate(parts)


def exchanged_differences(a: np.ndarray, b: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """F1 of b less F1 of a, of shape (sentences, 4) each, after each sentence changed sides or did not, n times."""
    total_a, total_b, change = a.sum(axis=0), b.sum(axis=0), a - b
    parts = []
    for start in range(0, n, CHUNK):
        swapped = rng.integers(0, 2, (min(CHUNK, n - start), len(a)), dtype=np.int8).astype(float) @ change
        parts.append(f1_by_seed(total_b + swapped) - f1_by_seed(total_a - swapped))
    return np.concatenate(parts)


def seed_noise(n: int, rng: np.random.Generator, *systems: np.ndarray) -> np.ndarray:
    """n draws of what other seeds would change in the difference of the systems, or in the score of the only one."""
    variance, freedom = seed_variance(*systems)
    return np.sqrt(variance) * rng.standard_t(freedom, n) if variance else np.zeros(n)


def seed_variance(*systems: np.ndarray) -> tuple[float, float]:
    """The variance that seeds give the systems' mean F1, added up, and Welch's degrees of freedom of that estimate."""
    parts = [(_variance_between(system) / len(system), len(system) - 1) for system in systems if len(system) > 1]
    variance = sum(part for part, _ in parts)
    if variance < 1e-24:  # equal seeds, up to the last bits of a mean
        return 0.0, float("inf")
    return variance, variance**2 / sum(part**2 / freedom for part, freedom in parts)


def _variance_between(counts: np.ndarray) -> float:
    """The variance of F1 between seeds that more sentences would not take away: a crossed analysis of variance.

    Seeds that are equally good still differ in which sentences they get right. Resampling sentences counts this
    already (as drawn once per seed), so it is taken off here: the interaction of seeds and sentences, by each
    sentence's linear influence on F1. Without this, three seeds hide differences that 1,000 sentences show.
    """
    n_seeds, n_sentences, _ = counts.shape
    sums = counts.sum(axis=1, keepdims=True)
    precision, recall = precision_recall(sums)
    right, predicted, found, gold = np.moveaxis(counts, -1, 0)
    by_precision = (right - precision * predicted) / np.maximum(sums[..., 1], 1)
    by_recall = (found - recall * gold) / np.maximum(sums[..., 3], 1)
    both = np.maximum(precision + recall, 1e-12) ** 2
    influence = 2 * (recall**2 * by_precision + precision**2 * by_recall) / both
    left = float(((influence - influence.mean(axis=0)) ** 2).sum()) / (n_seeds - 1)
    interaction = left * n_sentences / max(1, n_sentences - 1)
    return max(0.0, float(f1_by_seed(sums[:, 0]).var(ddof=1)) - interaction)
