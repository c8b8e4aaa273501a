"""What the card of a pretrained student tells of its run."""

from collections.abc import Mapping

from hub_tools.corpus.reading import Tally
from hub_tools.distilling.arguments import Pretrain
from hub_tools.distilling.inputs import corpus_of
from hub_tools.distilling.start import base_of
from hub_tools.hub.cards import ModelFacts, Teacher
from hub_tools.hub.runs import INCIDENTAL, Run
from hub_tools.students.account import curve
from hub_tools.students.pretraining import TrainingLog


def model_facts(
    repo_id: str, arguments: Pretrain, run: Run, log: TrainingLog, told: Mapping[str, str], tally: Tally, size: int
) -> ModelFacts:
    """What the card tells of this run."""
    first = {"training, first step": log.losses[0][1], "training, last step": log.losses[-1][1]}
    held = {} if not log.validation else {
        "validation, first": log.validation[0][1], "validation, last": log.validation[-1][1]
    }  # fmt: skip
    return ModelFacts(
        repo_id=repo_id,
        title=arguments.name,
        summary=SUMMARIES[arguments.objective],
        objective=arguments.objective,
        base_model=base_of(arguments),
        datasets=[arguments.instructions or corpus_of(arguments)],
        teachers=[Teacher(name, is_llm=name != "lexicon") for name in sorted(tally.teachers) if name],
        hyperparameters=said(arguments, run),
        parameters=size,
        pairs=run.facts["pairs"],
        tokens=run.facts["tokens"],
        losses=first | held,
        measured=told,
        curve=curve(log),
        picture="loss.png",
        run=run,
    )


def said(arguments: Pretrain, run: Run) -> dict[str, object]:
    """The settings that the card lists: not what was left empty, nor what such an option alone gives a meaning."""
    silent = {"namespace", "name", "objective", *(INCIDENTAL - ASKED), *(IF_FRESH if arguments.student else ())}
    silent |= {name for key, names in ONLY_WITH.items() if not getattr(arguments, key) for name in names}
    silent |= {"keep_share", "keep_how"} if arguments.keep_share == 1 else set()
    silent |= {"epochs"} if arguments.steps else set()
    return {key: value for key, value in run.config.items() if key not in silent and value not in ("", [], 0)}


def kept_out(watched: Mapping[str, str], left_out: Mapping[str, int]) -> dict[str, str]:
    """What the card tells of sentences and pairs that were not to be learned."""
    looked = ", ".join(f"none of {benchmark}@{commit[:12]}'s" for benchmark, commit in watched.items())
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in left_out.items() if count)
    return {"benchmark sentences": looked or "nobody looked for any", "left out": reasons}


SUMMARIES = {
    "distillation": "A T5 that has learned fine-grained sentiment understanding from its teachers' analyses and "
    "rewrites of reviews. Fine-tune it on a task: by itself it writes analyses and rewrites, not labels.",
    "span-corruption": "A baseline of distillation: a T5 that has read the same reviews and restored what was masked "
    "in them (domain-adaptive pretraining, DAPT), without a teacher. Fine-tune it on a task.",
    "rating": "A baseline of distillation: a T5 that has learned to tell a review's stars, without a teacher. "
    "Fine-tune it on a task.",
    "instructions": "A baseline of distillation: a T5 that has learned a teacher's responses to instructions of any "
    "kind. Fine-tune it on a task.",
}


ASKED = {"validate_every", "pairs_per_forward"}  # decide no weight, and whoever repeats a run asks for them
ONLY_WITH = {
    "soft_teacher": ("soft_weight", "soft_k", "soft_temperature"),
    "reviews_limit": ("draw", "scheme", "labelled_scheme"),
}


IF_FRESH = ("vocab_size", "d_model", "d_ff", "num_layers", "num_heads", "dropout_rate")
