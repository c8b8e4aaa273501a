"""
Pretrains a student on the sentiment understanding corpus: this is the distillation; and the baselines that paper 1
compares it with. A YAML may list several runs (`sweep`): what is missing is run, what was stopped goes on.

Reads:  <namespace>/sentiment-understanding-corpus (or the `corpus` named, or an instruction dataset),
        <namespace>/fsa-benchmark if it is there, to refuse a corpus that holds its sentences, and a seq2seq
        checkpoint unless the student starts fresh.
Writes: <namespace>/<name>: the student; tag `step-0` is the same model before pretraining, to compare with.

accelerate launch recipes/pretrain.py recipes/configs/demo/pretrain.yaml
"""

import hashlib
import json
import math
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from accelerate import Accelerator, PartialState
from huggingface_hub import HfApi
from rich.console import Console
from rich.table import Table
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hub_tools.arguments import REPORTED, parse_sweep, run_stage
from hub_tools.corpus.baselines import instruction_pairs, rating_pairs, review_pairs
from hub_tools.corpus.difficulty import WAYS, kept_by_difficulty
from hub_tools.corpus.reading import Rows, Tally, corpus_rows, instruction_rows, without_sentences
from hub_tools.corpus.refusals import benchmark_sentences, checked
from hub_tools.evaluation.figures import draw_losses
from hub_tools.hub.cards import ModelFacts, Teacher, model_card
from hub_tools.hub.checkpoints import HubCheckpoints
from hub_tools.hub.push import push_model, tag_revision
from hub_tools.hub.runs import INCIDENTAL, Run, find_finished_run, resolve_input, start_run
from hub_tools.reviews.sampling import draw, weigh
from hub_tools.students.account import OBJECTIVES, curve, lost, measured, numbers
from hub_tools.students.encoded import EncodedPairs, encode_corpus
from hub_tools.students.encoding import tokenizer_digest
from hub_tools.students.hardware import gains_from_bf16
from hub_tools.students.models import escape_newlines, fresh_student, load_student, save_student, split_revision
from hub_tools.students.pretraining import Pretraining, TrainingLog, precision, pretrain
from hub_tools.students.soft_loss import SoftLoss, SoftPairs, soft_batch
from hub_tools.students.soft_targets import same_tokenizer, write_soft_targets
from hub_tools.students.span_corruption import SpanCorrupted, with_sentinels
from hub_tools.students.step_plan import held_out
from hub_tools.students.sweep import Outcome, run_all, table
from hub_tools.students.token_ranks import token_ranks
from hub_tools.students.tracking import track


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


def main() -> None:
    runs = chosen(parse_sweep(Pretrain))
    accelerator = Accelerator(mixed_precision=precision(runs[0].bf16, PartialState().device))
    alone = accelerator.num_processes == 1  # else others would wait for the one that failed
    run_all(runs, partial(pretrain_student, accelerator=accelerator), partial(show, accelerator), REPORTED, alone)
    accelerator.end_training()


