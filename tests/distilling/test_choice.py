"""Which pairs a student learns from."""

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from accelerate import Accelerator

from hub_tools.corpus.reading import Tally
from hub_tools.distilling import choice
from hub_tools.distilling.arguments import Pretrain
from hub_tools.distilling.choice import hardest, masked, parts_of, split, star_weights, with_soft_targets
from hub_tools.students import sweep
from hub_tools.students.encoded import encode_corpus
from hub_tools.students.pretraining import Pretraining
from hub_tools.students.span_corruption import with_sentinels
from hub_tools.students.step_plan import plan_step
from hub_tools.students.sweep import CannotBegin
from tests.tiny_models import tiny_model, tiny_tokenizer


def pretraining(**changes):
    return replace(Pretrain("me", "t5-sentiment"), **changes)


def encode(tmp_path, domains=("laptop",)):
    """
    A hundred reviews of two pairs each, with 1 to 5 stars in turns but in the last domain 3 stars only, encoded, and
    their tally.
    """
    tally = Tally()
    pairs = [
        {
            "review_id": f"r{n // 2}",
            "input": f"food {n // 2}",
            "target": f"us {n}",
            "domain": domains[n // 2 % len(domains)],
            "rating": 3 if len(domains) > 1 and n // 2 % len(domains) == len(domains) - 1 else n // 2 % 5 + 1,
        }
        for n in range(200)
    ]
    return encode_corpus(tally.of(pairs), tiny_tokenizer(), tmp_path / "encoded"), tally


@pytest.fixture
def encoded(tmp_path):
    return encode(tmp_path)


def drawn(encoded, **changes) -> tuple[set[int], set[int]]:
    """Reviews to train on, and those held out."""
    pairs, tally = encoded
    training, validation = split(pairs, tally, pretraining(validation_pairs=20, **changes))
    assert len(training) == 2 * len(set(training.reviews.tolist()))
    return set(training.reviews.tolist()), set(validation.reviews.tolist())


def test_fewer_reviews_are_among_more_of_the_same_draw_and_the_same_are_held_out(encoded):
    all_reviews, held = drawn(encoded)
    assert (len(all_reviews), len(held), all_reviews & held) == (90, 10, set())
    ten, held_beside_ten = drawn(encoded, reviews_limit=10)
    fifty, held_beside_fifty = drawn(encoded, reviews_limit=50)
    assert (len(ten), len(fifty)) == (10, 50)
    assert ten < fifty < all_reviews
    assert held == held_beside_ten == held_beside_fifty
    assert drawn(encoded, reviews_limit=10, draw=1)[0] != ten
    assert drawn(encoded, reviews_limit=10, draw=1)[1] == held
    with pytest.raises(ValueError, match="reviews_limit is 91, but beside those held out there are 90 reviews"):
        drawn(encoded, reviews_limit=91)


def test_a_hold_out_of_more_than_half_is_refused(encoded):
    said = "validation_pairs is 101, which holds out 102 of 200 pairs and leaves 98 to learn from. Lower it, to 20 say"
    with pytest.raises(ValueError, match=re.escape(said)):
        split(*encoded, pretraining(validation_pairs=101))
    assert [len(part) for part in split(*encoded, pretraining(validation_pairs=100))] == [100, 100]


def test_a_scheme_draws_by_stars(encoded):
    pairs, tally = encoded
    of = dict(zip(pairs.reviews.tolist(), tally.stars.tolist(), strict=True))
    three, _ = drawn(encoded, scheme="R00100", reviews_limit=12)
    assert {of[review] for review in three} == {3}
    with pytest.raises(ValueError, match="that the scheme R00100 may draw"):
        drawn(encoded, scheme="R00100", reviews_limit=30)
    assert star_weights(pretraining(scheme="R11111"))[1:].tolist() == [1, 0.5, 0.25, 0.5, 1]
    assert star_weights(pretraining()).tolist() == [1] * 6


def test_schemes_draw_each_domain_by_its_share_and_fewer_are_still_among_more(tmp_path):
    pairs, tally = encoded = encode(tmp_path, ["hotel", "laptop", "hotel", "restaurant"])
    of = dict(zip(pairs.reviews.tolist(), tally.domains.tolist(), strict=True))
    before: set[int] = set()
    for limit in (1, 2, 3, 7, 20, 21, 40):
        chosen, held = drawn(encoded, reviews_limit=limit, scheme="R11111")
        rest = np.bincount([domain for review, domain in of.items() if review not in held])
        assert np.bincount([of[review] for review in chosen], minlength=3).tolist() == parts_of(limit, rest)
        assert before < chosen
        before = chosen
    # Drawn by stars alone, only restaurants would be left.
    with pytest.raises(ValueError, match=r"20, of which 11 are the share of the domain 'hotel'; .* it has 10 reviews"):
        drawn(encoded, reviews_limit=20, scheme="R00100")


@pytest.mark.parametrize("sizes", [[50, 50], [60, 30, 10], [97, 2, 1], [0, 7]])
def test_parts_are_as_near_to_the_shares_as_whole_numbers_can_be_and_never_shrink(sizes):
    sizes = np.array(sizes)
    parts = np.array([parts_of(limit, sizes) for limit in range(sizes.sum() + 1)])
    assert parts.sum(axis=1).tolist() == list(range(sizes.sum() + 1))
    assert (np.abs(parts - np.outer(np.arange(len(parts)), sizes / sizes.sum())) < 1).all()
    assert (np.diff(parts, axis=0) >= 0).all()


def test_span_corruption_meets_every_review_once_an_epoch_masked_anew(encoded):
    pairs, tally = encoded
    _, tokenizer = with_sentinels(tiny_model(tiny_tokenizer()), tiny_tokenizer())
    training, validation = split(pairs, tally, pretraining(validation_pairs=20))
    settings = Pretraining(steps=40, pairs_per_step=9)
    masks, held = masked(training, validation, tokenizer, settings)
    assert (masks.epochs, len(masks), len(held)) == (2, 2 * len(training), len(validation))
    read = [index for step in range(40) for index in plan_step(step, len(masks), 9, 42, masks.epochs)]
    first, second = ([masks.where(index) for index in half] for half in (read[:180], read[180:]))
    assert len(set(read)) == 360
    assert sorted(first) == sorted(second) == sorted(training.where(index) for index in range(180))
    assert first != second
    assert read[9 * 7 : 9 * 8] == plan_step(7, len(masks), 9, 42, masks.epochs)


def test_hard_pairs_are_scored_once_for_every_way_to_choose_and_a_killed_scoring_goes_on(
    encoded, tmp_path, monkeypatch
):
    pairs, tokenizer = encoded[0].subset(range(40)), tiny_tokenizer()
    model, inputs = tiny_model(tokenizer), {"me/sentiment-understanding-corpus": "c0ffee"}
    scored, ranks = [], choice.token_ranks

    def watched(judge, rows):
        for each in ranks(judge, rows):
            if len(scored) == 15:
                scored.append("killed")
                raise KeyboardInterrupt
            scored.append(each[0])
            yield each

    monkeypatch.setattr(choice, "token_ranks", watched)

    def chosen(how):
        arguments = pretraining(keep_share=0.5, keep_how=how, runs=str(tmp_path))
        return hardest(pairs, model, tokenizer, arguments, inputs, Accelerator())

    with pytest.raises(KeyboardInterrupt):
        chosen("soft")
    soft, told = chosen("soft")
    assert len(scored) == 41
    hard, told_hard = chosen("hard")
    assert len(scored) == 41
    assert len(hard) == 20
    assert told_hard["training pairs chosen"].startswith("20 of 40, the hardest for the student before pretraining; ")
    assert told["training pairs chosen"].startswith(f"{len(soft)} of 40, drawn by how hard they are for")
    assert chosen("random")[1] == {"training pairs chosen": "20 of 40, by chance"}
    assert hardest(pairs, model, tokenizer, pretraining(), inputs, Accelerator()) == (pairs, {})


def test_pairs_are_chosen_among_those_of_their_prompt_and_about_a_peak(encoded, tmp_path, monkeypatch):
    pairs, tokenizer = encoded[0].subset(range(100, 200)), tiny_tokenizer()
    prompts = ["analysis"] * 180 + ["rewriting"] * 20  # rows 180 and up are the last 20 of these pairs
    monkeypatch.setattr(choice, "rows_of", lambda arguments, inputs: [{"prompt": prompt} for prompt in prompts])
    monkeypatch.setattr(  # the later, the harder
        choice, "token_ranks", lambda judge, rows: ((n, np.array([n + 1]), np.array([100])) for n in range(len(rows)))
    )
    model, inputs = tiny_model(tokenizer), {"me/sentiment-understanding-corpus": "c0ffee"}

    def chosen(**changes):
        arguments = pretraining(keep_share=0.25, runs=str(tmp_path), **changes)
        kept, told = hardest(pairs, model, tokenizer, arguments, inputs, Accelerator())
        return np.array([kept.where(index) for index in range(len(kept))]), told["training pairs chosen"]

    assert chosen(keep_how="hard")[0].tolist() == list(range(175, 200))
    within, told = chosen(keep_how="hard", keep_within="prompt")
    assert within.tolist() == [*range(160, 180), *range(195, 200)]
    assert told.startswith("25 of 100, the hardest within each prompt for the student")
    assert (chosen(keep_how="random", keep_within="prompt")[0] >= 180).sum() == 5
    hard, easy, middle = (chosen(keep_peak=peak)[0].mean() for peak in (1.0, 0.0, 0.5))
    assert easy < 130 < middle < 170 < hard
    assert "drawn by how hard they are with the peak at 0.5 for the student" in chosen(keep_peak=0.5)[1]


def test_what_soft_targets_cost_is_told(encoded, tmp_path, monkeypatch):
    tokenizer = tiny_tokenizer()
    teacher = tiny_model(tokenizer, seed=3)
    monkeypatch.setattr(choice, "load_model", lambda arguments, role, inputs: (teacher, tokenizer))
    arguments = pretraining(soft_teacher="me/t5-large", soft_k=4, runs=str(tmp_path))
    inputs = {"me/sentiment-understanding-corpus": "c0ffee"}
    pairs = encoded[0].subset(range(5))
    rows, loss, _, told = with_soft_targets(pairs, tiny_model(tokenizer), tokenizer, arguments, inputs, Accelerator())
    assert (len(rows), loss is None) == (5, False)
    assert told["soft targets"].startswith("of me/t5-large, the 4 likeliest tokens of each position, which cover ")
    assert with_soft_targets(pairs, None, tokenizer, pretraining(), inputs, Accelerator())[1:] == (None, None, {})


def test_a_share_of_no_pair_and_a_judge_that_fails_end_the_run_in_all_processes(encoded, tmp_path, monkeypatch):
    """Two processes, of which this one is the first."""
    pairs, inputs = encoded[0].subset(range(4)), {"me/sentiment-understanding-corpus": "c0ffee"}
    few = pretraining(keep_share=0.01, keep_how="random", runs=str(tmp_path))
    with pytest.raises(ValueError, match=r"keep_share 0\.01 leaves none of 4 pairs; raise it") as alone:
        hardest(pairs, None, tiny_tokenizer(), few, inputs, Accelerator())
    assert type(alone.value) is ValueError
    monkeypatch.setattr(sweep, "PartialState", lambda: SimpleNamespace(num_processes=2))
    monkeypatch.setattr(sweep, "gather_object", lambda own: [*own, None])
    with pytest.raises(CannotBegin, match=r"keep_share 0\.01 leaves none of 4 pairs; raise it"):
        hardest(pairs, None, tiny_tokenizer(), few, inputs, Accelerator())
    monkeypatch.setattr(choice, "kept_by_difficulty", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(CannotBegin, match="disk full"):
        hardest(pairs, None, tiny_tokenizer(), few, inputs, Accelerator())


def test_a_helper_of_another_tokenizer_is_named_by_its_role(encoded, tmp_path, monkeypatch):
    tokenizer, other = tiny_tokenizer(), tiny_tokenizer(["Quite other words."])
    monkeypatch.setattr(choice, "load_model", lambda arguments, role, inputs: (tiny_model(other), other))
    pairs, inputs = encoded[0].subset(range(4)), {"me/sentiment-understanding-corpus": "c0ffee"}
    differs = "cannot help: Its tokenizer is not the student's"
    taught = pretraining(soft_teacher="t5", runs=str(tmp_path))
    with pytest.raises(ValueError, match=f"^soft_teacher me/t5 {differs}"):
        with_soft_targets(pairs, None, tokenizer, taught, inputs, Accelerator())
    judged = pretraining(keep_share=0.5, difficulty_model="you/t5", runs=str(tmp_path))
    with pytest.raises(ValueError, match=f"^difficulty_model you/t5 {differs}"):
        hardest(pairs, None, tokenizer, judged, inputs, Accelerator())
