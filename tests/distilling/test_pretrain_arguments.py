"""What a pretraining run may be told."""

from dataclasses import replace

import pytest

from hub_tools.distilling.arguments import Pretrain, check_processes, chosen, settings_of


def pretraining(**changes):
    return replace(Pretrain("me", "t5-sentiment"), **changes)


@pytest.mark.parametrize(("epochs", "pairs", "steps"), [(10, 200_000, 20_000), (1, 101, 2), (0.5, 100, 1)])
def test_epochs_become_steps_rounded_up_unless_steps_are_given(epochs, pairs, steps):
    settings = settings_of(pretraining(epochs=epochs), pairs)
    assert (settings.steps, settings.warmup_steps, settings.pairs_per_step) == (steps, 0, 100)
    assert settings_of(pretraining(epochs=epochs, steps=77), pairs).steps == 77


def test_an_impossible_step_is_told_as_such():
    with pytest.raises(ValueError, match="pairs_per_step must be at least 1, found 0"):
        settings_of(pretraining(pairs_per_step=0), 100)
    assert settings_of(pretraining(epochs=2, warmup_steps=1), 100).warmup_steps == 1
    with pytest.raises(ValueError, match="warmup_steps must be less than the steps, found 2 of 2"):
        settings_of(pretraining(epochs=2, warmup_steps=2), 100)


