"""The student before pretraining: a checkpoint or fresh weights, the same for all processes and after a resume."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from accelerate import PartialState

from hub_tools.distilling.arguments import Pretrain
from hub_tools.distilling.inputs import load_model, reference
from hub_tools.hub.cards import ModelFacts, model_card, stated_licence
from hub_tools.hub.push import push_model
from hub_tools.students.models import escape_newlines, fresh_student, save_student
from hub_tools.students.span_corruption import with_sentinels


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


def push_start(repo_id: str, folder: Path, arguments: Pretrain) -> str:
    """Pushes the student as it is before pretraining; the commit gets the tag `step-0` with the student after it."""
    repo, revision = reference(arguments.student, arguments.namespace) if arguments.student else (None, None)
    facts = ModelFacts(
        repo_id=repo_id,
        title=f"{arguments.name} before pretraining",
        summary="The starting point of a pretraining run, kept so that its gain can be measured.",
        licence=stated_licence(repo, "model", revision) if repo else None,
        base_model=repo,
        objective="",  # it has learned nothing yet
    )
    # On a branch: `main` must not offer a student that has learned nothing, to a `finetune` started meanwhile, say.
    return push_model(folder, repo_id, card=model_card(facts), private=arguments.private, revision="start")


def base_of(arguments: Pretrain) -> str | None:
    return reference(arguments.student, arguments.namespace)[0] if arguments.student else None
