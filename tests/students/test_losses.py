"""The cross-entropy in chunks is torch's, gradients too, and never holds the logits of all tokens."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode

from hub_tools.students.losses import summed_cross_entropy


def drawn(tokens, width, vocabulary, seed=0, scale=1.0):
    torch.manual_seed(seed)
    hidden = (torch.randn(tokens, width) * scale).requires_grad_()
    weight = torch.randn(vocabulary, width).requires_grad_()
    return hidden, weight, torch.randint(vocabulary, (tokens,))


def torchs(hidden, weight, labels):
    return cross_entropy((hidden @ weight.T).double(), labels, reduction="sum")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 40), st.integers(1, 9), st.integers(1, 30), st.integers(1, 50), st.sampled_from((0.1, 1, 30)))
def test_loss_and_gradients_are_torchs(tokens, width, vocabulary, chunk, scale):
    hidden, weight, labels = drawn(tokens, width, vocabulary, tokens, scale)
    wanted = torchs(hidden, weight, labels)
    loss = summed_cross_entropy(hidden, weight, labels, chunk)
    assert loss.dtype == torch.float32
    assert torch.isclose(loss.double(), wanted, rtol=1e-5, atol=1e-4)
    for found, other in zip(
        torch.autograd.grad(loss * 0.5, (hidden, weight)),
        torch.autograd.grad(wanted * 0.5, (hidden, weight)),
        strict=True,
    ):
        assert torch.allclose(found, other.float(), rtol=1e-4, atol=1e-5 * max(1, scale))


def test_without_gradients_the_loss_is_the_same():
    hidden, weight, labels = drawn(50, 8, 30)
    with torch.no_grad():
        assert torch.isclose(summed_cross_entropy(hidden, weight, labels, 7).double(), torchs(hidden, weight, labels))


def test_huge_scores_neither_overflow_nor_lose_the_label():
    hidden, weight, labels = drawn(6, 4, 10, scale=1e4)
    loss = summed_cross_entropy(hidden, weight, labels)
    assert torch.isclose(loss.double(), torchs(hidden, weight, labels), rtol=1e-5)
    loss.backward()
    assert hidden.grad.isfinite().all()
    assert weight.grad.isfinite().all()


def test_what_is_not_a_number_stays_so():
    hidden, weight, labels = drawn(6, 4, 10)
    with torch.no_grad():
        hidden[2] = float("nan")
    assert summed_cross_entropy(hidden, weight, labels).isnan()


def test_under_autocast_products_are_in_bf16_and_gradients_near():
    hidden, weight, labels = drawn(50, 16, 30)
    wanted = torchs(hidden, weight, labels)
    with torch.autocast("cpu", torch.bfloat16):
        loss = summed_cross_entropy(hidden, weight, labels, 16)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-2)
    assert loss.item() != pytest.approx(wanted.item(), rel=1e-7)
    for found, other in zip(
        torch.autograd.grad(loss, (hidden, weight)), torch.autograd.grad(wanted, (hidden, weight)), strict=True
    ):
        assert found.dtype == torch.float32
        assert (found - other).norm() < 2e-2 * other.norm()


@pytest.mark.parametrize("backward", [True, False], ids=["training", "validation"])
def test_no_tensor_is_larger_than_the_logits_of_a_chunk(backward):
    sizes = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), options=None):
            found = function(*arguments, **(options or {}))
            sizes.extend(each.numel() for each in (found,) if isinstance(each, torch.Tensor))
            return found

    tokens, width, vocabulary, chunk = 200, 4, 50, 10
    hidden, weight, labels = drawn(tokens, width, vocabulary)
    with Watch(), torch.set_grad_enabled(backward):
        loss = summed_cross_entropy(hidden, weight, labels, chunk)
        if backward:
            loss.backward()
    assert max(sizes) <= max(chunk * vocabulary, tokens * width, vocabulary * width) < tokens * vocabulary


@pytest.mark.parametrize(
    ("hidden", "weight", "labels"),
    [((3, 4), (9, 5), (3,)), ((3, 4), (9, 4), (2,)), ((1, 3, 4), (9, 4), (1, 3))],
    ids=["widths", "tokens", "batch"],
)
def test_shapes_that_do_not_fit_are_told(hidden, weight, labels):
    with pytest.raises(ValueError, match=r"expected .*found hidden"):
        summed_cross_entropy(torch.zeros(hidden), torch.zeros(weight), torch.zeros(labels, dtype=torch.long))