def test_a_soft_teacher_needs_the_whole_student_in_every_process():
    check_processes(pretraining(soft_teacher="t5"), sharded=False)
    check_processes(pretraining(), sharded=True)
    with pytest.raises(ValueError, match=r"which FSDP2 shares out: train with .* multi_gpu.yaml"):
        check_processes(pretraining(soft_teacher="t5"), sharded=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "mlm"}, "objective must be one of distillation, span-corruption, rating, instructions, found"),
        ({"objective": "instructions"}, "go together"),
        ({"instructions": "me/x"}, "go together"),
        ({"objective": "rating", "soft_teacher": "t5"}, "needs the objective `distillation`"),
        ({"keep_share": 0.0}, "`keep_share` must be above 0 and at most 1, found 0.0"),
        ({"keep_share": 0.5, "keep_how": "easy"}, "keep_how must be one of soft, hard, random, found 'easy'"),
        ({"keep_share": 0.5, "keep_peak": 1.5}, r"keep_peak must be from 0 \(the easiest\) to 1 .* found 1.5"),
        ({"keep_share": 0.5, "keep_peak": float("nan")}, "keep_peak must be .* found nan"),
        ({"keep_share": 0.5, "keep_within": "teacher"}, "keep_within must be 'prompt' or '', found 'teacher'"),
        ({"keep_share": 0.5, "keep_within": "prompt", "objective": "rating"}, "`keep_within` needs the objective"),
        ({"keep_share": 0.5, "objective": "span-corruption"}, "which span corruption does not have"),
        ({"reviews_limit": -1}, "reviews_limit must be at least 0"),
        ({"scheme": "R1"}, "expected one multiplier per star"),
        ({"schedule": "papr"}, "schedule must be one of paper, reference, found 'papr'"),
        ({"soft_teacher": "t5", "soft_weight": 1.5}, r"soft_weight must be from 0 \(text only\) to 1, found 1.5"),
        ({"soft_teacher": "t5", "soft_k": 0}, "soft_k must be at least 1, found 0"),
        ({"soft_teacher": "t5", "soft_temperature": 0.0}, "soft_temperature must be above 0, found 0.0"),
        ({"namespace": "me too"}, "'me too/b' cannot be the id of a model on a Hub, .* another `namespace` or `name`"),
        ({"name": "x y"}, "'me/x y' cannot be the id"),
        ({"name": "you/x"}, "'me/you/x' cannot be the id"),
        ({"seed": -1}, "seed must be from 0 to 4294967295, found -1"),
        ({"seed": 2**32}, "seed must be from 0 to 4294967295, found 4294967296"),
        ({"lr": 0.0}, "lr must be above 0, found 0.0"),
        ({"lr": float("nan")}, "lr must be above 0, found nan"),
        ({"final_lr": -1e-5}, "final_lr must be at least 0, found -1e-05"),
        ({"max_input": 1}, "max_input must be at least 2, found 1"),
        ({"max_target": 1}, "max_target must be at least 2, found 1"),
        ({"pairs_per_step": 0}, "pairs_per_step must be at least 1, found 0"),
        ({"pairs_per_forward": 0}, "pairs_per_forward must be at least 1, found 0"),
        ({"validate_every": 0}, "validate_every must be at least 1, found 0"),
        ({"checkpoint_every": 0}, "checkpoint_every must be at least 1, found 0"),
        ({"epochs": 0.0}, "epochs must be above 0 where `steps` is 0, found 0.0"),
        ({"warmup_steps": -1}, "warmup_steps must be at least 0, found -1"),
        ({"warmup_steps": 10, "steps": 10}, "warmup_steps must be less than the steps, found 10 of 10"),
        ({"dropout_rate": 1.0}, "dropout_rate must be at least 0 and below 1, found 1.0"),
        ({"num_layers": 0}, "num_layers must be at least 1, found 0"),
        ({"d_model": 4, "num_heads": 8}, "d_model must be at least num_heads, which share it; found 4 for 8"),
        # What would change nothing but the digest and the card
        ({"scheme": "R11111"}, "`scheme`: of no effect without `reviews_limit`"),
        ({"labelled_scheme": "R11111", "draw": 1}, "`draw`, `labelled_scheme`: of no effect without `reviews_limit`"),
        ({"soft_k": 4, "soft_weight": 0.9}, "`soft_weight`, `soft_k`: of no effect without `soft_teacher`"),
        ({"difficulty_model": "t5"}, "`difficulty_model`: of no effect where `keep_share` is 1"),
        ({"keep_how": "hard"}, "`keep_how`: of no effect where `keep_share` is 1"),
        (
            {"keep_peak": 0.5, "keep_within": "prompt"},
            "`keep_peak`, `keep_within`: of no effect where `keep_share` is",
        ),
        (
            {"keep_share": 0.5, "keep_how": "hard", "keep_peak": 0.5},
            "`keep_peak`: of no effect where `keep_how` is `hard`",
        ),
        (
            {"keep_share": 0.5, "keep_how": "random", "difficulty_model": "t5"},
            "`difficulty_model`: of no effect where `keep_how` is `random`",
        ),
        ({"instructions_teacher": "gpt"}, "`instructions_teacher`: of no effect without `instructions`"),
        (
            {"objective": "instructions", "instructions": "me/x", "teachers": ["gpt"], "corpus": "c"},
            "`corpus`, `teachers`: of no effect beside `instructions`. Leave out one or the other",
        ),
    ],
)
def test_pretraining_that_makes_no_sense_does_not_begin(changes, message):
    with pytest.raises(ValueError, match=message):
        chosen([pretraining(), pretraining(**{"name": "b"} | changes)])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"student": "t5", "vocab_size": 0},  # a sweep's runs share the sizes of the fresh ones among them
        {"steps": 20, "epochs": 0.0, "warmup_steps": 19},
        {"seed": 2**32 - 1},
        {"seed": 0},
        {"reviews_limit": 5, "draw": 1, "scheme": "R11111"},
        {"keep_share": 0.5, "keep_how": "hard", "difficulty_model": "t5", "keep_within": "prompt"},
        {"keep_share": 0.5, "keep_peak": 0.0},
        {"soft_teacher": "t5", "soft_weight": 1.0, "soft_k": 1},
        {"objective": "instructions", "instructions": "me/x", "instructions_teacher": "gpt", "benchmark": "me/b"},
        {"objective": "rating", "teachers": ["gpt"], "corpus": "c"},
    ],
)
def test_pretraining_that_makes_sense_begins(changes):
    assert chosen([pretraining(**changes)]) == [pretraining(**changes)]
