"""Fine-tuning a tiny T5 for two epochs: what is refused, what is decayed, which epoch is kept, what is predicted."""

import json
from dataclasses import replace

import pytest
import torch

from hub_tools.students import finetuning
from hub_tools.students.finetuning import (
    Finetuning,
    Training,
    draw_share,
    encode,
    finetune,
    predict,
    refuse_test_split,
)
from hub_tools.students.models import load_student, save_student
from hub_tools.students.packing import padded
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

    def validate(*_):
        weights.append({name: weight.detach().clone() for name, weight in model.named_parameters()})
        return {"f1": scores[len(weights) - 1], "strict_f1": 0.0}

    monkeypatch.setattr(finetuning, "validate", validate)
    return weights


def test_only_train_and_validation_may_be_trained_on():
    assert [refuse_test_split(split) for split in ("train", "validation")] == ["train", "validation"]
    for split in ("test", "test_hard"):
        with pytest.raises(ValueError, match=rf"only the splits train, validation; '{split}' was asked for"):
            finetune(*student(), {**SPLITS, split: ROWS}, "tsa", 1, SETTINGS)


def test_what_cannot_be_trained_is_refused_before_the_first_step():
    tokenizer = tiny_tokenizer()
    with pytest.raises(ValueError, match=r"epochs must be at least 1, found 0"):
        Finetuning(epochs=0)
    with pytest.raises(ValueError, match=r"rows of train and validation; none of validation"):
        finetune(tiny_model(tokenizer), tokenizer, {"train": [{}]}, "tsa", 42, SETTINGS)


def test_two_epochs_run_and_tell_what_came_out(tmp_path):
    model, tokenizer = student()
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    heard = []
    trained = finetune(model, tokenizer, SPLITS, "tsa", 1, SETTINGS, heard.append)
    facts = trained.facts()
    assert set(facts) == {"seconds", "validation_seconds", "train_loss", "validation_f1", "validation_f1_by_epoch"}
    assert heard == trained.epochs
    assert facts["validation_f1_by_epoch"] == [epoch.f1 for epoch in heard]
    assert 0 <= facts["validation_f1"] <= 1
    assert facts["train_loss"] > 0
    assert trained.steps == 6  # 10 sentences in batches of 4: 3 a epoch
    assert all(not torch.equal(weight, before[name]) for name, weight in trained.model.named_parameters())

    save_student(trained.model, tokenizer, tmp_path / "student")
    assert json.loads((tmp_path / "student" / "config.json").read_text())["fsa_task"] == "tsa"
    loaded, _ = load_student(str(tmp_path / "student"))
    assert torch.equal(loaded.shared.weight, trained.model.shared.weight)


def test_a_seed_decides_the_outcome():
    def outcome(seed):
        return finetune(*student(), SPLITS, "tsa", seed, replace(SETTINGS, epochs=1)).model.shared.weight

    assert torch.equal(outcome(1), outcome(1))
    assert not torch.equal(outcome(1), outcome(2))


def test_every_parameter_is_decayed_and_the_optimiser_is_the_papers():
    model, tokenizer = student()
    training = Training(model, tokenizer, encode(ROWS, tokenizer), SETTINGS, 1)
    (group,) = training.optimizer.param_groups
    assert (group["weight_decay"], group["eps"], group["betas"]) == (0.01, 1e-6, (0.9, 0.999))
    assert {id(parameter) for parameter in group["params"]} == {id(parameter) for parameter in model.parameters()}
    rates = []
    training.optimizer.step = lambda: rates.append(group["lr"])
    for epoch in (0, 1):
        training.epoch(epoch)
    assert rates == pytest.approx([1e-3 * (1 - step / 6) for step in range(6)])


@pytest.mark.parametrize("packed", [True, False])
def test_gradients_are_those_of_the_mean_loss_of_the_batch(packed):
    model, tokenizer = student()
    training = Training(model, tokenizer, encode(ROWS, tokenizer), replace(SETTINGS, max_grad_norm=1e9), 1)
    assert training.packs
    training.packs = packed
    found = []
    training.optimizer.step = lambda: found.append(model.shared.weight.grad.clone())
    training.update([3, 0, 7])
    model.zero_grad()
    model(**padded([training.rows[index] for index in (0, 3, 7)], tokenizer.pad_token_id)).loss.backward()
    assert torch.allclose(found[0], model.shared.weight.grad, rtol=1e-3, atol=1e-6)


