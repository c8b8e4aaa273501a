"""
Which pairs are worth training on: how hard a model finds them, and sampling by that (the code of CompEffDist).

A model reads each pair with its target given, and a token's rank in the predicted distribution, in units of that
distribution's nucleus, says how far the model was off. The recipe joins this with `students.token_ranks`:

    kept, seconds = kept_by_difficulty(
        lambda missing: token_ranks(model, encoded.subset(missing)),
        pairs=len(encoded), rate=0.1, how="soft", seed=42, groups=prompts,
    )
    encoded = encoded.subset(kept)

Scored once, difficulties can lie in a file, for all runs that choose by them, however they choose:
`file=folder / "difficulty.safetensors", key="<digest of the model>, <digest of the pairs>"`.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file


WAYS = ("soft", "hard", "random")

SAVED = 60.0  # seconds of scoring that a killed run loses, at most

TokenRanks = tuple[int, np.ndarray, np.ndarray]  # number of a pair, rank and nucleus size of each target token
Ranking = Callable[[np.ndarray], Iterable[TokenRanks]]  # of these pairs, numbered from 0 in their order


class Kept(NamedTuple):
    """Indices of the pairs to keep, sorted, and the seconds that it took, now or earlier, to score all pairs."""

    indices: np.ndarray
    seconds: float


def kept_by_difficulty(
    ranking: Ranking,
    *,
    pairs: int,
    rate: float,
    how: str = "soft",
    seed: int = 42,
    groups: Sequence[str] | None = None,
    a: float = 1.0,
    file: Path | None = None,
    key: str = "",
) -> Kept:
    """
    The pairs to keep: `difficulties`, then `sample`.

    Args:
        ranking: ranks the pairs that it is given, in any order; not asked where `file` holds all the difficulties, or
            chance decides.
        rate, how, seed, groups, a: see `sample`. The score of a pair depends on none of them.
        file: where difficulties lie, or shall lie; see `stored_difficulties`.
        key: what they depend on (model and pairs).

    Raises:
        ValueError: see `sample` and `difficulties`; it is raised before anything is scored where that is possible.
    """
    _check(pairs, rate, how, groups, a)
    if how == "random":
        return Kept(sample(np.zeros(pairs), rate, how, seed, groups), 0.0)
    if file:
        scores, seconds = stored_difficulties(ranking, pairs, file, key)
    else:
        began = time.monotonic()
        scores = difficulties(ranking(np.arange(pairs)), pairs)
        seconds = time.monotonic() - began
    return Kept(sample(scores, rate, how, seed, groups, a), seconds)


def stored_difficulties(ranking: Ranking, pairs: int, file: Path, key: str) -> tuple[np.ndarray, float]:
    """
    `difficulties` that lie in `file`, and the seconds they took. What of them is missing is scored and kept, every
    minute, so that a killed scoring goes on; processes that score into one file wait for each other.

    Args:
        file: safetensors, written atomically. One of another key, or a damaged one, is written anew.
        key: what difficulties depend on.

    Raises:
        ValueError: see `difficulties`.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        scores, seconds = _load(file, key, pairs)
        missing = np.flatnonzero(np.isnan(scores))
        if not len(missing):
            return scores, seconds
        began = saved = time.monotonic()
        try:
            for index, score in _scored(ranking(missing), len(missing)):
                scores[missing[index]] = score
                if (now := time.monotonic()) - saved > SAVED:
                    saved = now
                    _save(scores, file, key, seconds + now - began)
        finally:  # whatever ends it
            seconds += time.monotonic() - began
            _save(scores, file, key, seconds)
    return scores, seconds


def rank_score(ranks: Sequence[int] | np.ndarray, nucleus_sizes: Sequence[int] | np.ndarray) -> float:
    """
    How hard a pair is, from 0 (every token was the likeliest) to 1 (none that was not was even in the nucleus).

    The mean of `min(1, rank / nucleus size)` over the tokens that were not the likeliest.

    Args:
        ranks: of each target token in the predicted distribution; 0 is the likeliest.
        nucleus_sizes: of each distribution, the number of likeliest tokens that reach the nucleus' probability.

    Raises:
        ValueError: the two differ in length, a rank is below 0 or a size below 1.
    """
    ranks, sizes = np.asarray(ranks), np.asarray(nucleus_sizes)
    if ranks.shape != sizes.shape or (ranks < 0).any() or (sizes < 1).any():
        raise ValueError(
            f"rank_score needs as many ranks (0 and up) as nucleus sizes (1 and up); got {ranks.size} ranks from "
            f"{ranks.min(initial=0)} and {sizes.size} sizes from {sizes.min(initial=1)}."
        )
    missed = ranks > 0
    return float(np.minimum(1.0, ranks[missed] / sizes[missed]).mean()) if missed.any() else 0.0


def difficulties(ranks: Iterable[TokenRanks], pairs: int) -> np.ndarray:
    """
    The `rank_score` of each of `pairs` pairs, float64.

    Raises:
        ValueError: not each of them has ranks, once.
    """
    scores = np.full(pairs, np.nan)
    for index, score in _scored(ranks, pairs):
        scores[index] = score
    return scores


def _scored(ranks: Iterable[TokenRanks], pairs: int) -> Iterator[tuple[int, float]]:
    """Number and score of each of `pairs` pairs, as they come; refuses what is not each of them, once."""
    done = np.zeros(pairs, bool)
    for index, of_tokens, sizes in ranks:
        if not 0 <= index < pairs or done[index]:
            raise ValueError(f"Ranks of pair {index}, which is not one of {pairs} pairs or has been scored before.")
        done[index] = True
        yield index, rank_score(of_tokens, sizes)
    if missing := int((~done).sum()):
        raise ValueError(f"{missing} of {pairs} pairs have no ranks; score the rows that are to be sampled from.")