def pretrain_student(arguments: Pretrain, accelerator: Accelerator) -> Outcome:
    """One student, from the corpus to the Hub; nothing if it is there already."""
    repo_id = f"{arguments.namespace}/{arguments.name}"
    run = start_run("pretrain", asdict(arguments), inputs_of(arguments))
    if finished := find_finished_run(repo_id, "model", run.digest):
        accelerator.print(f"pretrain: {repo_id} was pretrained by this very run; reused.")
        return Outcome(arguments.name, "reused", finished.facts)
    folder = Path(arguments.runs) / f"pretrain-{run.digest[:12]}"

    pairs, tally = pairs_of(arguments, run.inputs, refuse=accelerator.is_main_process), Tally()
    if accelerator.is_local_main_process:
        make_start(arguments, pairs, run.inputs, folder / "start")
    accelerator.wait_for_everyone()
    model, tokenizer = load_student(str(folder / "start"))  # one tokenizer for all processes, and after a resume
    limits = {"max_input": arguments.max_input, "max_target": arguments.max_target}
    encoded = encode_corpus(tally.of(pairs), tokenizer, encoded_folder(arguments, run.inputs, tokenizer), **limits)
    training, validation = split(encoded, tally.stars, arguments)
    training = hardest(training, model, tokenizer, arguments, run, folder)
    settings = settings_of(arguments, len(training))
    reviews, n_pairs, n_held_out = len(np.unique(training.reviews)), len(training), len(validation)
    if arguments.objective == "span-corruption":
        training, validation = masked(training, validation, tokenizer, settings)
    if accelerator.is_main_process:
        push_start(repo_id, folder / "start", arguments)
    remote = HubCheckpoints(repo_id, run.digest, private=arguments.private) if arguments.push_checkpoints else None
    training, loss, collate = with_soft_targets(training, model, tokenizer, arguments, run.inputs, accelerator)

    if arguments.track:
        track(accelerator, arguments.track, run.config)
    model, log = pretrain(
        model, training, validation, settings, accelerator, folder / "checkpoints",
        run=run.digest, remote=remote, loss=loss, collate=collate,
    )  # fmt: skip

    stop_tracking(accelerator)
    facts = numbers(log, settings, reviews, n_pairs)
    if accelerator.is_main_process:
        save_student(model, tokenizer, folder / "student")
        curves = {"training": log.losses, "held-out reviews": log.validation}
        draw_losses(curves, folder / "student" / "loss.png", f"{arguments.name}: {n_pairs:,} pairs")
        told = measured(log, settings, arguments.objective, n_held_out, gains_from_bf16(accelerator.device).why)
        told["lost to the limits and the tokenizer"] = lost(getattr(training, "cost", encoded.cost))
        card = model_facts(repo_id, arguments, run.finish(**facts), log, told, tally, model.num_parameters())
        push_model(folder / "student", repo_id, card=model_card(card), private=arguments.private, run=card.run)
        if remote:
            remote.finish()
        last = facts["validation_loss"]
        print(f"pretrain: pushed {repo_id}: validation loss {math.nan if last is None else last:.4f}.")
    return Outcome(arguments.name, "trained", facts)


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
    """Options that make no sense, or not together."""
    if arguments.objective not in OBJECTIVES:
        raise ValueError(f"objective must be one of {', '.join(OBJECTIVES)}, found '{arguments.objective}'.")
    if (arguments.objective == "instructions") != bool(arguments.instructions):
        raise ValueError("objective `instructions` and a dataset for `instructions` go together; give both or none.")
    if arguments.soft_teacher and arguments.objective != "distillation":
        raise ValueError("`soft_teacher` needs the objective `distillation`: it reads the corpus's own targets.")
    if not 0 < arguments.keep_share <= 1:
        raise ValueError(f"`keep_share` must be above 0 and at most 1, found {arguments.keep_share}.")
    if arguments.keep_how not in WAYS:
        raise ValueError(f"keep_how must be one of {', '.join(WAYS)}, found '{arguments.keep_how}'.")
    if arguments.keep_share < 1 and arguments.objective == "span-corruption":
        raise ValueError("`keep_share` chooses pairs by their targets, which span corruption does not have.")
    for name in ("reviews_limit", "steps", "validation_pairs"):
        if getattr(arguments, name) < 0:
            raise ValueError(f"{name} must be at least 0, found {getattr(arguments, name)}.")
    weigh(arguments.scheme), weigh(arguments.labelled_scheme)
    if not arguments.reviews_limit and (arguments.draw or arguments.scheme != arguments.labelled_scheme):
        raise ValueError(
            "`draw` and `scheme` say which reviews are drawn, and without `reviews_limit` none are: all are learned "
            "from. Give `reviews_limit`, or leave them out."
        )


def reference(text: str, namespace: str) -> tuple[str, str | None]:
    """`"t5@step-0"` → (repo in `namespace`, revision); a repo that says whose it is stays as it is."""
    repo_id, revision = split_revision(text)
    return repo_id if "/" in repo_id else f"{namespace}/{repo_id}", revision


def inputs_of(arguments: Pretrain) -> dict[str, str]:
    """Every repo that the run reads, and its commit. Models that help are named by what for: `repo@soft_teacher`."""
    if arguments.objective == "instructions":
        inputs = {arguments.instructions: resolve_input(arguments.instructions, "dataset")}
    else:
        corpus = corpus_of(arguments)
        inputs = {corpus: resolve_input(corpus, "dataset")}
    benchmark = benchmark_of(arguments)
    if arguments.benchmark or HfApi().repo_exists(benchmark, repo_type="dataset"):
        inputs[benchmark] = resolve_input(benchmark, "dataset")
    for role in ("student", "soft_teacher", "difficulty_model"):
        if text := getattr(arguments, role):
            repo_id, revision = reference(text, arguments.namespace)
            inputs[input_name(repo_id, role)] = resolve_input(repo_id, "model", revision)
    return inputs


