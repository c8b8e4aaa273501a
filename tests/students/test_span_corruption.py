"""Span corruption: what is taken out can be put back, how much it is, and that a mask depends on nothing but names."""

import random
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import ByteLevelBPETokenizer
from transformers import BartTokenizer, ByT5Tokenizer

from hub_tools.corpus.baselines import review_pairs
from hub_tools.students.encoded import encode_corpus
from hub_tools.students.models import load_student, save_student
from hub_tools.students.pretraining import Pretraining, plan_step, pretrain
from hub_tools.students.span_corruption import (
    SpanCorrupted,
    corrupt,
    frame,
    noise_counts,
    partition,
    sentinel_ids,
    with_sentinels,
)
from tests.students.miniature import PAIRS, student
from tests.tiny_models import SENTENCES, tiny_tokenizer


MARKS = list(range(1_000, 1_100))
END = 1


@pytest.fixture(scope="module")
def tokenizer():
    """T5's hundred sentinels, and [NL]."""
    return tiny_tokenizer()


def review(length):
    """Encoded: `length` tokens, none of them a sentinel, and the end mark."""
    return [*(10 + number % 150 for number in range(length)), END]


def restored(source, target, marks=MARKS):
    """The tokens of the review: each mark of the source gives way to what follows it in the target."""
    spans, at = {}, None
    for token in target:
        if token in marks:
            spans[at := token] = []
        else:
            spans[at].append(token)
    return [piece for token in source for piece in spans.get(token, [token])], spans


# --- One review ------------------------------------------------------------------------------------------------------


@given(length=st.integers(2, 600), seed=st.integers(0, 10_000), sentinels=st.integers(2, 100))
def test_putting_the_spans_back_gives_the_review(length, seed, sentinels):
    tokens, marks = list(range(length)), MARKS[:sentinels]
    source, target = corrupt(tokens, marks, random.Random(seed))
    whole, spans = restored(source, target, marks)
    assert whole == tokens
    *used, last = spans
    assert used == [token for token in source if token in marks] == marks[: len(used)]
    assert last == target[-1] == marks[len(used)]
    assert all(len(spans[mark]) >= 1 for mark in used)
    assert not any(one in marks and other in marks for one, other in pairwise(source))
    noise, count = noise_counts(length, sentinels)
    assert (sum(map(len, spans.values())), len(used)) == (noise, count)
    assert (len(source), len(target)) == (length - noise + count, noise + count + 1)


@given(length=st.integers(2, 600))
def test_fifteen_of_a_hundred_tokens_are_replaced_in_spans_of_three(length):
    noise, spans = noise_counts(length)
    assert noise == 1 or abs(noise - 0.15 * length) <= 0.5
    assert spans == 1 or abs(spans - noise / 3) <= 0.5
    assert 1 <= spans <= length - noise
    # T5's own: 512 tokens remain of the 568 that it takes out 85 in 28 spans
    assert tuple(map(int, noise_counts(568))) == (85, 28)


def test_counts_of_many_reviews_are_those_of_each():
    lengths = np.arange(2, 300)
    for many, one in zip(noise_counts(lengths), zip(*map(noise_counts, lengths), strict=True), strict=True):
        assert many.tolist() == [int(count) for count in one]


def test_of_two_tokens_either_is_taken_out():
    found = {tuple(map(tuple, corrupt([7, 8], MARKS, random.Random(seed)))) for seed in range(20)}
    assert found == {((1000, 8), (1000, 7, 1001)), ((7, 1000), (1000, 8, 1001))}


def test_every_place_of_a_short_review_is_as_likely_to_be_taken_out():
    taken = Counter(corrupt(range(8), MARKS, random.Random(seed))[1][1] for seed in range(8_000))
    assert set(taken) == set(range(8))
    assert all(abs(count - 1_000) < 150 for count in taken.values())  # 5 standard deviations


@given(total=st.integers(1, 60), seed=st.integers(0, 99), data=st.data())
def test_a_partition_has_its_parts_and_its_sum(total, seed, data):
    parts = data.draw(st.integers(1, total))
    found = partition(total, parts, random.Random(seed))
    assert (len(found), sum(found), min(found) >= 1) == (parts, total, True)


def test_every_partition_is_equally_likely():
    found = Counter(tuple(partition(6, 3, random.Random(seed))) for seed in range(10_000))
    assert len(found) == 10
    assert all(abs(count - 1_000) < 150 for count in found.values())


