"""
Which of the pairs a student learns from, and in which form: held out, drawn by stars, chosen by difficulty, masked,
with a teacher's distributions.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hub_tools.corpus.difficulty import kept_by_difficulty
from hub_tools.distilling.arguments import Pretrain
from hub_tools.distilling.inputs import encoded_folder, load_model
from hub_tools.hub.runs import Run
from hub_tools.reviews.sampling import draw, weigh
from hub_tools.students.encoded import EncodedPairs
from hub_tools.students.pretraining import Pretraining
from hub_tools.students.soft_loss import SoftLoss, SoftPairs, soft_batch
from hub_tools.students.soft_targets import same_tokenizer, write_soft_targets
from hub_tools.students.span_corruption import SpanCorrupted
from hub_tools.students.step_plan import held_out
from hub_tools.students.token_ranks import token_ranks


def split(encoded: EncodedPairs, stars: np.ndarray, arguments: Pretrain) -> tuple[EncodedPairs, EncodedPairs]:
    """
    (training, validation), by review. What is held out depends on `seed` alone, not on how many reviews are drawn of
    the rest, so that the losses of runs on more and on fewer reviews compare.
    """
    held = held_out(encoded.reviews, arguments.validation_pairs, arguments.seed)
    rest, limit = np.flatnonzero(~held), arguments.reviews_limit
    if limit:
        reviews, first = np.unique(encoded.reviews[rest], return_index=True)
        weights = star_weights(arguments)[stars[rest[first]]]
        reviews, weights = reviews[weights > 0], weights[weights > 0]
        if len(reviews) < limit:
            raise ValueError(
                f"reviews_limit is {limit}, but beside those held out there are {len(reviews)} reviews that the "
                f"scheme {arguments.scheme} may draw."
            )
        drawn = reviews[draw(reviews, weights, limit, arguments.draw)]
        rest = rest[np.isin(encoded.reviews[rest], drawn)]
    return encoded.subset(rest), encoded.subset(np.flatnonzero(held))


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
    run: Run,
    folder: Path,
    accelerator: Accelerator,
) -> EncodedPairs:
    """
    The share of the pairs that is to be learned from, chosen by how hard a model finds them; else all of them.

    One process chooses for all: on another kind of machine two scores may differ by a rounding.
    """
    if arguments.keep_share == 1:
        return training
    found = [None]
    if accelerator.is_main_process:
        judge = model
        if arguments.difficulty_model and arguments.keep_how != "random":
            judge, theirs = load_model(arguments, "difficulty_model", run.inputs)
            same_tokenizer(tokenizer, theirs)
        found = [
            kept_by_difficulty(
                token_ranks(judge.to(accelerator.device).eval(), training),
                pairs=len(training),
                rate=arguments.keep_share,
                how=arguments.keep_how,
                seed=arguments.seed,
                file=folder / "difficulty.safetensors",
                key=run.digest,
            )
        ]
    (indices,) = broadcast_object_list(found)
    if not len(indices):
        raise ValueError(f"keep_share {arguments.keep_share} leaves none of {len(training)} pairs; raise it.")
    return training.subset(indices)


def masked(
    training: EncodedPairs, validation: EncodedPairs, tokenizer: PreTrainedTokenizerBase, settings: Pretraining
) -> tuple[SpanCorrupted, SpanCorrupted | EncodedPairs]:
    """Reviews as pairs of span corruption; those to train on as often as the steps pass over them, masked anew."""
    epochs = math.ceil(settings.steps * settings.pairs_per_step / len(training))
    masks = SpanCorrupted(training, tokenizer, seed=settings.seed, epochs=epochs)
    return masks, SpanCorrupted(validation, tokenizer, seed=settings.seed) if len(validation) else validation


def with_soft_targets(
    training: EncodedPairs,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    arguments: Pretrain,
    inputs: Mapping[str, str],
    accelerator: Accelerator,
):
    """Pairs, loss and collate as `pretrain` takes them: with what the soft teacher holds likely, if there is one."""
    if not arguments.soft_teacher:
        return training, None, None
    teacher, theirs = load_model(arguments, "soft_teacher", inputs)
    same_tokenizer(tokenizer, theirs)
    targets = write_soft_targets(
        teacher.to(accelerator.device).eval(),
        training,
        encoded_folder(arguments, inputs, tokenizer) / "soft",
        k=arguments.soft_k,
        temperature=arguments.soft_temperature,
        vocabulary=len(tokenizer),
    )
    loss = SoftLoss(model, arguments.soft_weight, targets.temperature)
    return SoftPairs(training, targets), loss, soft_batch