def test_gradients_are_clipped():
    model, tokenizer = student()
    training = Training(model, tokenizer, encode(ROWS, tokenizer), replace(SETTINGS, max_grad_norm=1e-3), 1)
    norms = []
    training.optimizer.step = lambda: norms.append(
        torch.stack([parameter.grad.norm() for parameter in model.parameters()]).norm()
    )
    training.update([0, 1])
    assert float(norms[0]) == pytest.approx(1e-3, rel=1e-2)


def test_a_loss_that_is_not_a_number_stops_the_run():
    with pytest.raises(FloatingPointError, match="the loss is not a number in epoch 1; lower lr"):
        finetune(*student(), SPLITS, "tsa", 1, replace(SETTINGS, lr=1e30, max_grad_norm=1e30, epochs=1))


def test_the_epoch_with_the_best_validation_f1_is_kept_and_the_first_of_equals(monkeypatch):
    model, tokenizer = student()
    weights = scripted(monkeypatch, model, [0.25, 0.5, 0.5, 0.125])
    trained = finetune(model, tokenizer, SPLITS, "tsa", 1, replace(SETTINGS, epochs=4))
    assert len(weights) == 4
    assert trained.validation_f1 == 0.5
    chosen = dict(trained.model.named_parameters())
    assert all(torch.equal(chosen[name], weight) for name, weight in weights[1].items())
    assert not torch.equal(chosen["shared.weight"], weights[2]["shared.weight"])


def test_a_student_that_never_scores_is_the_one_of_the_first_epoch(monkeypatch):
    model, tokenizer = student()
    weights = scripted(monkeypatch, model, [0.0, 0.0])
    trained = finetune(model, tokenizer, SPLITS, "tsa", 1, SETTINGS)
    assert trained.validation_f1 == 0.0
    assert torch.equal(trained.model.shared.weight, weights[0]["shared.weight"])


def test_a_share_of_train_is_drawn_by_the_seed():
    first = draw_share(ROWS, 0.45, 1)
    assert len(first) == len({row["id"] for row in first}) == 5
    assert draw_share(ROWS, 0.45, 1) == first
    assert draw_share(ROWS, 0.45, 3) != first
    assert draw_share(ROWS, 1.0, 3) == ROWS
    assert len(draw_share(ROWS, 0.01, 1)) == 1
    for wrong in (0.0, 1.5):
        with pytest.raises(ValueError, match=rf"above 0 and at most 1, found {wrong}"):
            draw_share(ROWS, wrong, 1)


def test_predictions_come_in_the_order_of_the_rows(tmp_path):
    folder = save_tiny_student(tmp_path / "taught", lessons=LESSONS)
    model, tokenizer = load_student(str(folder))
    frozen = Finetuning(epochs=1, lr=0.0, eval_batch_size=2, max_length=20)
    trained = finetune(model, tokenizer, {"train": TAUGHT, "validation": TAUGHT}, "tsa", 1, frozen)
    assert trained.validation_f1 == 1.0
    asked = [TAUGHT[index] for index in (2, 0, 3, 1, 0, 4)]
    for beams in (1, 3):
        found = predict(trained.model, tokenizer, asked, replace(frozen, test_num_beams=beams))
        assert found == [row["text"] for row in asked]


def test_sentences_are_neither_cut_nor_padded_and_line_breaks_are_escaped():
    tokenizer = student()[1]
    long = "The pasta was great.\n" * 60
    (source, target), (short, _) = encode([{"sentence": long, "text": ""}, ROWS[0]], tokenizer)
    assert source.count(tokenizer.convert_tokens_to_ids("[NL]")) == 60
    assert target == [tokenizer.eos_token_id]
    assert len(short) == len(tokenizer(ROWS[0]["sentence"]).input_ids) < len(source)


def test_what_is_read_may_be_more_than_the_sentence():
    tokenizer = student()[1]
    (plain, _), (told, _) = encode([ROWS[0], {**ROWS[0], "input": f"Read: {ROWS[0]['sentence']}"}], tokenizer)
    assert told[-len(plain) :] == plain
    assert len(told) > len(plain)
