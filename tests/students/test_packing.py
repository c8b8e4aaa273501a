"""Batches without padding have the loss and the gradients of padded ones; models for which not are found out."""

import random
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    MT5Config,
    MT5ForConditionalGeneration,
    T5Config,
    T5ForConditionalGeneration,
    UMT5Config,
    UMT5ForConditionalGeneration,
)

from hub_tools.students import attention, packing
from hub_tools.students.packing import SummedLoss, joined, layout, packed, packs, padded, padding, written


PAD = START = 0
ENDS = 1
SHAPES = ("t5", "v1.1", "flan", "mt5")


def rows_of(n, seed=0, vocabulary=60):
    """Inputs and targets as uneven as those of the benchmark: a third of the targets is empty."""
    draw = random.Random(seed)
    return [(text(draw, draw.randint(1, 40)), text(draw, draw.choice((1, 1, 5, 6, 12)))) for _ in range(n)]


def text(draw, length, vocabulary=60):
    return [*(draw.randrange(3, vocabulary) for _ in range(length - 1)), ENDS]


def corpus_rows(n, seed=0):
    """Lengths like those of the pretraining corpus: inputs of 20 to 128 tokens, targets of 60 to 400."""
    draw = random.Random(seed)
    inputs = [min(128, max(20, round(draw.gauss(70, 36)))) for _ in range(n)]
    return [(text(draw, length), text(draw, min(400, max(60, round(draw.gauss(218, 103)))))) for length in inputs]


@cache
def student(shape, dropout=0.0, layers=2):
    """A tiny model. v1.1: gated, and the head is another matrix; flan: gated, saved by transformers 5 as v1.1."""
    sizes = {"vocab_size": 64, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": layers, "num_heads": 2}
    sizes |= {"dropout_rate": dropout, "decoder_start_token_id": START, "pad_token_id": PAD, "eos_token_id": ENDS}
    if shape in ("v1.1", "flan"):
        sizes |= {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
    torch.manual_seed(1)
    model = MT5ForConditionalGeneration(MT5Config(**sizes)) if shape == "mt5" else None
    model = model or T5ForConditionalGeneration(T5Config(**sizes))
    if shape in ("v1.1", "mt5"):
        model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight) / 4)
    return model


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return loss.item(), {name: weight.grad.clone() for name, weight in model.named_parameters()}


def own_loss(model, rows):
    """As transformers computes it, of one padded batch."""
    batch = padded(rows, PAD)
    return model(**batch).loss * (batch["labels"] != -100).sum()


def assert_same(model, batch, rows):
    loss, wanted = gradients(model, own_loss(model, rows))
    found_loss, found = gradients(model, SummedLoss(model)(batch))
    assert found_loss == pytest.approx(loss, rel=1e-5)
    assert found.keys() == wanted.keys()
    scale = max(gradient.abs().max() for gradient in wanted.values())
    for name, gradient in wanted.items():
        assert torch.allclose(found[name], gradient, rtol=1e-4, atol=1e-5 * scale), name


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("lay", ["padded", "packed", "joined"])
@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 90)), min_size=1, max_size=8), st.integers(0, 9))
def test_loss_and_gradients_are_those_of_the_model_itself(shape, lay, lengths, seed):
    if (shape, lay) == ("mt5", "joined"):
        return
    draw = random.Random(seed)
    rows = [(text(draw, source), text(draw, target)) for source, target in lengths]
    batch = padded(rows, PAD) if lay == "padded" else getattr(packing, lay)(rows, PAD, START)
    assert_same(student(shape), batch, rows)