# --- A corpus of them ------------------------------------------------------------------------------------------------


@given(lengths=st.lists(st.integers(0, 40), min_size=1, max_size=8), epochs=st.integers(1, 3), seed=st.integers(0, 9))
def test_the_lengths_are_known_without_masking(tokenizer, lengths, epochs, seed):
    pairs = SpanCorrupted([review(length) for length in lengths], tokenizer, seed=seed, epochs=epochs)
    kept = [length for length in lengths if length >= 2]
    assert len(pairs) == len(pairs.lengths) == len(kept) * epochs
    assert pairs.cost["too_short"] == len(lengths) - len(kept)
    assert (pairs.lengths.dtype, pairs.lengths.shape) == (np.int32, (len(pairs), 2))
    assert [(len(source), len(target)) for source, target in pairs] == [tuple(pair) for pair in pairs.lengths.tolist()]
    marks = sentinel_ids(tokenizer)
    for number, (source, target) in enumerate(pairs):
        assert source[-1] == target[-1] == END
        assert restored(source[:-1], target[:-1], marks)[0] == review(kept[number % len(kept)])[:-1]


def test_masks_differ_by_epoch_and_by_seed_and_by_nothing_else(tokenizer):
    reviews = [review(40 + number) for number in range(5)]
    pairs = SpanCorrupted(reviews, tokenizer, seed=1, epochs=3)
    again = SpanCorrupted(reviews, tokenizer, seed=1, epochs=9)
    assert [pairs[number] for number in reversed(range(15))] == [again[number] for number in reversed(range(15))]
    assert pairs[-1] == pairs[14]
    for number in range(5):
        assert len({str(pairs[number + 5 * epoch]) for epoch in range(3)}) == 3
    other = SpanCorrupted(reviews, tokenizer, seed=2, epochs=3)
    assert not any(one == another for one, another in zip(pairs, other, strict=True))


def test_a_hundred_sentinels_are_enough_for_a_review_of_any_length(tokenizer):
    ((source, target),) = SpanCorrupted([review(5_000)], tokenizer, seed=0)
    marks = sentinel_ids(tokenizer)
    whole, spans = restored(source[:-1], target[:-1], marks)
    assert whole == review(5_000)[:-1]
    assert len(spans) == 100


def test_reviews_may_be_id_lists_pairs_or_an_encoded_corpus(tmp_path):
    model, tokenizer = with_sentinels(*student())
    encoded = encode_corpus(review_pairs(PAIRS), tokenizer, tmp_path, max_input=12)
    assert len(encoded) == len({pair["input"] for pair in PAIRS})
    pairs = SpanCorrupted(encoded, tokenizer, seed=3, epochs=2)
    assert list(pairs) == list(SpanCorrupted(list(encoded), tokenizer, seed=3, epochs=2))
    assert list(pairs) == list(SpanCorrupted([source for source, _ in encoded], tokenizer, seed=3, epochs=2))
    sources = {name: count for name, count in encoded.cost.items() if "target" not in name}
    assert pairs.cost == {**sources, "tokens": encoded.cost["input_tokens"], "too_short": 0}
    assert pairs.lengths[:, 0].max() <= 12
    part = SpanCorrupted(encoded.subset([2, 4]), tokenizer, seed=3)
    assert len(part) == 2
    labels = torch.tensor([part[0][1]])
    assert model(input_ids=torch.tensor([part[0][0]]), labels=labels).loss.isfinite()


def test_what_cannot_be_masked_is_refused(tokenizer):
    with pytest.raises(ValueError, match=r"epochs must be at least 1, found 0"):
        SpanCorrupted([review(5)], tokenizer, seed=0, epochs=0)
    with pytest.raises(ValueError, match=r"no sentinels .* with_sentinels"):
        SpanCorrupted([review(5)], student()[1], seed=0)
    pairs = SpanCorrupted([review(1)], tokenizer, seed=0)
    assert len(pairs) == 0
    with pytest.raises(IndexError, match=r"pair 0 of 0"):
        pairs[0]


class Breaking(SpanCorrupted):
    """Fails at the 60th pair that is read: within step 8 of 7 pairs each."""

    reads = 0

    def __getitem__(self, index):
        self.reads += 1
        if self.reads == 60:
            raise OSError("the disk is gone")
        return super().__getitem__(index)


