"""Fine-tuning a tiny T5 for two epochs: what is refused, what is decayed, which epoch is kept, what is predicted."""

import json
from dataclasses import replace

import pytest
import torch

from hub_tools.students import finetuning
from hub_tools.students.finetuning import Finetuning, finetune, predict, refuse_test_split
from hub_tools.students.models import load_student, save_student
from tests.students.miniature import LESSONS
from tests.students.miniature import ROWS as TAUGHT
from tests.tiny_models import save_tiny_student, tiny_model, tiny_tokenizer


FOODS = ("pasta", "lamb", "soup", "bread", "rice", "cake")
WORDS = {"positive": "great", "negative": "awful"}
ROWS = [
    {"id": f"{food}-{polarity}", "sentence": f"The {food} was {word}.", "text": f"{food} | {polarity}"}
    for food in FOODS
    for polarity, word in WORDS.items()
]
SPLITS = {"train": ROWS[:10], "validation": ROWS[10:]}
SETTINGS = Finetuning(epochs=2, batch_size=4, lr=1e-3, max_length=12)


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny tensors are computed faster by one thread than by several."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def student(seed=0):
    tokenizer = tiny_tokenizer([row[key] for row in ROWS for key in ("sentence", "text")])
    return tiny_model(tokenizer, seed=seed), tokenizer


def scripted(monkeypatch, model, scores):
    """Has validation give these F1s, one an epoch; returns the list that the weights at each evaluation go into."""
    weights = []

    def f1_on(rows, task, tokenizer):
        def compute_metrics(evaluated):
            weights.append({name: weight.detach().clone() for name, weight in model.named_parameters()})
            return {"f1": scores[len(weights) - 1], "strict_f1": 0.0}

        return compute_metrics

    monkeypatch.setattr(finetuning, "f1_on", f1_on)
    return weights


def test_only_train_and_validation_may_be_trained_on(tmp_path):
    assert [refuse_test_split(split) for split in ("train", "validation")] == ["train", "validation"]
    for split in ("test", "test_hard"):
        with pytest.raises(ValueError, match=rf"only the splits train, validation; '{split}' was asked for"):
            finetune(*student(), {**SPLITS, split: ROWS}, "tsa", 1, SETTINGS, tmp_path)


def test_two_epochs_run_and_tell_what_came_out(tmp_path):
    model, tokenizer = student()
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    trainer, facts = finetune(model, tokenizer, SPLITS, "tsa", 1, SETTINGS, tmp_path / "work")
    assert sorted(facts) == ["seconds", "train_loss", "validation_f1"]
    assert 0 <= facts["validation_f1"] <= 1
    assert facts["train_loss"] > 0
    assert trainer.state.global_step == 6  # 10 sentences in batches of 4: 3 a epoch
    assert all(not torch.equal(weight, before[name]) for name, weight in trainer.model.named_parameters())

    save_student(trainer.model, tokenizer, tmp_path / "student")
    assert json.loads((tmp_path / "student" / "config.json").read_text())["fsa_task"] == "tsa"
    loaded, _ = load_student(str(tmp_path / "student"))
    assert torch.equal(loaded.shared.weight, trainer.model.shared.weight)


def test_a_seed_decides_the_outcome(tmp_path):
    def outcome(seed):
        trainer, _ = finetune(*student(), SPLITS, "tsa", seed, replace(SETTINGS, epochs=1), tmp_path)
        return trainer.model.shared.weight

    assert torch.equal(outcome(1), outcome(1))
    assert not torch.equal(outcome(1), outcome(2))


def test_every_parameter_is_decayed_and_the_optimiser_is_the_papers(tmp_path):
    model, tokenizer = student()
    trainer, _ = finetune(model, tokenizer, SPLITS, "tsa", 1, replace(SETTINGS, epochs=1), tmp_path)
    groups = [group for group in trainer.optimizer.param_groups if group["params"]]
    assert {(group["weight_decay"], group["eps"], group["betas"]) for group in groups} == {(0.01, 1e-6, (0.9, 0.999))}
    decayed = {id(parameter) for group in groups for parameter in group["params"]}
    assert decayed == {id(parameter) for parameter in model.parameters()}
    assert (trainer.args.lr_scheduler_type, trainer.args.warmup_steps, trainer.args.max_grad_norm) == (
        "linear",
        0,
        1.0,
    )