def test_what_the_head_reads_is_scaled_as_the_models_own_kind_does():
    sizes = {"vocab_size": 64, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    umt5 = UMT5ForConditionalGeneration(UMT5Config(**sizes, decoder_start_token_id=START))
    for model in (student("t5"), student("v1.1"), student("mt5"), umt5):
        batch = padded(rows_of(4), PAD)
        hidden, labels = written(model.eval(), batch)
        wanted = model(**batch).logits[batch["labels"] != -100]
        assert torch.allclose(model.get_output_embeddings()(hidden), wanted, atol=1e-5), model.config.model_type
        assert torch.equal(labels, batch["labels"][batch["labels"] != -100])


@pytest.mark.parametrize("width", [1, 50, 256, 10_000])
def test_rows_of_any_width_have_the_same_loss_and_gradients(monkeypatch, width):
    monkeypatch.setattr(packing, "WIDTH", width)
    assert_same(student("t5"), packed(rows_of(16), PAD, START), rows_of(16))


def test_masks_made_beside_the_model_are_the_same():
    rows = rows_of(16)
    batch = packed(rows, PAD, START, masks=False)
    assert not any("mask" in name for name in batch)
    assert_same(student("t5"), batch, rows)


def test_without_gradients_the_loss_is_the_same():
    model, rows = student("flan"), rows_of(9)
    with torch.no_grad():
        for batch in (padded(rows, PAD), packed(rows, PAD, START), joined(rows, PAD, START)):
            assert SummedLoss(model)(batch).item() == pytest.approx(own_loss(model, rows).item(), rel=1e-5)


def test_a_model_that_has_read_a_joined_batch_still_generates_as_before():
    model, ids = student("t5"), torch.tensor([[5, 6, 7, ENDS], [8, ENDS, PAD, PAD]])
    options = {"attention_mask": (ids != PAD).long(), "max_new_tokens": 5, "do_sample": False}
    model.set_attn_implementation("sdpa")
    before = model.generate(ids, **options)
    SummedLoss(model)(joined(rows_of(4), PAD, START))
    assert model.config._attn_implementation == attention.NAME
    assert torch.equal(model.generate(ids, **options), before)
    assert attention.NAME not in str(model.config.to_dict())


def test_gradient_checkpointing_leaves_the_gradients_of_a_joined_batch():
    model, rows = student("t5"), rows_of(6)
    model.train()
    model.gradient_checkpointing_enable()
    try:
        assert_same(model, joined(rows, PAD, START), rows)
    finally:
        model.gradient_checkpointing_disable()


def test_dropout_is_applied_in_training_only():
    model, batch = student("t5", dropout=0.5), joined(rows_of(6), PAD, START)
    loss = SummedLoss(model.train())
    assert loss(batch).item() != loss(batch).item()
    loss.eval()
    assert loss(batch).item() == loss(batch).item()


def test_written_are_the_states_and_labels_of_real_positions():
    rows = rows_of(7)
    for batch in (padded(rows, PAD), packed(rows, PAD, START), joined(rows, PAD, START)):
        hidden, labels = written(student("t5"), batch)
        assert hidden.shape == (sum(len(target) for _, target in rows), 16)
        assert torch.equal(labels, batch["labels"][batch["labels"] != -100])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 90), st.integers(1, 60)), min_size=1, max_size=40))
def test_every_token_is_in_a_row_once(lengths):
    rows, number = [], 0
    for pair in lengths:
        rows.append(tuple([number * 100 + place + 1 for place in range(length)] for length in pair))
        number += 1
    for batch in (packed(rows, PAD, -7), joined(rows, PAD, -7)):
        for name, side, filler in (("input_ids", 0, PAD), ("labels", 1, -100)):
            found = sorted(token for token in batch[name].flatten().tolist() if token != filler)
            assert found == sorted(token for row in rows for token in row[side])
        assert (batch["decoder_input_ids"] == -7).sum() == len(rows)  # each target begins anew


def plainly(rows, value, multiple=1):
    """Rows of lists as a tensor, filled up with `value`."""
    width = -(-max(map(len, rows)) // multiple) * multiple
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 90)), min_size=1, max_size=20), st.randoms())
def test_batches_are_to_the_bit_what_plain_lists_of_tokens_make(lengths, draw):
    rows = [(text(draw, source), text(draw, target)) for source, target in lengths]
    lines = [[rows[index] for index in line] for line in packing._lines(lengths)]
    sources, targets = ([[token for row in line for token in row[side]] for line in lines] for side in (0, 1))
    shifted = [[token for _, target in line for token in (-7, *target[:-1])] for line in lines]
    wanted = {
        "input_ids": plainly(sources, PAD, 8),
        "decoder_input_ids": plainly(shifted, PAD, 8),
        "labels": plainly(targets, -100, 8),
    }
    for side, name in enumerate(("source_of", "target_of")):
        wanted[name] = plainly([[n for n, row in enumerate(line) for _ in row[side]] for line in lines], -1, 8)
    assert_equal(packed(rows, PAD, -7, masks=False), wanted)
    wanted = {
        "input_ids": torch.tensor([[token for source, _ in rows for token in source]]),
        "decoder_input_ids": torch.tensor([[token for _, target in rows for token in (-7, *target[:-1])]]),
        "labels": torch.tensor([[token for _, target in rows for token in target]]),
        "source_lengths": torch.tensor([source for source, _ in lengths]),
        "target_lengths": torch.tensor([target for _, target in lengths]),
    }
    assert_equal(joined(rows, PAD, -7), wanted)
    wanted = {
        "input_ids": plainly([source for source, _ in rows], PAD),
        "attention_mask": plainly([[1] * source for source, _ in lengths], 0),
        "labels": plainly([target for _, target in rows], -100),
    }
    assert_equal(padded(rows, PAD), wanted)