def test_a_student_learns_to_restore_and_a_run_that_broke_off_ends_as_if_it_had_not(tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums of floats depend on it

    def train(folder, masks=SpanCorrupted):
        model, tokenizer = with_sentinels(*student(dropout_rate=0.1))
        reviews = [tokenizer(pair["input"]).input_ids for pair in review_pairs(PAIRS)]
        pairs = masks(reviews, tokenizer, seed=5, epochs=9)
        settings = Pretraining(steps=12, pairs_per_step=7, pairs_per_forward=4, lr=1e-2, checkpoint_every=5)
        model, log = pretrain(model, pairs, SpanCorrupted(reviews, tokenizer, seed=5), settings, Accelerator(), folder)
        return dict(model.named_parameters()), log, pairs

    weights, log, pairs = train(tmp_path / "whole")
    assert log.losses[-1][1] < log.losses[0][1]
    read = [index for step in range(12) for index in plan_step(step, len(pairs), 7, 42, pairs.epochs)]
    assert log.target_tokens == sum(len(pairs[index][1]) for index in read)

    with pytest.raises(OSError, match="the disk is gone"):
        train(tmp_path / "broken", Breaking)
    again, resumed, _ = train(tmp_path / "broken")
    torch.set_num_threads(threads)
    assert resumed.resumed_at == [5]
    assert all(torch.equal(weight, again[name]) for name, weight in weights.items())


# --- Tokenizers ------------------------------------------------------------------------------------------------------


def test_a_student_without_sentinels_gets_them_as_t5_has_them_and_keeps_everything_else(tmp_path):
    plain, reader = student()
    model, tokenizer = with_sentinels(*student())
    marks = sentinel_ids(tokenizer)
    assert marks == list(range(len(reader) + 99, len(reader) - 1, -1))
    assert model.get_input_embeddings().num_embeddings == model.config.vocab_size == len(tokenizer)
    assert torch.equal(model.shared.weight[: len(reader)], plain.shared.weight)
    assert model.lm_head.weight is model.shared.weight
    assert torch.equal(model.shared.weight, with_sentinels(*student())[0].shared.weight)
    text = "Loved the lamb![NL]It came late."
    assert tokenizer(text).input_ids == reader(text).input_ids
    assert tokenizer.decode(tokenizer("a <extra_id_7> b").input_ids, skip_special_tokens=True) == "a b"

    save_student(model, tokenizer, tmp_path)
    loaded, again = load_student(str(tmp_path))
    assert sentinel_ids(again) == marks
    assert torch.equal(loaded.shared.weight, model.shared.weight)


def test_t5s_own_sentinels_are_used_as_they_are(tokenizer):
    before = dict(tokenizer.get_vocab())
    assert with_sentinels(None, tokenizer) == (None, tokenizer)  # the model is not touched
    assert tokenizer.get_vocab() == before
    assert sentinel_ids(tokenizer) == tokenizer.convert_tokens_to_ids([f"<extra_id_{n}>" for n in range(100)])


def test_a_tokenizer_with_some_of_the_sentinels_is_refused():
    model, tokenizer = with_sentinels(*student(), n=3)
    with pytest.raises(ValueError, match=r"knows 3 of the 100 sentinels .* not <extra_id_99>"):
        with_sentinels(model, tokenizer)


def test_what_frames_a_text_stays_around_it(tmp_path):
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(SENTENCES, vocab_size=400, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    bpe.save_model(str(tmp_path))
    bart = BartTokenizer.from_pretrained(str(tmp_path))
    bart.add_tokens([f"<extra_id_{number}>" for number in range(10)], special_tokens=True)
    assert frame(bart) == ([0], [2])
    encoded = [bart(sentence).input_ids for sentence in SENTENCES]
    for ids, (source, target) in zip(encoded, SpanCorrupted(encoded, bart, seed=0), strict=True):
        assert source[0] == target[0] == 0
        assert source[-1] == target[-1] == 2
        assert restored(source[1:-1], target[1:-1], sentinel_ids(bart))[0] == ids[1:-1]


def test_bytes_are_tokens_too():
    byt5 = ByT5Tokenizer()
    assert (frame(byt5), len(sentinel_ids(byt5))) == (([], [1]), 125)
    ids = byt5("Loved the lamb.").input_ids
    ((source, target),) = SpanCorrupted([ids], byt5, seed=0)
    assert restored(source[:-1], target[:-1], sentinel_ids(byt5))[0] == ids[:-1]
