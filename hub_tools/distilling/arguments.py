"""What a pretraining run may be told, and which of it makes sense together."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field

from hub_tools.corpus.difficulty import WAYS
from hub_tools.hub.runs import check_repo_id
from hub_tools.reviews.sampling import weigh
from hub_tools.students.account import OBJECTIVES
from hub_tools.students.pretraining import Pretraining


@dataclass
class Pretrain:
    namespace: str = field(metadata={"help": "user or organisation that owns the repos"})
    name: str = field(metadata={"help": "name of the student's repo, e.g. t5-sentiment-base"})
    hub: str = field(default="embedded", metadata={"help": "`embedded`, or the URL of a Hub"})
    private: bool = field(default=True, metadata={"help": "who may see the student"})
    runs: str = field(default="build/runs", metadata={"help": "folder for checkpoints and encoded pairs"})
    only: list[str] = field(default_factory=list, metadata={"help": "names of the sweep's runs to do; none: all"})

    objective: str = field(default="distillation", metadata={"help": f"{', '.join(OBJECTIVES)}"})
    corpus: str = field(
        default="", metadata={"help": "name or Hub id of the corpus; '': <namespace>/sentiment-understanding-corpus"}
    )
    corpus_configs: list[str] = field(
        default_factory=list, metadata={"help": "variants (analysis, …) or teacher-domain-prompt; none: `both`"}
    )
    teachers: list[str] = field(
        default_factory=list, metadata={"help": "whose texts, as the corpus names them; none: all"}
    )
    reviews: str = field(
        default="", metadata={"help": "a corpus of ids: the repo of replies, or the file, that holds the reviews"}
    )
    streaming: bool = field(default=False, metadata={"help": "read the corpus from the Hub row by row"})
    instructions: str = field(default="", metadata={"help": "objective `instructions`: Hub id of the dataset"})
    instructions_teacher: str = field(
        default="", metadata={"help": "who wrote the instruction dataset's responses, for the card"}
    )
    benchmark: str = field(
        default="", metadata={"help": "its sentences may not be learned; '': <namespace>/fsa-benchmark if it exists"}
    )
    reviews_limit: int = field(
        default=0, metadata={"help": "distinct reviews to learn from, held-out ones not counted; 0: all"}
    )
    draw: int = field(default=0, metadata={"help": "which draw of them; of one draw fewer are among more"})
    scheme: str = field(default="R12421", metadata={"help": "stars that the draw shall have, as Table 6 of the paper"})
    labelled_scheme: str = field(default="R12421", metadata={"help": "by which the corpus's reviews were sampled"})
    keep_share: float = field(default=1.0, metadata={"help": "share of the pairs to learn from, chosen by difficulty"})
    keep_how: str = field(default="soft", metadata={"help": "`soft`, `hard` or `random`: see corpus/difficulty.py"})
    keep_peak: float = field(
        default=1.0, metadata={"help": "`soft`: the difficulty that is kept likeliest, from 0, easiest, to 1, hardest"}
    )
    keep_within: str = field(
        default="", metadata={"help": "`prompt`: the share, and who is hard, among pairs of one prompt; '': among all"}
    )
    difficulty_model: str = field(default="", metadata={"help": "repo that finds pairs hard; '': the student itself"})

    student: str = field(
        default="", metadata={"help": "seq2seq checkpoint, repo or repo@revision; without a /: of the namespace; "
                              "'': fresh weights"}
    )  # fmt: skip
    vocab_size: int = field(default=6000, metadata={"help": "fresh student: pieces of its tokenizer"})
    d_model: int = field(default=128, metadata={"help": "fresh student: width"})
    d_ff: int = field(default=512, metadata={"help": "fresh student: width of the feed-forward layers"})
    num_layers: int = field(default=2, metadata={"help": "fresh student: layers on either side"})
    num_heads: int = field(default=4, metadata={"help": "fresh student: attention heads"})
    dropout_rate: float = field(
        default=0.1, metadata={"help": "fresh student: dropout; its random numbers cost on CPUs"}
    )
    soft_teacher: str = field(
        default="", metadata={"help": "seq2seq repo of the same tokenizer, whose token distributions are learned too"}
    )
    soft_weight: float = field(default=0.5, metadata={"help": "of the distributions; the text has the rest"})
    soft_k: int = field(default=16, metadata={"help": "likeliest tokens that are kept of each"})
    soft_temperature: float = field(default=1.0, metadata={"help": "of both distributions"})

    max_input: int = field(default=128, metadata={"help": "tokens of a review that are read"})
    max_target: int = field(default=400, metadata={"help": "tokens of a reply that are learned"})
    epochs: float = field(default=10.0, metadata={"help": "passes over the corpus"})
    steps: int = field(default=0, metadata={"help": "optimiser steps, whatever `epochs` says; 0: as it says"})
    pairs_per_step: int = field(default=100, metadata={"help": "pairs of one optimiser step, over all processes"})
    pairs_per_forward: int = field(default=20, metadata={"help": "pairs of one forward pass, over all processes"})
    lr: float = field(default=3e-3, metadata={"help": "relative step of the RMS-scaled AdamW"})
    final_lr: float = field(default=1e-5, metadata={"help": "where the cosine ends"})
    schedule: str = field(default="paper", metadata={"help": "`paper`: from lr; `reference`: from lr / 2"})
    warmup_steps: int = field(default=0, metadata={"help": "linear warm-up; fresh students need some"})
    validation_pairs: int = field(default=500, metadata={"help": "pairs held out, by review"})
    validate_every: int = field(default=2000, metadata={"help": "optimiser steps"})
    checkpoint_every: int = field(default=2000, metadata={"help": "optimiser steps"})
    seed: int = field(default=42, metadata={"help": "of weights, order, dropout and masks"})
    bf16: str = field(default="auto", metadata={"help": "`yes`, `no`, or `auto`: where the hardware gains from it"})
    compile: bool = field(default=False, metadata={"help": "torch.compile; pays on GPUs and long runs"})
    push_checkpoints: bool = field(
        default=False, metadata={"help": "checkpoints also go to the Hub, so that another machine can go on"}
    )
    track: str = field(default="", metadata={"help": "name of a trackio project, on this machine, that gets the log"})


def chosen(runs: list[Pretrain]) -> list[Pretrain]:
    """Those that `only` names, after a look at all: what could not end well does not begin."""
    for run in runs:
        check(run)
    names = [run.name for run in runs]
    only = runs[0].only
    if unknown := sorted(set(only) - set(names)):
        raise ValueError(f"`only` names {', '.join(unknown)}; the runs are {', '.join(names)}.")
    if len({run.bf16 for run in runs}) > 1:
        raise ValueError("`bf16` must be the same for all runs of a sweep: they share their processes.")
    return [run for run in runs if not only or run.name in only]


def check(arguments: Pretrain) -> None:
    """
    Refuses options that make no sense, or not together, or that change nothing.

    Raises:
        ValueError: what was found, and what is allowed.
    """
    repo_id = f"{arguments.namespace}/{arguments.name}"
    check_repo_id(repo_id, "model", "Choose another `namespace` or `name`.")  # the first push would come after work
    check_objective(arguments)
    check_ranges(arguments)
    if arguments.keep_how not in WAYS:
        raise ValueError(f"keep_how must be one of {', '.join(WAYS)}, found '{arguments.keep_how}'.")
    if arguments.keep_within not in WITHIN:
        raise ValueError(f"keep_within must be 'prompt' or '', found '{arguments.keep_within}'.")
    if arguments.schedule not in SCHEDULES:
        raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, found '{arguments.schedule}'.")
    if arguments.steps:
        check_warmup(arguments.warmup_steps, arguments.steps)
    elif not 0 < arguments.epochs < math.inf:
        raise ValueError(f"epochs must be above 0 where `steps` is 0, found {arguments.epochs}.")
    weigh(arguments.scheme), weigh(arguments.labelled_scheme)
    check_effects(arguments)


def check_objective(arguments: Pretrain) -> None:
    """Options that an objective needs, or cannot use."""
    if arguments.objective not in OBJECTIVES:
        raise ValueError(f"objective must be one of {', '.join(OBJECTIVES)}, found '{arguments.objective}'.")
    if (arguments.objective == "instructions") != bool(arguments.instructions):
        raise ValueError("objective `instructions` and a dataset for `instructions` go together; give both or none.")
    if arguments.soft_teacher and arguments.objective != "distillation":
        raise ValueError("`soft_teacher` needs the objective `distillation`: it reads the corpus's own targets.")
    if arguments.keep_share < 1 and arguments.objective == "span-corruption":
        raise ValueError("`keep_share` chooses pairs by their targets, which span corruption does not have.")
    if arguments.keep_within and arguments.objective != "distillation":
        raise ValueError("`keep_within` needs the objective `distillation`: others' pairs are made without a prompt.")


def check_ranges(arguments: Pretrain) -> None:
    """Numbers that are too small or too large, or none at all."""
    fresh = () if arguments.student else FRESH_SIZES
    for name, least in {**AT_LEAST, **dict.fromkeys(fresh, 1)}.items():
        found = getattr(arguments, name)
        if not least <= found < math.inf:
            raise ValueError(f"{name} must be at least {least}, found {found}.")
    if not 0 <= arguments.seed < 2**32:  # what torch, numpy and `random` all take
        raise ValueError(f"seed must be from 0 to {2**32 - 1}, found {arguments.seed}.")
    for name in ("lr", "soft_temperature"):
        if not 0 < getattr(arguments, name) < math.inf:
            raise ValueError(f"{name} must be above 0, found {getattr(arguments, name)}.")
    if not 0 < arguments.keep_share <= 1:
        raise ValueError(f"`keep_share` must be above 0 and at most 1, found {arguments.keep_share}.")
    if not 0 <= arguments.keep_peak <= 1:
        raise ValueError(f"keep_peak must be from 0 (the easiest) to 1 (the hardest), found {arguments.keep_peak}.")
    if not 0 <= arguments.soft_weight <= 1:
        raise ValueError(f"soft_weight must be from 0 (text only) to 1, found {arguments.soft_weight}.")
    if not 0 <= arguments.dropout_rate < 1:
        raise ValueError(f"dropout_rate must be at least 0 and below 1, found {arguments.dropout_rate}.")
    if fresh and arguments.d_model < arguments.num_heads:
        raise ValueError(
            f"d_model must be at least num_heads, which share it; found {arguments.d_model} for {arguments.num_heads}."
        )


def check_warmup(warmup_steps: int, steps: int) -> None:
    """A warm-up that leaves no step at the full learning rate."""
    if warmup_steps >= steps:
        raise ValueError(f"warmup_steps must be less than the steps, found {warmup_steps} of {steps}.")


def check_effects(arguments: Pretrain) -> None:
    """
    Options that would change nothing: they would make another run of the same one, and the card would tell of them.

    A fresh student's sizes may stand beside `student`: the runs of a sweep share them, and a card does not tell them.
    """
    for key, names in ONLY_WITH.items():
        if not getattr(arguments, key):
            refuse(changed(arguments, names), f"without `{key}`")
    if arguments.keep_share == 1:
        refuse(changed(arguments, KEEPING), "where `keep_share` is 1")
    if arguments.keep_how != "soft":
        refuse(changed(arguments, ("keep_peak",)), f"where `keep_how` is `{arguments.keep_how}`")
    if arguments.keep_how == "random":
        refuse(changed(arguments, ("difficulty_model",)), "where `keep_how` is `random`")
    if arguments.instructions:
        refuse(changed(arguments, ("corpus", "corpus_configs", "teachers", "reviews")), "beside `instructions`")


def changed(arguments: Pretrain, names: Iterable[str]) -> list[str]:
    """Those of the options `names` that are not what they are when nobody gives them."""
    plain = Pretrain(arguments.namespace, arguments.name)
    return [name for name in names if getattr(arguments, name) != getattr(plain, name)]


def refuse(names: Sequence[str], where: str) -> None:
    """Refuses options that have no effect there; none is fine."""
    if names:
        raise ValueError(f"`{'`, `'.join(names)}`: of no effect {where}. Leave out one or the other.")


def check_processes(arguments: Pretrain, sharded: bool) -> None:
    """
    What processes that share out a student's weights (FSDP2) cannot do.

    Raises:
        ValueError: there is a soft teacher.
    """
    if sharded and arguments.soft_teacher:
        raise ValueError(
            "`soft_teacher` needs the whole student in every process, which FSDP2 shares out: train with another of "
            "recipes/configs/accelerate, such as multi_gpu.yaml, or without `soft_teacher`."
        )


def settings_of(arguments: Pretrain, pairs: int) -> Pretraining:
    """
    Epochs as optimiser steps, unless `steps` says how many; the rest as given.

    Raises:
        ValueError: a number is impossible, or the warm-up as long as the training.
    """
    known = Pretraining.__dataclass_fields__
    given = {key: value for key, value in asdict(arguments).items() if key in known} | {"steps": 1}
    steps = arguments.steps or max(1, math.ceil(arguments.epochs * pairs / Pretraining(**given).pairs_per_step))
    check_warmup(arguments.warmup_steps, steps)
    return Pretraining(**given | {"steps": steps})


AT_LEAST = {
    "reviews_limit": 0, "draw": 0, "validation_pairs": 0, "steps": 0, "warmup_steps": 0, "final_lr": 0, "soft_k": 1,
    "max_input": 2, "max_target": 2, "pairs_per_step": 1, "pairs_per_forward": 1, "validate_every": 1,
    "checkpoint_every": 1,
}  # fmt: skip
FRESH_SIZES = ("vocab_size", "d_model", "d_ff", "num_layers", "num_heads")
SCHEDULES = ("paper", "reference")
WITHIN = ("", "prompt")
KEEPING = ("keep_how", "keep_peak", "keep_within", "difficulty_model")
ONLY_WITH = {  # options that say something only beside another one
    "soft_teacher": ("soft_weight", "soft_k", "soft_temperature"),
    "reviews_limit": ("draw", "scheme", "labelled_scheme"),
    "instructions": ("instructions_teacher",),
}
