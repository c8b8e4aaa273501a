"""What a pretraining run may be told."""

from dataclasses import replace

import pytest

from hub_tools.distilling.arguments import Pretrain, chosen, settings_of


def pretraining(**changes):
    return replace(Pretrain("me", "t5-sentiment"), **changes)


@pytest.mark.parametrize(("epochs", "pairs", "steps"), [(10, 200_000, 20_000), (1, 101, 2), (0.5, 100, 1), (0, 5, 1)])
def test_epochs_become_steps_rounded_up_unless_steps_are_given(epochs, pairs, steps):
    settings = settings_of(pretraining(epochs=epochs, warmup_steps=7), pairs)
    assert (settings.steps, settings.warmup_steps, settings.pairs_per_step) == (steps, 7, 100)
    assert settings_of(pretraining(epochs=epochs, steps=77), pairs).steps == 77


def test_an_impossible_step_is_told_as_such():
    with pytest.raises(ValueError, match="pairs_per_step must be at least 1, found 0"):
        settings_of(pretraining(pairs_per_step=0), 100)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "mlm"}, "objective must be one of distillation, span-corruption, rating, instructions, found"),
        ({"objective": "instructions"}, "go together"),
        ({"instructions": "me/x"}, "go together"),
        ({"objective": "rating", "soft_teacher": "t5"}, "needs the objective `distillation`"),
        ({"keep_share": 0.0}, "`keep_share` must be above 0 and at most 1, found 0.0"),
        ({"keep_share": 0.5, "keep_how": "easy"}, "keep_how must be one of soft, hard, random, found 'easy'"),
        ({"keep_share": 0.5, "objective": "span-corruption"}, "which span corruption does not have"),
        ({"reviews_limit": -1}, "reviews_limit must be at least 0"),
        ({"scheme": "R1"}, "expected one multiplier per star"),
        ({"scheme": "R11111"}, "without `reviews_limit` none are: all are learned from"),
        ({"labelled_scheme": "R11111"}, "Give `reviews_limit`, or leave them out"),
        ({"draw": 1}, "Give `reviews_limit`, or leave them out"),
    ],
)
def test_pretraining_that_makes_no_sense_does_not_begin(changes, message):
    assert chosen([pretraining()]) == [pretraining()]
    with pytest.raises(ValueError, match=message):
        chosen([pretraining(), pretraining(name="b", **changes)])
