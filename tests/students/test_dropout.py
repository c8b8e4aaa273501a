"""Dropout with other random numbers is dropout: what it keeps, how much, how independently, and its gradient."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from hub_tools.students.dropout import QuickDropout, dropout, quicken_dropout
from tests.tiny_models import tiny_model, tiny_tokenizer


@given(
    shape=st.lists(st.integers(0, 7), min_size=0, max_size=4),
    p=st.floats(0.0, 1.0),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
)
def test_each_activation_is_zero_or_divided_by_the_share_that_is_kept(shape, p, dtype):
    found = dropout(torch.ones(shape, dtype=dtype), p)
    assert (found.shape, found.dtype) == (torch.Size(shape), dtype)
    kept = found[found != 0].double()
    assert torch.allclose(kept * (1 - round(p * 2**16) / 2**16), torch.ones_like(kept), rtol=1e-2)


@pytest.mark.parametrize("p", [0.01, 0.1, 0.5, 0.9])
def test_as_many_are_dropped_as_asked_and_the_mean_stays(p):
    torch.manual_seed(0)
    count = 1_000_003  # no multiple of four
    found = dropout(torch.ones(count), p)
    spread = math.sqrt(p * (1 - p) / count)
    assert abs(float((found == 0).double().mean()) - p) < 4 * spread
    assert abs(float(found.double().mean()) - 1) < 4 * spread / (1 - p)


def test_neighbours_are_dropped_independently_though_one_draw_decides_on_four():
    torch.manual_seed(0)
    dropped = (dropout(torch.ones(400_000), 0.3) == 0).double().view(-1, 4)
    correlation = torch.corrcoef(dropped.T) - torch.eye(4)
    assert float(correlation.abs().max()) < 4 / math.sqrt(100_000)
    assert torch.allclose(dropped.mean(0), torch.tensor(0.3, dtype=torch.double), atol=4 * math.sqrt(0.21 / 100_000))


def test_the_gradient_goes_through_what_was_kept():
    hidden = torch.randn(5, 33, requires_grad=True)
    found = dropout(hidden, 0.4)
    found.sum().backward()
    scale = 2**16 / (2**16 - round(0.4 * 2**16))
    assert torch.equal(hidden.grad, torch.where(found == 0, 0.0, scale))


def test_the_seed_of_torch_decides_what_is_dropped():
    drawn = []
    for seed in (7, 7, 8):
        torch.manual_seed(seed)
        drawn.append(dropout(torch.ones(64), 0.5))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_nothing_is_dropped_in_evaluation_or_with_probability_zero_and_all_with_one():
    hidden = torch.randn(9)
    assert torch.equal(dropout(hidden, 0.5, training=False), hidden)
    assert torch.equal(dropout(hidden, 0.0), hidden)
    assert not dropout(hidden, 1.0).any()


def test_a_model_with_it_has_the_same_weights_and_the_same_outputs_and_drops_while_it_trains():
    tokenizer = tiny_tokenizer()
    model = tiny_model(tokenizer)
    for each in model.modules():
        if isinstance(each, nn.Dropout):
            each.p = 0.5
    batch = tokenizer(["the food was good"], return_tensors="pt")
    batch["labels"] = batch["input_ids"]
    names, before = list(model.state_dict()), model.eval()(**batch).logits
    quicken_dropout(model)
    assert list(model.state_dict()) == names
    assert torch.equal(model(**batch).logits, before)
    assert {type(each) for each in model.modules() if isinstance(each, nn.Dropout)} == {QuickDropout}
    assert not any(each.training for each in model.modules())
    torch.manual_seed(0)
    trained = [model.train()(**batch).logits for _ in range(2)]
    assert not torch.equal(*trained)