def corpus_of(arguments: Pretrain) -> str:
    return reference(arguments.corpus or "sentiment-understanding-corpus", arguments.namespace)[0]


def benchmark_of(arguments: Pretrain) -> str:
    return arguments.benchmark or f"{arguments.namespace}/fsa-benchmark"


def input_name(repo_id: str, role: str) -> str:
    return repo_id if role == "student" else f"{repo_id}@{role}"


def load_model(arguments: Pretrain, role: str, inputs: Mapping[str, str]):
    """The checkpoint that the option `role` names, at this run's commit, and its tokenizer."""
    repo_id, _ = reference(getattr(arguments, role), arguments.namespace)
    return load_student(repo_id, inputs[input_name(repo_id, role)])


def pairs_of(arguments: Pretrain, inputs: Mapping[str, str], refuse: bool = True) -> Rows:
    """
    What the objective learns from, as pairs; with `refuse` they are looked through for what must not be learned.

    Instructions come from strangers: those that hold a sentence of the benchmark are left out. A corpus that does was
    built wrongly, and is refused.
    """
    benchmark = benchmark_of(arguments)
    instructed = arguments.objective == "instructions"
    known = benchmark in inputs and (refuse or instructed)  # what is left out is so for all processes
    sentences = benchmark_sentences(benchmark, inputs[benchmark]) if known else None
    if instructed:
        repo_id, streaming = arguments.instructions, arguments.streaming
        rows = instruction_rows(repo_id, inputs[repo_id], streaming=streaming)
        return Rows(lambda: checked(without_sentences(instruction_pairs(rows, source=repo_id), sentences, Counter())))
    corpus = corpus_of(arguments)
    rows = corpus_rows(
        corpus,
        inputs[corpus],
        arguments.corpus_configs,
        reviews=arguments.reviews,
        teachers=arguments.teachers,
        streaming=arguments.streaming,
    )
    made = {"span-corruption": review_pairs, "rating": rating_pairs}.get(arguments.objective, lambda rows: rows)
    return Rows(lambda: checked(made(rows), sentences))


def make_start(arguments: Pretrain, pairs: Iterable[Mapping], inputs: Mapping[str, str], folder: Path) -> None:
    """The student as it is before pretraining, in `folder`; made once for a run, whole or not at all."""
    if folder.exists():
        return
    draft = folder.with_suffix(f".draft-{PartialState().process_index}")
    model, tokenizer = make_student(arguments, pairs, inputs)
    if arguments.objective == "span-corruption":
        model, tokenizer = with_sentinels(model, tokenizer)
    save_student(model, tokenizer, draft)
    try:
        draft.rename(folder)
    except OSError:  # machines that share the folder: another was sooner
        shutil.rmtree(draft)


def make_student(arguments: Pretrain, pairs: Iterable[Mapping], inputs: Mapping[str, str]):
    """The checkpoint named, or fresh weights and a tokenizer trained on the corpus's inputs and targets."""
    if arguments.student:
        return load_model(arguments, "student", inputs)
    return fresh_student(
        (escape_newlines(pair[side]) for pair in pairs for side in ("input", "target")),
        vocab_size=arguments.vocab_size,
        d_model=arguments.d_model,
        d_ff=arguments.d_ff,
        num_layers=arguments.num_layers,
        num_heads=arguments.num_heads,
        dropout_rate=arguments.dropout_rate,
        seed=arguments.seed,
    )


def encoded_folder(arguments: Pretrain, inputs: Mapping[str, str], tokenizer: PreTrainedTokenizerBase) -> Path:
    """Where the pairs lie as token ids: in one place for all runs that read the same ones with the same tokenizer."""
    names = ("objective", "corpus_configs", "teachers", "reviews", "max_input", "max_target")
    data = inputs[arguments.instructions or corpus_of(arguments)]
    facts = [data, tokenizer_digest(tokenizer), *(getattr(arguments, name) for name in names)]
    return Path(arguments.runs) / "encoded" / hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


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


