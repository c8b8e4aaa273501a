"""The card of a pretrained student, from real facts: repos on the Hub, a log, settings."""

import uuid
from dataclasses import asdict

import pytest
from huggingface_hub import HfApi, ModelCard, hf_hub_download

from hub_tools.corpus.reading import Tally
from hub_tools.distilling.arguments import Pretrain
from hub_tools.distilling.card import kept_out, licences_of, model_facts, said
from hub_tools.distilling.inputs import inputs_of
from hub_tools.distilling.start import push_start
from hub_tools.hub.cards import model_card
from hub_tools.hub.runs import start_run
from hub_tools.students.account import measured, numbers
from hub_tools.students.pretraining import Pretraining, TrainingLog
from tests.tiny_models import save_tiny_student


@pytest.fixture(scope="module")
def namespace() -> str:
    """A base model under the MIT licence, a corpus whose card states none, an instruction dataset under another."""
    namespace = f"ns-{uuid.uuid4().hex[:8]}"
    for name, kind, licence in (
        ("t5", "model", "mit"),
        ("sentiment-understanding-corpus", "dataset", ""),
        ("told", "dataset", "cc-by-nc-4.0"),
    ):
        card = f"---\nlicense: {licence}\n---\n# c\n" if licence else "---\nlanguage: en\n---\n# c\n"
        HfApi().create_repo(f"{namespace}/{name}", repo_type=kind)
        HfApi().upload_file(
            path_or_fileobj=card.encode(), path_in_repo="README.md", repo_id=f"{namespace}/{name}", repo_type=kind
        )
    return namespace


def card_of(arguments: Pretrain) -> ModelCard:
    run = start_run("pretrain", asdict(arguments), inputs_of(arguments))
    log, settings = TrainingLog([[0, 4.0], [1, 3.0]], seconds=1800), Pretraining(steps=2, weight_decay=0.25)
    told = measured(log, settings, arguments.objective, 5)
    finished, repo_id = run.finish(**numbers(log, settings, 6, 12)), f"{arguments.namespace}/{arguments.name}"
    licences = licences_of(arguments, run.inputs)
    return ModelCard(model_card(model_facts(repo_id, arguments, finished, log, told, Tally(), 7, settings, licences)))


def test_settings_that_no_option_changes_and_zeros_that_decide_are_on_the_card(namespace):
    text = card_of(Pretrain(namespace, "x", student="t5", steps=2, seed=0, validation_pairs=0)).text
    for said_so in (
        "optimizer: `RMSScaledAdamW`", "betas: `(0.9, 0.999)`", "eps: `1e-06`", "weight_decay: `0.25`",
        "max_grad_norm: `1.0`", "warmup_steps: `0`", "seed: `0`", "validation_pairs: `0`", "steps: `2`",
    ):  # fmt: skip
        assert f"\n- {said_so}\n" in text
    assert "epochs" not in text


def test_an_option_that_is_not_used_is_not_said():
    whole = Pretrain("me", "x")
    run = start_run("pretrain", asdict(whole), {})
    assert {"reviews_limit", "draw", "scheme", "steps", "soft_k", "keep_share"}.isdisjoint(said(whole, run))
    assert {"epochs", "vocab_size", "seed"} <= {*said(whole, run)}


def test_weights_have_the_licence_of_their_base_and_fresh_ones_have_none(namespace, tmp_path):
    from_base = Pretrain(namespace, "x", student="t5")
    card = card_of(from_base)
    assert card.data.license == "mit"
    assert "sentiment-understanding-corpus`, from which they learned: its metadata names none" in card.text
    fresh = card_of(Pretrain(namespace, "y", objective="instructions", instructions=f"{namespace}/told"))
    assert fresh.data.get("license") is None
    assert f"Licence of `{namespace}/told`, from which they learned: cc-by-nc-4.0." in fresh.text

    push_start(f"{namespace}/x", save_tiny_student(tmp_path), from_base)
    path = hf_hub_download(f"{namespace}/x", "README.md", revision="start")
    start = ModelCard.load(path)
    assert start.data.license == "mit"
    assert "distillation" not in start.data.tags
    assert "learned to write" not in start.text


def test_what_was_not_to_be_learned_is_said_in_words():
    told = kept_out({"me/b": "c0ffee" * 6}, {"benchmark sentence": 1200, "repeated": 0, "new reason": 1})
    assert [*told.values()] == [
        "no sentence of 5 words or more that me/b@c0ffeec0ffee validates or tests on is in it",
        "1,200 with a sentence of the benchmark, 1 new reason",
    ]
    assert [*kept_out({}, {}).values()] == ["not done", ""]
