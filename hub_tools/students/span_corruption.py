"""
Domain-adaptive pretraining (DAPT, a baseline of paper 1, arXiv 2412.18552, section 4.1): the student restores reviews
in which spans of tokens were replaced, the objective that T5 itself was pretrained with (Raffel et al. 2020, section
3.1.4). No teacher takes part.

Reads: encoded reviews.  Makes: pairs of token ids, as pretraining reads them:

    review  The soup was cold and the tea came late .
    source  The soup <extra_id_0> and the tea came <extra_id_1> </s>
    target  <extra_id_0> was cold <extra_id_1> late . <extra_id_2> </s>

    model, tokenizer = with_sentinels(*load_student("google-t5/t5-base"))
    encoded = encode_corpus(review_pairs(rows), tokenizer, folder, max_input=128)
    training = SpanCorrupted(encoded, tokenizer, seed=42, epochs=10)  # one pass over this is ten over the reviews
    held_out = SpanCorrupted(encoded_held_out, tokenizer, seed=42)

Paper 1 does not say how it did its DAPT; every number here is T5's.
"""

import random
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hub_tools.students.models import SENTINELS, resize_rows, sentinel


NOISE = 0.15  # share of a review's tokens that are replaced
MEAN_SPAN = 3  # tokens of a span, on average

Ids = list[int]