def keep_probability(u: float | np.ndarray, rate: float, a: float = 1.0) -> float | np.ndarray:
    """
    The chance to be kept at normalised difficulty rank `u` (0 the easiest, 1 the hardest): highest at `a`.

    `(u/a)^b` below `a` and `((1−u)/(1−a))^b` above, with `b = 1/rate − 1`, so that its integral over [0, 1] is `rate`
    whatever `a` is. With `a = 1` (the default of CompEffDist) the hardest pair is all but certain to be kept.

    Raises:
        ValueError: `rate` is not in (0, 1], or `u` or `a` not in [0, 1].
    """
    where = np.asarray(u, dtype=np.float64)
    if not 0 < rate <= 1 or not 0 <= a <= 1 or not ((where >= 0) & (where <= 1)).all():
        raise ValueError(f"keep_probability needs 0 < rate <= 1 and a and u in [0, 1]; got rate={rate}, a={a}, u={u}.")
    rising = np.minimum(where, a) / a if a else np.ones_like(where)
    falling = np.minimum(1 - where, 1 - a) / (1 - a) if a < 1 else np.ones_like(where)
    found = np.minimum(rising, falling) ** (1 / rate - 1)  # one of them is 1
    return found if isinstance(u, np.ndarray) else float(found)


def keep_shares(n: int, rate: float, a: float = 1.0) -> np.ndarray:
    """
    The chance of each of `n` pairs, easiest first: the mean of `keep_probability` over the i-th n-th of its range.

    They add up to exactly `rate · n`. (The reference takes the middle of each n-th, whose sum falls short where pairs
    are few or the rate is low.)
    """
    if not rate:
        return np.zeros(n)
    edges = np.arange(n + 1) / max(1, n)
    below = np.zeros(n + 1)  # the integral from 0
    if a:
        below += a * (np.minimum(edges, a) / a) ** (1 / rate)
    if a < 1:
        below += (1 - a) * (1 - (np.minimum(1 - edges, 1 - a) / (1 - a)) ** (1 / rate))
    return np.clip(n * rate * np.diff(below), 0, 1)


def sample(
    difficulties: Sequence[float] | np.ndarray,
    rate: float,
    how: str = "soft",
    seed: int = 42,
    groups: Sequence[str] | None = None,
    a: float = 1.0,
) -> np.ndarray:
    """
    Keeps about `rate` of the pairs; returns their indices, sorted. Equal difficulties are ordered by lot.

    Args:
        difficulties: of each pair; higher is harder.
        rate: 0 keeps nothing, 1 everything.
        how: `soft` draws each pair by its chance in `keep_shares`; `hard` takes the hardest; `random` asks for no
            difficulty. With the last two `rate · n` is rounded up or down by lot, so that it is kept on average.
        seed: decides every draw.
        groups: of each pair; ranking and rate then hold within each group (by prompt: "inprompt" in CompEffDist).
        a: where in the ranking `soft` prefers pairs: 1 the hardest, 0 the easiest.

    Raises:
        ValueError: an unknown way, a rate or `a` outside [0, 1], a difficulty that is not finite, or not as many
            groups as pairs.
    """
    scores = np.asarray(difficulties, dtype=np.float64)
    _check(len(scores), rate, how, groups, a)
    if not np.isfinite(scores).all():
        raise ValueError(f"Difficulty of pair {int(np.argmin(np.isfinite(scores)))} is not finite: score it again.")
    chance = np.random.default_rng(seed)
    names = np.zeros(len(scores), np.int64)
    if groups is not None and len(groups):
        names = np.unique([str(group) for group in groups], return_inverse=True)[1]
    order = np.lexsort((chance.random(len(scores)), scores, names))  # by group, then from easy to hard
    borders = np.flatnonzero(np.diff(names[order])) + 1
    kept = [_of_group(members, rate, how, a, chance) for members in np.split(order, borders)]
    return np.sort(np.concatenate(kept))


def _of_group(members: np.ndarray, rate: float, how: str, a: float, chance: np.random.Generator) -> np.ndarray:
    """Those kept of one group, which comes from easy to hard."""
    n = len(members)
    if how == "soft":
        return members[chance.random(n) < keep_shares(n, rate, a)]
    size = min(n, int(rate * n + chance.random()))
    return members[n - size :] if how == "hard" else chance.choice(members, size, replace=False)


def _check(n: int, rate: float, how: str, groups: Sequence[str] | None, a: float) -> None:
    if how not in WAYS or not 0 <= rate <= 1 or not 0 <= a <= 1:
        raise ValueError(
            f"Sampling by difficulty knows {', '.join(WAYS)}, with a rate and a in [0, 1]; "
            f"got how='{how}', rate={rate}, a={a}."
        )
    if groups is not None and len(groups) != n:
        raise ValueError(f"{n} pairs, but {len(groups)} groups: each pair needs one.")


def _load(file: Path, key: str, pairs: int) -> tuple[np.ndarray, float]:
    """Difficulties (pairs) of this key, not-a-number where there is none that can be read; the seconds they took."""
    try:
        with safe_open(file, "numpy") as stored:
            facts, scores = stored.metadata() or {}, stored.get_tensor("difficulty")
    except (OSError, SafetensorError):
        facts, scores = {}, np.empty(0)
    if facts.get("key") != key or len(scores) != pairs:
        return np.full(pairs, np.nan), 0.0
    return scores.copy(), float(facts["seconds"])


def _save(scores: np.ndarray, file: Path, key: str, seconds: float) -> None:
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    save_file({"difficulty": scores}, draft, metadata={"key": key, "seconds": str(seconds)})
    os.replace(draft, file)
