"""What the card of a pretrained student tells of its run."""

import inspect
from collections.abc import Mapping
from dataclasses import asdict
from typing import NamedTuple

from hub_tools.corpus.contamination import LEAST_WORDS
from hub_tools.corpus.reading import Tally
from hub_tools.distilling.arguments import Pretrain
from hub_tools.distilling.inputs import corpus_of
from hub_tools.distilling.start import base_of
from hub_tools.hub.cards import ModelFacts, Teacher, stated_licence
from hub_tools.hub.runs import INCIDENTAL, Run
from hub_tools.students.account import curve
from hub_tools.students.optimizer import RMSScaledAdamW
from hub_tools.students.pretraining import Pretraining, TrainingLog


class Licences(NamedTuple):
    """As the Hub states them: the base model's, which the student has too (fresh weights have none), the data's."""

    base: str | None
    data: str | None


def licences_of(arguments: Pretrain, inputs: Mapping[str, str]) -> Licences:
    """Those of what the run reads, at its commits."""
    base, data = base_of(arguments), arguments.instructions or corpus_of(arguments)
    of_base = stated_licence(base, "model", inputs[base]) if base else None
    return Licences(of_base, stated_licence(data, "dataset", inputs[data]))


def model_facts(
    repo_id: str,
    arguments: Pretrain,
    run: Run,
    log: TrainingLog,
    told: Mapping[str, str],
    tally: Tally,
    size: int,
    settings: Pretraining,
    licences: Licences,
) -> ModelFacts:
    """What the card tells of this run. It asks nothing of the Hub, which may be down when the training ends."""
    base, data = base_of(arguments), arguments.instructions or corpus_of(arguments)
    first = {"training, first step": log.losses[0][1], "training, last step": log.losses[-1][1]}
    held = {} if not log.validation else {
        "validation, first": log.validation[0][1], "validation, last": log.validation[-1][1]
    }  # fmt: skip
    return ModelFacts(
        repo_id=repo_id,
        title=arguments.name,
        summary=SUMMARIES[arguments.objective],
        objective=arguments.objective,
        licence=licences.base,
        terms={data: licences.data},
        base_model=base,
        datasets=[data],
        teachers=[Teacher(name, is_llm=name != "lexicon") for name in sorted(tally.teachers) if name],
        hyperparameters=said(arguments, run) | fixed(arguments, settings),
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
    silent |= {"keep_peak"} if arguments.keep_share == 1 or arguments.keep_how != "soft" else set()
    silent |= {"epochs"} if arguments.steps else {"steps"}
    silent |= {"reviews_limit"} if not arguments.reviews_limit else set()
    return {key: value for key, value in run.config.items() if key not in silent and value not in ("", [])}


def fixed(arguments: Pretrain, settings: Pretraining) -> dict[str, object]:
    """What decides the weights too, though no option asks for it: the optimiser's numbers and the other settings."""
    own = inspect.signature(RMSScaledAdamW).parameters
    unasked = {key: value for key, value in asdict(settings).items() if key not in asdict(arguments)}
    return {"optimizer": RMSScaledAdamW.__name__} | {name: own[name].default for name in ("betas", "eps")} | unasked


def kept_out(watched: Mapping[str, str], left_out: Mapping[str, int]) -> dict[str, str]:
    """What the card tells of sentences and pairs that were not to be learned."""
    looked = [
        f"no sentence of {LEAST_WORDS} words or more that {benchmark}@{commit[:12]} validates or tests on is in it"
        for benchmark, commit in watched.items()
    ]
    reasons = ", ".join(f"{count:,} {REASONS.get(reason, reason)}" for reason, count in left_out.items() if count)
    return {"contamination check of the training text": ", ".join(looked) or "not done", "rows left out": reasons}


SUMMARIES = {  # what the card's text of an objective does not say
    "distillation": "",
    "span-corruption": "A baseline of distillation, without a teacher.",
    "rating": "A baseline of distillation, without a teacher.",
    "instructions": "A baseline of distillation, from texts that need not be about reviews.",
}


REASONS = {  # of corpus/baselines.py and corpus/reading.py
    "benchmark sentence": "with a sentence of the benchmark",
    "repeated": "that repeat the text of another",
    "empty": "without text",
    "unrated": "without stars",
}
ASKED = {"validate_every", "pairs_per_forward"}  # decide no weight, and whoever repeats a run asks for them
ONLY_WITH = {
    "soft_teacher": ("soft_weight", "soft_k", "soft_temperature"),
    "reviews_limit": ("draw", "scheme", "labelled_scheme"),
}


IF_FRESH = ("vocab_size", "d_model", "d_ff", "num_layers", "num_heads", "dropout_rate")
