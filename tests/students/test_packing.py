"""Packed batches have the loss and the gradients of padded ones; models for which they have not are found out."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BartConfig, BartForConditionalGeneration

from hub_tools.students import packing
from hub_tools.students.packing import SummedLoss, packed, packs, padded
from tests.tiny_models import tiny_model, tiny_tokenizer


PAD = START = 0
ENDS = 1


def rows_of(n, seed=0, vocabulary=60):
    """Inputs and targets as uneven as those of the benchmark: a third of the targets is empty."""
    draw = random.Random(seed)

    def text(length):
        return [*(draw.randrange(3, vocabulary) for _ in range(length - 1)), ENDS]

    return [(text(draw.randint(1, 40)), text(draw.choice((1, 1, 5, 6, 12)))) for _ in range(n)]


def gradients(model, batch):
    model.zero_grad()
    loss = SummedLoss(model)(batch)
    loss.backward()
    return loss.item(), {name: weight.grad.clone() for name, weight in model.named_parameters()}


@pytest.mark.parametrize("width", [1, 50, 256, 10_000])
def test_loss_and_gradients_are_those_of_the_padded_batch(monkeypatch, width):
    monkeypatch.setattr(packing, "WIDTH", width)
    model = tiny_model(tiny_tokenizer())
    rows = rows_of(16)
    loss, wanted = gradients(model, padded(rows, PAD))
    found_loss, found = gradients(model, packed(rows, PAD, START))
    assert found_loss == pytest.approx(loss, rel=1e-5)
    for name, gradient in wanted.items():
        assert torch.allclose(found[name], gradient, rtol=1e-3, atol=1e-5), name


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(1, 90), st.integers(1, 60)), min_size=1, max_size=40), st.integers(1, 300))
def test_every_token_is_in_a_row_once_and_rows_are_no_wider_than_they_may_be(lengths, width):
    rows, number = [], 0
    for pair in lengths:
        rows.append(tuple([number * 100 + place + 1 for place in range(length)] for length in pair))
        number += 1
    width, packing.WIDTH = packing.WIDTH, width
    try:
        batch = packed(rows, PAD, -7)
    finally:
        width, packing.WIDTH = packing.WIDTH, width
    for name, side, filler in (("input_ids", 0, PAD), ("labels", 1, -100)):
        found = sorted(token for token in batch[name].flatten().tolist() if token != filler)
        assert found == sorted(token for row in rows for token in row[side])
    assert batch["input_ids"].shape[1] <= max(width, max(source for source, _ in lengths))
    assert (batch["decoder_input_ids"] == -7).sum() == len(rows)  # each target begins anew


def test_little_of_a_packed_batch_is_padding():
    rows = rows_of(16)
    real = sum(len(source) + len(target) for source, target in rows)
    usual, close = (
        sum(batch[name].numel() for name in ("input_ids", "labels"))
        for batch in (padded(rows, PAD), packed(rows, PAD, START))
    )
    assert real <= close < 1.2 * real
    assert usual > 1.7 * real


def test_a_model_that_counts_positions_is_not_packed():
    config = BartConfig(
        vocab_size=60, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=1024, init_std=1.0,
    )  # fmt: skip
    torch.manual_seed(1)
    model = BartForConditionalGeneration(config)
    assert not packs(model, rows_of(16), PAD)
    object.__setattr__(model.config, "max_position_embeddings", 0)  # it is found out without being told, too
    assert not packs(model.train(), rows_of(16), PAD)
    assert model.training
    assert packs(tiny_model(tiny_tokenizer()), rows_of(16), PAD)
