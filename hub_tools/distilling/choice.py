"""
Which of the pairs a student learns from, and in which form: held out, drawn by stars, chosen by difficulty, masked,
with a teacher's distributions.
"""

import hashlib
import math
import sys
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hub_tools.arguments import REPORTED
from hub_tools.corpus.difficulty import Kept, kept_by_difficulty
from hub_tools.corpus.reading import Tally
from hub_tools.distilling.arguments import Pretrain
from hub_tools.distilling.helpers import check_helper
from hub_tools.distilling.inputs import encoded_folder, load_model, rows_of
from hub_tools.reviews.sampling import draw, weigh
from hub_tools.students.encoded import EncodedPairs
from hub_tools.students.pretraining import Pretraining
from hub_tools.students.soft_loss import SoftLoss, SoftPairs, soft_batch
from hub_tools.students.soft_targets import cost_of, digest_model, digest_rows, write_soft_targets
from hub_tools.students.span_corruption import SpanCorrupted
from hub_tools.students.step_plan import held_out
from hub_tools.students.steps import Collate
from hub_tools.students.sweep import all_or_none
from hub_tools.students.token_ranks import token_ranks


CHOSEN = {"soft": "drawn by how hard they are", "hard": "the hardest", "random": "by chance"}


def split(encoded: EncodedPairs, tally: Tally, arguments: Pretrain) -> tuple[EncodedPairs, EncodedPairs]:
    """
    (training, validation), by review. What is held out depends on `seed` alone, not on how many reviews are drawn of
    the rest, so that the losses of runs on more and on fewer reviews compare.

    Reviews are drawn by stars within each domain, of which each keeps the share that it has in the corpus: two schemes
    differ in stars alone, whatever stars each domain has. Fewer reviews are among more of the same draw.

    Args:
        tally: of all pairs of `encoded`.

    Raises:
        ValueError: `validation_pairs` holds out more than it leaves; `reviews_limit` asks for more reviews, of all or
            of a domain, than there are to draw.
    """
    held = held_out(encoded.reviews, arguments.validation_pairs, arguments.seed)
    if 2 * held.sum() > len(held):  # of a few hundred pairs the default would leave a review
        raise ValueError(
            f"validation_pairs is {arguments.validation_pairs}, which holds out {held.sum()} of {len(held)} pairs and "
            f"leaves {len(held) - held.sum()} to learn from. Lower it, to {len(held) // 10} say; 0 holds out none."
        )
    rest = np.flatnonzero(~held)
    if arguments.reviews_limit:
        reviews, first = np.unique(encoded.reviews[rest], return_index=True)
        weights = star_weights(arguments)[tally.stars[rest[first]]]
        domains = tally.domains[rest[first]]
        drawn = draw_within(reviews, weights, domains, tally.domain_names, arguments)
        rest = rest[np.isin(encoded.reviews[rest], drawn)]
    return encoded.subset(rest), encoded.subset(np.flatnonzero(held))


def draw_within(
    reviews: np.ndarray, weights: np.ndarray, domains: np.ndarray, names: Sequence[str], arguments: Pretrain
) -> np.ndarray:
    """Those drawn of `reviews`, whose weights and domains (positions in `names`) are given, review by review."""
    limit, scheme, may = arguments.reviews_limit, arguments.scheme, weights > 0
    if may.sum() < limit:
        raise ValueError(
            f"reviews_limit is {limit}, but beside those held out there are {may.sum()} reviews that the scheme "
            f"{scheme} may draw."
        )
    drawn = []
    for domain, part in enumerate(parts_of(limit, np.bincount(domains, minlength=len(names)))):
        members = np.flatnonzero(may & (domains == domain))
        if len(members) < part:
            raise ValueError(
                f"reviews_limit is {limit}, of which {part} are the share of the domain '{names[domain]}'; beside "
                f"those held out it has {len(members)} reviews that the scheme {scheme} may draw. Lower reviews_limit."
            )
        drawn.append(reviews[members[draw(reviews[members], weights[members], part, arguments.draw)]])
    return np.concatenate(drawn)


def parts_of(limit: int, sizes: np.ndarray) -> list[int]:
    """
    `limit` (at most all) in parts by `sizes`, to the nearest whole numbers that add up to it (Sainte-Laguë).

    No part shrinks as `limit` grows, which largest remainders do not promise for three sizes or more.

    >>> parts_of(10, np.array([60, 30, 10])), parts_of(3, np.array([50, 50]))
    ([6, 3, 1], [2, 1])
    """
    owners = np.repeat(np.arange(len(sizes)), sizes)
    claims = np.concatenate([(np.arange(size) + 0.5) / size for size in sizes])  # the n-th of a domain comes n-th
    first = owners[np.argsort(claims, kind="stable")[:limit]]
    return np.bincount(first, minlength=len(sizes)).tolist()


def star_weights(arguments: Pretrain) -> np.ndarray:
    """(6,) how likely reviews of no stars and of 1 to 5 are drawn from a corpus that was itself sampled by stars."""
    if arguments.scheme == arguments.labelled_scheme:
        return np.ones(6)
    wanted, had = weigh(arguments.scheme), weigh(arguments.labelled_scheme)
    return np.divide(wanted, had, out=np.zeros(6), where=had > 0)