def with_sentinels(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, n: int = SENTINELS
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """
    The same model and tokenizer, with the tokens `<extra_id_0>` to `<extra_id_{n-1}>` known to both.

    T5's checkpoints have them. Where they are missing, as in our fresh students, they are added in T5's order, the
    last one first, and the embedding gets their rows; everything else stays as it is.

    Raises:
        ValueError: only some of them are there.
    """
    known = tokenizer.get_vocab()
    missing = [sentinel(number) for number in reversed(range(n)) if sentinel(number) not in known]
    if missing:
        if len(missing) < n:
            raise ValueError(
                f"The tokenizer knows {n - len(missing)} of the {n} sentinels <extra_id_0> … <extra_id_{n - 1}>, and "
                f"not {missing[0]}. Use one with all of them (as T5's) or with none; they are added then."
            )
        tokenizer.add_tokens(missing, special_tokens=True)
        resize_rows(model, tokenizer)
    return model, tokenizer


def sentinel_ids(tokenizer: PreTrainedTokenizerBase) -> Ids:
    """
    Ids of `<extra_id_0>`, `<extra_id_1>`, …, as many as the tokenizer knows.

    Raises:
        ValueError: it knows fewer than two, which is what one span takes.
    """
    known, found = tokenizer.get_vocab(), []
    while (token := sentinel(len(found))) in known:
        found.append(known[token])
    if len(found) < 2:
        raise ValueError("The tokenizer knows no sentinels (<extra_id_0> …); add them with with_sentinels() first.")
    return found


def noise_counts(tokens: np.ndarray | int, sentinels: int = SENTINELS) -> tuple[np.ndarray, np.ndarray]:
    """
    How many tokens of a review of `tokens` tokens (at least 2, the end mark not counted) are replaced, in how many
    spans: both depend on its length only. The last sentinel closes the target, so spans are one fewer at most.
    """
    tokens = np.asarray(tokens)
    noise = np.clip(np.rint(tokens * NOISE).astype(np.int64), 1, tokens - 1)
    spans = np.maximum(np.rint(noise / MEAN_SPAN).astype(np.int64), 1)
    return noise, np.minimum(spans, np.minimum(tokens - noise, sentinels - 1))


def corrupt(tokens: Sequence[int], sentinels: Sequence[int], generator: random.Random) -> tuple[Ids, Ids]:
    """
    One review (at least 2 tokens, no end mark) → (source, target), both without end mark.

    What is kept and what is replaced are each cut into parts at random, every way of cutting being equally likely, and
    laid in turns, so that no two sentinels ever meet. T5's own code does the same but begins with a kept part and ends
    with a replaced one; of its 512 tokens that is little, but a short review, which has one span, would lose the same
    words, its last, in every epoch. Here either end may be kept or replaced.
    """
    noise, spans = (int(count) for count in noise_counts(len(tokens), len(sentinels)))
    replaced = [*partition(noise, spans, generator), 0]  # nothing after the last kept part
    kept = partition(len(tokens) - noise + 2, spans + 1, generator)
    kept[0], kept[-1] = kept[0] - 1, kept[-1] - 1  # the ends alone may be empty
    source, target, at = [], [], 0
    for mark, before, length in zip(sentinels, kept, replaced, strict=False):  # sentinels may be left over
        source += [*tokens[at : at + before], *([mark] if length else [])]
        target += [mark, *tokens[at + before : at + before + length]]
        at += before + length
    return source, target


def partition(total: int, parts: int, generator: random.Random) -> list[int]:
    """`total` as a sum of `parts` numbers of at least 1, each such sum being equally likely."""
    cuts = [0, *sorted(generator.sample(range(1, total), parts - 1)), total]
    return [end - start for start, end in pairwise(cuts)]


class SpanCorrupted(Sequence):
    """
    Reviews as training pairs, `epochs` times over and masked anew each time: `[i]` → (source ids, target ids).

    Pair `i` is review `i % reviews` in epoch `i // reviews`, masked under (seed, epoch, review): whoever asks, in
    whatever order, on whichever process, gets the same pair. `pretrain` reads them epoch by epoch (`plan_step`), every
    review once in each. Reviews of fewer than two tokens have nothing to restore from and are left out.

    Targets need no limit: they are shorter than their review, but for reviews of four tokens or less.

    Args:
        reviews: encoded reviews, truncated and with the end mark: `EncodedPairs`, a list of (source, target) of which
            the source is taken, or a list of id lists.
        tokenizer: the one that encoded them, sentinels included.
        seed: of the masks.
        epochs: passes over the reviews.

    Attributes:
        epochs: as given.
        lengths: (pairs, 2) int32: source and target tokens of every pair, end marks included.
        cost: what the encoding of the sources cost (if `reviews` tells), and `too_short`, the reviews left out.

    Raises:
        ValueError: no sentinels, no end mark, or `epochs` below 1.
    """

    def __init__(self, reviews: Sequence, tokenizer: PreTrainedTokenizerBase, *, seed: int, epochs: int = 1) -> None:
        if epochs < 1:
            raise ValueError(f"epochs must be at least 1, found {epochs}.")
        self._sentinels, self._seed, self._reviews = sentinel_ids(tokenizer), seed, reviews
        self.epochs = epochs
        self._before, self._after = frame(tokenizer)
        around = len(self._before) + len(self._after)
        tokens = _source_lengths(reviews) - around
        self._chosen = np.flatnonzero(tokens >= 2)
        if hasattr(reviews, "where"):
            # As that of `EncodedPairs`: the row of its corpus. Of a list nobody can tell, so it is not there then.
            self.where = lambda index: reviews.where(int(self._chosen[range(len(self))[index] % len(self._chosen)]))
        noise, spans = noise_counts(tokens[self._chosen], len(self._sentinels))
        once = np.stack([tokens[self._chosen] - noise + spans, noise + spans + 1], axis=1) + around
        self.lengths: np.ndarray = np.tile(once.astype(np.int32), (epochs, 1))
        told = {name: count for name, count in getattr(reviews, "cost", {}).items() if "target" not in name}
        if "tokens" in told:
            told["tokens"] = told["input_tokens"]
        self.cost: dict[str, int] = {**told, "too_short": len(reviews) - len(self._chosen)}

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> tuple[Ids, Ids]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"pair {index} of {len(self)}")
        epoch, number = divmod(index % len(self), len(self._chosen))
        review = int(self._chosen[number])
        ids = _source(self._reviews[review])
        tokens = ids[len(self._before) : len(ids) - len(self._after)]
        generator = random.Random(f"{self._seed}:{epoch}:{review}")
        source, target = corrupt(tokens, self._sentinels, generator)
        return [*self._before, *source, *self._after], [*self._before, *target, *self._after]


def frame(tokenizer: PreTrainedTokenizerBase) -> tuple[Ids, Ids]:
    """
    What the tokenizer puts before and after a text: nothing and `</s>` for T5, `<s>` and `</s>` for BART.

    Raises:
        ValueError: it writes no end mark.
    """
    ids = tokenizer("")["input_ids"]
    if tokenizer.eos_token_id not in ids:
        raise ValueError("The tokenizer puts no end mark after a text; a student would never learn to stop.")
    at = ids.index(tokenizer.eos_token_id)
    return ids[:at], ids[at:]


def _source(item: Sequence) -> Sequence[int]:
    """The source ids of a (source, target) pair, or the ids themselves."""
    return item[0] if isinstance(item, tuple) else item


def _source_lengths(reviews: Sequence) -> np.ndarray:
    if hasattr(reviews, "lengths"):
        return np.asarray(reviews.lengths)[:, 0].astype(np.int64)
    return np.array([len(_source(item)) for item in reviews], dtype=np.int64)
