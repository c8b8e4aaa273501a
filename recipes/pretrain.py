"""
Pretrains a student on the sentiment understanding corpus: this is the distillation.

Reads:  <namespace>/sentiment-understanding-corpus, and a seq2seq checkpoint unless the student starts fresh.
Writes: <namespace>/<name>: the student; tag `step-0` is the same model before pretraining, to compare with.

accelerate launch recipes/pretrain.py recipes/configs/demo/pretrain.yaml
"""

import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from accelerate import Accelerator, PartialState
from datasets import get_dataset_config_names, load_dataset

from hub_tools.arguments import parse_arguments, run_stage
from hub_tools.corpus.rejoin import load_texts, rejoined
from hub_tools.evaluation.figures import draw_losses
from hub_tools.hub.cards import ModelFacts, Teacher, model_card
from hub_tools.hub.push import push_model, tag_revision
from hub_tools.hub.runs import Run, find_finished_run, resolve_input, start_run
from hub_tools.students.models import escape_newlines, fresh_student, load_student, save_student
from hub_tools.students.pretraining import Pretraining, encode_pairs, hold_out, pretrain


@dataclass
class Pretrain:
    namespace: str = field(metadata={"help": "user or organisation that owns the repos"})
    name: str = field(metadata={"help": "name of the student's repo, e.g. t5-sentiment-base"})
    hub: str = field(default="embedded", metadata={"help": "`embedded`, or the URL of a Hub"})
    private: bool = field(default=True, metadata={"help": "who may see the student"})
    runs: str = field(default="build/runs", metadata={"help": "folder for checkpoints"})
    corpus_configs: list[str] = field(
        default_factory=list, metadata={"help": "variants (analysis, …) or teacher-domain-prompt; none: `both`"}
    )
    reviews: str = field(
        default="", metadata={"help": "a corpus of ids: the repo of replies, or the file, that holds the reviews"}
    )
    student: str = field(
        default="", metadata={"help": "Hub id of a seq2seq checkpoint (@revision); '': fresh weights"}
    )
    vocab_size: int = field(default=6000, metadata={"help": "fresh student: pieces of its tokenizer"})
    d_model: int = field(default=128, metadata={"help": "fresh student: width"})
    d_ff: int = field(default=512, metadata={"help": "fresh student: width of the feed-forward layers"})
    num_layers: int = field(default=2, metadata={"help": "fresh student: layers on either side"})
    num_heads: int = field(default=4, metadata={"help": "fresh student: attention heads"})
    dropout_rate: float = field(
        default=0.1, metadata={"help": "fresh student: dropout; its random numbers cost on CPUs"}
    )
    max_input: int = field(default=128, metadata={"help": "tokens of a review that are read"})
    max_target: int = field(default=400, metadata={"help": "tokens of a reply that are learned"})
    epochs: float = field(default=10.0, metadata={"help": "passes over the corpus"})
    pairs_per_step: int = field(default=100, metadata={"help": "pairs of one optimiser step, over all processes"})
    pairs_per_forward: int = field(default=20, metadata={"help": "pairs of one forward pass, over all processes"})
    lr: float = field(default=3e-3, metadata={"help": "relative step of the RMS-scaled AdamW"})
    final_lr: float = field(default=1e-5, metadata={"help": "where the cosine ends"})
    schedule: str = field(default="paper", metadata={"help": "`paper`: from lr; `reference`: from lr / 2"})
    warmup_steps: int = field(default=0, metadata={"help": "linear warm-up; fresh students need some"})
    validation_pairs: int = field(default=500, metadata={"help": "pairs held out, by review"})
    validate_every: int = field(default=2000, metadata={"help": "optimiser steps"})
    checkpoint_every: int = field(default=2000, metadata={"help": "optimiser steps"})
    seed: int = field(default=42, metadata={"help": "of weights, order and dropout"})


def main() -> None:
    arguments = parse_arguments(Pretrain)
    accelerator = Accelerator(mixed_precision="no" if PartialState().device.type == "cpu" else "bf16")
    repo_id, corpus = (
        f"{arguments.namespace}/{arguments.name}",
        f"{arguments.namespace}/sentiment-understanding-corpus",
    )
    run = start_run(
        "pretrain", asdict(arguments), {corpus: resolve_input(corpus, "dataset"), **student_input(arguments)}
    )
    if find_finished_run(repo_id, "model", run.digest):
        accelerator.print(f"pretrain: {repo_id} was pretrained by this very run; reused.")
        return

    pairs = load_pairs(corpus, run.inputs[corpus], arguments.corpus_configs, arguments.reviews)
    folder = Path(arguments.runs) / f"pretrain-{run.digest[:12]}"
    if accelerator.is_main_process:
        push_start(pairs, repo_id, folder / "start", arguments)
    accelerator.wait_for_everyone()
    model, tokenizer = load_student(str(folder / "start"))  # one tokenizer for all processes, and after a resume
    training, validation = hold_out(pairs, arguments.validation_pairs, arguments.seed)
    encoded, cost = encode_pairs(training, tokenizer, arguments.max_input, arguments.max_target)
    held_out, _ = encode_pairs(validation, tokenizer, arguments.max_input, arguments.max_target)
    model, log = pretrain(
        model, encoded, held_out, settings(arguments, len(encoded)), accelerator, folder / "checkpoints"
    )

    if accelerator.is_main_process:
        save_student(model, tokenizer, folder / "student")
        curves = {"training": log.losses, "held-out reviews": log.validation}
        draw_losses(curves, folder / "student" / "loss.png", f"{arguments.name}: {len(encoded)} pairs")
        facts = model_facts(repo_id, arguments, run.finish(), pairs, log, cost, model.num_parameters())
        push_model(folder / "student", repo_id, card=model_card(facts), private=arguments.private, run=facts.run)
        print(
            f"pretrain: pushed {repo_id}: validation loss {log.validation[-1][1] if log.validation else math.nan:.4f}."
        )
    accelerator.end_training()