def hardest(
    training: EncodedPairs,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    arguments: Pretrain,
    inputs: Mapping[str, str],
    accelerator: Accelerator,
) -> tuple[EncodedPairs, dict[str, str]]:
    """
    The share of the pairs that is to be learned from, chosen by how hard a model finds them, else all of them; and
    what the card tells of it.

    One process chooses for all: on another kind of machine two scores may differ by a rounding.

    Raises:
        ValueError: the share is none of the pairs; in all processes (`all_or_none`), as whatever the one fails with.
    """
    if arguments.keep_share == 1:
        return training, {}
    found = [None]
    with all_or_none(REPORTED):
        if accelerator.is_main_process:
            kept = _chosen(training, model, tokenizer, arguments, inputs, accelerator)
            if not len(kept.indices):
                raise ValueError(f"keep_share {arguments.keep_share} leaves none of {len(training)} pairs; raise it.")
            found = [kept]
    (kept,) = broadcast_object_list(found)
    told = f"{len(kept.indices):,} of {len(training):,}, {CHOSEN[arguments.keep_how]}"
    told += f" with the peak at {arguments.keep_peak:g}" if arguments.keep_peak != 1 else ""
    told += f" within each {arguments.keep_within}" if arguments.keep_within else ""
    if arguments.keep_how != "random":
        judge = arguments.difficulty_model or "the student before pretraining"
        told += f" for {judge}; {kept.seconds / 3600:.2f} hours of scoring"
    return training.subset(kept.indices), {"training pairs chosen": told}


def _chosen(
    training: EncodedPairs,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    arguments: Pretrain,
    inputs: Mapping[str, str],
    accelerator: Accelerator,
) -> Kept:
    """By scores that lie beside the encoded pairs, for every run whose judge and pairs are the same."""
    choose = partial(
        kept_by_difficulty,
        pairs=len(training),
        rate=arguments.keep_share,
        how=arguments.keep_how,
        seed=arguments.seed,
        groups=groups_of(training, arguments, inputs),
        a=arguments.keep_peak,
    )
    if arguments.keep_how == "random":
        return choose(lambda missing: [])
    judge = model
    if arguments.difficulty_model:
        judge, theirs = load_model(arguments, "difficulty_model", inputs)
        check_helper(arguments, "difficulty_model", tokenizer, theirs)
    key = f"{digest_model(judge)} {digest_rows(training)[0]}"
    name = hashlib.sha256(key.encode()).hexdigest()[:16]
    judge = judge.to(accelerator.device).eval()
    return choose(
        lambda missing: token_ranks(judge, training.subset(missing)),
        file=encoded_folder(arguments, inputs, tokenizer) / "difficulty" / f"{name}.safetensors",
        key=key,
    )


def groups_of(training: EncodedPairs, arguments: Pretrain, inputs: Mapping[str, str]) -> list[str] | None:
    """
    What each pair is ranked among (`keep_within`, a column of the corpus); None: all pairs.

    Only this choice asks for it, so it is read from the corpus, whose rows were encoded in their order.
    """
    if not arguments.keep_within:
        return None
    of_row = [sys.intern(row[arguments.keep_within]) for row in rows_of(arguments, inputs)]
    return [of_row[training.where(index)] for index in range(len(training))]


def masked(
    training: EncodedPairs, validation: EncodedPairs, tokenizer: PreTrainedTokenizerBase, settings: Pretraining
) -> tuple[SpanCorrupted, SpanCorrupted | EncodedPairs]:
    """
    Reviews as pairs of span corruption; those to train on as often as the steps pass over them, masked anew. As in the
    other objectives, `pretrain` reads every review once an epoch.
    """
    long_enough = max(1, len(SpanCorrupted(training, tokenizer, seed=settings.seed)))
    epochs = math.ceil(settings.steps * settings.pairs_per_step / long_enough)
    masks = SpanCorrupted(training, tokenizer, seed=settings.seed, epochs=epochs)
    return masks, SpanCorrupted(validation, tokenizer, seed=settings.seed) if len(validation) else validation


def with_soft_targets(
    training: EncodedPairs,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    arguments: Pretrain,
    inputs: Mapping[str, str],
    accelerator: Accelerator,
) -> tuple[Sequence, SoftLoss | None, Collate | None, dict[str, str]]:
    """
    Pairs, loss and collate as `pretrain` takes them, with what the soft teacher holds likely, if there is one; and
    what the card tells of it.
    """
    if not arguments.soft_teacher:
        return training, None, None, {}
    teacher, theirs = load_model(arguments, "soft_teacher", inputs)
    check_helper(arguments, "soft_teacher", tokenizer, theirs)
    targets = write_soft_targets(
        teacher.to(accelerator.device).eval(),
        training,
        encoded_folder(arguments, inputs, tokenizer) / "soft",
        k=arguments.soft_k,
        temperature=arguments.soft_temperature,
        vocabulary=len(tokenizer),
    )
    loss = SoftLoss(model, arguments.soft_weight, targets.temperature)
    told = {"soft targets": f"of {arguments.soft_teacher}, {cost_of(targets)}"}
    return SoftPairs(training, targets), loss, soft_batch, told
