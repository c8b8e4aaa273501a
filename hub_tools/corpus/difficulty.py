"""
Which pairs are worth training on: how hard a model finds them, and sampling by that (the code of CompEffDist).

A model reads each pair with its target given, and a token's rank in the predicted distribution, in units of that
distribution's nucleus, says how far the model was off. The recipe joins this with `students.token_ranks`:

    kept = kept_by_difficulty(
        token_ranks(model, encoded), pairs=len(encoded), rate=0.1, how="soft", seed=42, groups=prompts
    )
    encoded = encoded.subset(kept)

Scored once, difficulties can lie in a file, so that a run started again, or its other processes, need no model:
`file=folder / "difficulty.safetensors", key="<model>@<commit>, <corpus>@<commit>, 128/400"`.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file


WAYS = ("soft", "hard", "random")

TokenRanks = tuple[int, np.ndarray, np.ndarray]  # number of a pair, rank and nucleus size of each target token


def kept_by_difficulty(
    ranks: Iterable[TokenRanks],
    *,
    pairs: int,
    rate: float,
    how: str = "soft",
    seed: int = 42,
    groups: Sequence[str] | None = None,
    a: float = 1.0,
    file: Path | None = None,
    key: str = "",
) -> np.ndarray:
    """
    The pairs to keep, as sorted indices: `difficulties`, then `sample`.

    Args:
        ranks: of all `pairs`, in any order; not touched where `file` holds the difficulties, or chance decides.
        rate, how, seed, groups, a: see `sample`. The score of a pair depends on none of them.
        file: where difficulties lie, or shall lie, as safetensors; written atomically.
        key: what they depend on (model, corpus, limits, each with its commit). A file of another key, or a damaged
            one, is written anew.

    Raises:
        ValueError: see `sample` and `difficulties`; it is raised before anything is scored where that is possible.
    """
    _check(pairs, rate, how, groups, a)
    if how == "random":
        return sample(np.zeros(pairs), rate, how, seed, groups)
    scores = _load(file, key) if file else None
    if scores is None or len(scores) != pairs:
        scores = difficulties(ranks, pairs)
        if file:
            _save(scores, file, key)
    return sample(scores, rate, how, seed, groups, a)


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
    for index, of_tokens, sizes in ranks:
        if not 0 <= index < pairs or not np.isnan(scores[index]):
            raise ValueError(f"Ranks of pair {index}, which is not one of {pairs} pairs or has been scored before.")
        scores[index] = rank_score(of_tokens, sizes)
    if missing := int(np.isnan(scores).sum()):
        raise ValueError(f"{missing} of {pairs} pairs have no ranks; score the rows that are to be sampled from.")
    return scores


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


def _load(file: Path, key: str) -> np.ndarray | None:
    """Difficulties of this key; None if there are none that can be read."""
    try:
        with safe_open(file, "numpy") as stored:
            return stored.get_tensor("difficulty") if (stored.metadata() or {}).get("key") == key else None
    except (OSError, SafetensorError):
        return None


def _save(scores: np.ndarray, file: Path, key: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    save_file({"difficulty": scores}, draft, metadata={"key": key})
    os.replace(draft, file)