def student_input(arguments: Pretrain) -> dict[str, str]:
    """The commit of the checkpoint that is pretrained further; nothing for a fresh student."""
    if not arguments.student:
        return {}
    repo_id, _, revision = arguments.student.partition("@")
    return {repo_id: resolve_input(repo_id, "model", revision or None)}


def load_pairs(corpus: str, revision: str, configs: list[str], reviews: str = "") -> list[dict]:
    """All pairs of the corpus, or of the configs named, whole; what was rejected is never read."""
    found = [name for name in get_dataset_config_names(corpus, revision=revision) if name != "rejected"]
    unknown = sorted(set(configs) - set(found))
    if unknown:
        raise ValueError(f"{corpus} has no config {', '.join(unknown)}; found: {', '.join(found)}.")
    names = configs or (["both"] if "both" in found else found)  # a corpus without variants has parts only
    pairs = [row for name in names for row in load_dataset(corpus, name, revision=revision, split="train")]
    if len({pair["pair_id"] for pair in pairs}) < len(pairs):
        raise ValueError(f"the configs {', '.join(names)} of {corpus} overlap; name configs that share no pair.")
    if not reviews and any(pair["input"] is None for pair in pairs):
        raise ValueError(
            f"{corpus} holds the ids of its reviews and not their texts. Give the reviews with `reviews`: the repo of "
            "replies it was built from, or a .jsonl or .parquet file with review_id and text."
        )
    return list(rejoined(pairs, load_texts(reviews))) if reviews else pairs


def make_student(arguments: Pretrain, pairs: list[dict]):
    """The checkpoint named, or fresh weights and a tokenizer trained on the corpus's inputs and targets."""
    if arguments.student:
        repo_id, _, revision = arguments.student.partition("@")
        return load_student(repo_id, revision or None)
    return fresh_student(
        [escape_newlines(pair[side]) for pair in pairs for side in ("input", "target")],
        vocab_size=arguments.vocab_size,
        d_model=arguments.d_model,
        d_ff=arguments.d_ff,
        num_layers=arguments.num_layers,
        num_heads=arguments.num_heads,
        dropout_rate=arguments.dropout_rate,
        seed=arguments.seed,
    )


def settings(arguments: Pretrain, pairs: int) -> Pretraining:
    """Epochs as optimiser steps; the rest as given."""
    known = Pretraining.__dataclass_fields__
    given = {key: value for key, value in asdict(arguments).items() if key in known}
    checked = Pretraining(steps=1, **given)
    return replace(checked, steps=max(1, math.ceil(arguments.epochs * pairs / arguments.pairs_per_step)))


def push_start(pairs: list[dict], repo_id: str, folder: Path, arguments: Pretrain) -> None:
    """Pushes the student as it is before pretraining and tags it `step-0`: what distillation is compared with."""
    if not folder.exists():
        model, tokenizer = make_student(arguments, pairs)
        save_student(model, tokenizer, folder.with_suffix(".draft"))
        folder.with_suffix(".draft").rename(folder)
    facts = ModelFacts(
        repo_id=repo_id,
        title=f"{arguments.name} before pretraining",
        summary="The starting point of a distillation run, kept so that its gain can be measured.",
        base_model=arguments.student.partition("@")[0] or None,
    )
    # On a branch: `main` must not offer a student that has learned nothing, to a `finetune` started meanwhile, say.
    commit = push_model(folder, repo_id, card=model_card(facts), private=arguments.private, revision="start")
    tag_revision(repo_id, "step-0", commit, "model")


def model_facts(
    repo_id: str, arguments: Pretrain, run: Run, pairs: list[dict], log, cost: dict, parameters: int
) -> ModelFacts:
    """What the card tells of this run."""
    teachers = sorted({pair["teacher"] for pair in pairs})
    return ModelFacts(
        repo_id=repo_id,
        title=arguments.name,
        summary="A T5 that has learned fine-grained sentiment understanding from its teachers' analyses and rewrites "
        "of reviews. Fine-tune it on a task: by itself it writes analyses and rewrites, not labels.",
        base_model=arguments.student.partition("@")[0] or None,
        datasets=[f"{arguments.namespace}/sentiment-understanding-corpus"],
        teachers=[Teacher(name, is_llm=name != "lexicon") for name in teachers],
        hyperparameters={key: value for key, value in run.config.items() if key not in {"hub", "private", "runs"}}
        | cost,
        parameters=parameters,
        pairs=len(pairs),
        tokens=log.input_tokens + log.target_tokens,
        losses={
            "training, first step": log.losses[0][1],
            "training, last step": log.losses[-1][1],
            **(
                {"validation, first": log.validation[0][1], "validation, last": log.validation[-1][1]}
                if log.validation
                else {}
            ),
        },
        run=run,
    )


if __name__ == "__main__":
    run_stage(main)