def hardest(
    training: EncodedPairs,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    arguments: Pretrain,
    run: Run,
    folder: Path,
) -> EncodedPairs:
    """The share of the pairs that is to be learned from, chosen by how hard a model finds them; else all of them."""
    if arguments.keep_share == 1:
        return training
    judge = model
    if arguments.difficulty_model and arguments.keep_how != "random":
        judge, theirs = load_model(arguments, "difficulty_model", run.inputs)
        same_tokenizer(tokenizer, theirs)
    with PartialState().local_main_process_first():  # which scores; the others read what it found
        indices = kept_by_difficulty(
            token_ranks(judge.to(PartialState().device).eval(), training),
            pairs=len(training),
            rate=arguments.keep_share,
            how=arguments.keep_how,
            seed=arguments.seed,
            file=folder / "difficulty.safetensors",
            key=run.digest,
        )
    if not len(indices):
        raise ValueError(f"keep_share {arguments.keep_share} leaves none of {len(training)} pairs; raise it.")
    return training.subset(indices)


def star_weights(arguments: Pretrain) -> np.ndarray:
    """(6,) how likely reviews of no stars and of 1 to 5 are drawn from a corpus that was itself sampled by stars."""
    if arguments.scheme == arguments.labelled_scheme:
        return np.ones(6)
    wanted, had = weigh(arguments.scheme), weigh(arguments.labelled_scheme)
    return np.divide(wanted, had, out=np.zeros(6), where=had > 0)


def settings_of(arguments: Pretrain, pairs: int) -> Pretraining:
    """Epochs as optimiser steps, unless `steps` says how many; the rest as given."""
    known = Pretraining.__dataclass_fields__
    given = {key: value for key, value in asdict(arguments).items() if key in known} | {"steps": 1}
    steps = arguments.steps or max(1, math.ceil(arguments.epochs * pairs / Pretraining(**given).pairs_per_step))
    return Pretraining(**given | {"steps": steps})


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


def stop_tracking(accelerator: Accelerator) -> None:
    """Ends this run's log, so that the next run of a sweep has one of its own."""
    for tracker in accelerator.trackers:
        tracker.finish()
    accelerator.trackers.clear()


def push_start(repo_id: str, folder: Path, arguments: Pretrain) -> None:
    """Pushes the student as it is before pretraining and tags it `step-0`: what distillation is compared with."""
    facts = ModelFacts(
        repo_id=repo_id,
        title=f"{arguments.name} before pretraining",
        summary="The starting point of a pretraining run, kept so that its gain can be measured.",
        base_model=base_of(arguments),
        objective=arguments.objective,
    )
    # On a branch: `main` must not offer a student that has learned nothing, to a `finetune` started meanwhile, say.
    commit = push_model(folder, repo_id, card=model_card(facts), private=arguments.private, revision="start")
    tag_revision(repo_id, "step-0", commit, "model")


def base_of(arguments: Pretrain) -> str | None:
    return reference(arguments.student, arguments.namespace)[0] if arguments.student else None


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
    silent = {"namespace", "name", "objective", *INCIDENTAL, *(IF_FRESH if arguments.student else ())}
    silent |= {name for key, names in ONLY_WITH.items() if not getattr(arguments, key) for name in names}
    silent |= {"keep_share", "keep_how"} if arguments.keep_share == 1 else set()
    silent |= {"epochs"} if arguments.steps else set()
    return {key: value for key, value in run.config.items() if key not in silent and value not in ("", [], 0)}


def show(accelerator: Accelerator, outcomes: list[Outcome]) -> None:
    """A sweep's runs in the terminal, those that are still missing too."""
    header, lines = table(outcomes)
    shown = Table(title="pretrain", title_justify="left")
    for number, name in enumerate(header):
        shown.add_column(name, justify="left" if number < 2 else "right", no_wrap=True)
    for line in lines:
        shown.add_row(*line)
    if accelerator.is_main_process:
        Console(width=max(100, Console().width)).print(shown)


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
# Options that mean something only with another one
ONLY_WITH = {
    "soft_teacher": ("soft_weight", "soft_k", "soft_temperature"),
    "reviews_limit": ("draw", "scheme", "labelled_scheme"),
}
IF_FRESH = ("vocab_size", "d_model", "d_ff", "num_layers", "num_heads", "dropout_rate")


if __name__ == "__main__":
    run_stage(main)