def test_the_epoch_with_the_best_validation_f1_is_kept_and_the_first_of_equals(tmp_path, monkeypatch):
    model, tokenizer = student()
    weights = scripted(monkeypatch, model, [0.25, 0.5, 0.5, 0.125])
    trainer, facts = finetune(model, tokenizer, SPLITS, "tsa", 1, replace(SETTINGS, epochs=4), tmp_path)
    assert len(weights) == 4
    assert facts["validation_f1"] == 0.5
    chosen = dict(trainer.model.named_parameters())
    assert all(torch.equal(chosen[name], weight) for name, weight in weights[1].items())
    assert not torch.equal(chosen["shared.weight"], weights[2]["shared.weight"])


def test_a_student_that_never_scores_is_the_one_of_the_first_epoch(tmp_path, monkeypatch):
    model, tokenizer = student()
    weights = scripted(monkeypatch, model, [0.0, 0.0])
    trainer, facts = finetune(model, tokenizer, SPLITS, "tsa", 1, SETTINGS, tmp_path)
    assert facts["validation_f1"] == 0.0
    assert torch.equal(trainer.model.shared.weight, weights[0]["shared.weight"])


def test_checkpoints_of_a_killed_run_are_not_mistaken_for_this_ones(tmp_path, monkeypatch):
    for step in (1, 3, 900):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "model.safetensors").write_bytes(b"half a")
    model, tokenizer = student()
    weights = scripted(monkeypatch, model, [0.5, 0.25])
    trainer, _ = finetune(model, tokenizer, SPLITS, "tsa", 1, SETTINGS, tmp_path)
    assert torch.equal(trainer.model.shared.weight, weights[0]["shared.weight"])
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-3"]


def test_a_share_of_train_is_drawn_by_the_seed_and_validation_stays_whole(tmp_path):
    def used(seed):
        settings = replace(SETTINGS, epochs=1, train_share=0.45)
        trainer, _ = finetune(*student(), SPLITS, "tsa", seed, settings, tmp_path)
        assert len(trainer.eval_dataset) == 2
        return [tuple(row["input_ids"]) for row in trainer.train_dataset]

    everything = {tuple(row["input_ids"]) for row in finetuning.tokenise(ROWS[:10], student()[1])}
    first = used(1)
    assert len(first) == len(set(first)) == 4
    assert set(first) < everything
    assert used(1) == first
    assert used(3) != first


def test_predictions_come_in_the_order_of_the_rows(tmp_path):
    folder = save_tiny_student(tmp_path / "taught", lessons=LESSONS)
    model, tokenizer = load_student(str(folder))
    frozen = Finetuning(epochs=1, lr=0.0, eval_batch_size=2, max_length=20)
    splits = {"train": TAUGHT, "validation": TAUGHT}
    trainer, facts = finetune(model, tokenizer, splits, "tsa", 1, frozen, tmp_path / "work")
    assert facts["validation_f1"] == 1.0
    asked = [TAUGHT[index] for index in (2, 0, 3, 1, 0, 4)]
    assert predict(trainer, tokenizer, asked) == [row["text"] for row in asked]


def test_sentences_are_neither_cut_nor_padded_and_line_breaks_are_escaped():
    tokenizer = student()[1]
    long = "The pasta was great.\n" * 60
    rows = finetuning.tokenise([{"sentence": long, "text": ""}, ROWS[0]], tokenizer)
    assert rows[0]["input_ids"].count(tokenizer.convert_tokens_to_ids("[NL]")) == 60
    assert rows[0]["labels"] == [tokenizer.eos_token_id]
    assert len(rows[1]["input_ids"]) == len(tokenizer(ROWS[0]["sentence"]).input_ids) < len(rows[0]["input_ids"])