def assert_equal(batch, wanted):
    assert batch.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert torch.equal(batch[name], tensor), name
        assert batch[name].dtype == torch.int64, name


@pytest.mark.parametrize(("pairs", "rows"), [(2, 1), (4, 1), (5, 1), (7, 2), (10, 2), (13, 3), (20, 5), (100, 25)])
def test_few_long_pairs_have_as_many_rows_as_come_nearest_to_four_of_them_each(pairs, rows):
    assert len(packed(corpus_rows(pairs), PAD, START)["labels"]) == rows


@pytest.mark.parametrize("seed", range(3))
def test_less_than_a_twentieth_of_a_pretraining_batch_is_padding(seed):
    rows = corpus_rows(20, seed)
    assert padding(joined(rows, PAD, START), rows) == (0, 0, 0)
    assert padding(packed(rows, PAD, START), rows).both < 0.05
    rows = corpus_rows(100, seed)
    assert max(padding(packed(rows, PAD, START), rows)) < 0.05
    assert padding(padded(rows, PAD), rows).both > 0.35


def test_little_of_a_finetuning_batch_is_padding():
    rows = rows_of(16)
    assert padding(packed(rows, PAD, START), rows).both < 0.15
    assert padding(padded(rows, PAD), rows).both > 0.4


def test_a_model_that_counts_positions_or_is_of_another_family_is_not_packed():
    config = BartConfig(
        vocab_size=60, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=1024, init_std=1.0,
    )  # fmt: skip
    torch.manual_seed(1)
    model, rows = BartForConditionalGeneration(config).eval(), rows_of(16)
    assert not packs(model, rows, PAD)
    object.__setattr__(model.config, "max_position_embeddings", 0)
    assert not packs(model.train(), rows, PAD)
    assert model.training
    assert layout(model, rows, PAD).func is padded
    model.eval()
    assert SummedLoss(model)(padded(rows, PAD)).item() == pytest.approx(own_loss(model, rows).item(), rel=1e-5)


def test_a_model_whose_loss_comes_out_otherwise_is_not_packed(monkeypatch):
    assert packs(student("t5"), rows_of(16), PAD)
    monkeypatch.setattr(student("t5").config, "scale_decoder_outputs", False)
    monkeypatch.setattr(packing, "written", lambda *_: (torch.zeros(1, 16), torch.zeros(1, dtype=torch.long)))
    assert not packs(student("t5"), rows_of(16), PAD)


@pytest.mark.parametrize(
    ("shape", "rows", "compiled", "quickest"),
    [
        ("t5", corpus_rows(4), False, joined),
        ("t5", corpus_rows(4), True, packed),
        ("t5", rows_of(8), False, packed),
        ("mt5", corpus_rows(4), False, packed),
    ],
    ids=["long", "compiled", "short", "mt5"],
)
def test_the_layout_is_the_quickest_that_serves(shape, rows, compiled, quickest):
    lay = layout(student(shape), rows, PAD, compiled=compiled)
    assert lay.func is quickest
    assert set(lay(rows)) == set(quickest(rows, PAD, START))


def test_compiled_the_loss_and_gradients_are_the_same():
    """With the backend that makes no C++, which would take a minute: what may go wrong is what is traced."""
    torch.compiler.reset()
    model, rows = student("t5", layers=1), rows_of(6)
    loss, wanted = gradients(model, own_loss(model, rows))
    compiled = torch.compile(SummedLoss(model), backend="eager", dynamic=False)
    found_loss, found = gradients(model, compiled(packed(rows, PAD, START)))
    assert found_loss == pytest.approx(loss, rel=1e-5)
    for name, gradient in wanted.items():
        assert torch.allclose(found[name], gradient, rtol=1e-4, atol=1e-4), name


def test_memory_that_is_short_is_no_reason_to_pad(monkeypatch):
    def full(*batches, **more):
        raise torch.OutOfMemoryError("CUDA out of memory")

    model = student("t5")
    monkeypatch.setattr(model, "forward", full)
    with pytest.raises(torch.OutOfMemoryError):
        packs(model, [([5, 1], [6, 1])], PAD)
