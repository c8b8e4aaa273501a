"""Learning from a teacher's distribution: the loss is its plain one, packed or not; it brings students closer."""

import copy
from functools import partial

import pytest
import torch
from accelerate import Accelerator
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy, kl_div

from hub_tools.students import soft_loss
from hub_tools.students.packing import SummedLoss, joined, packed, padded
from hub_tools.students.pretraining import Pretraining, pretrain
from hub_tools.students.soft_loss import SoftLoss, SoftPairs, soft_batch, soft_cross_entropy
from hub_tools.students.soft_targets import write_soft_targets
from tests.students.miniature import encoded_pairs, student
from tests.students.test_packing import PAD, START, rows_of
from tests.tiny_models import tiny_model, tiny_tokenizer


TOKENIZER = tiny_tokenizer()
SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 4), st.integers(2, 9))


def drawn(positions, width, vocabulary, k, temperature, seed):
    """hidden, weight, labels, a teacher's likeliest ids and probabilities, and its whole distributions; float64."""
    generator = torch.Generator().manual_seed(seed)
    hidden, weight, logits = (
        torch.randn(*shape, generator=generator, dtype=torch.float64)
        for shape in ((positions, width), (vocabulary, width), (positions, vocabulary))
    )
    labels = torch.randint(vocabulary, (positions,), generator=generator)
    whole = (3 * logits / temperature).softmax(-1)
    likeliest = whole.topk(min(k, vocabulary))
    return hidden.requires_grad_(), weight.requires_grad_(), labels, likeliest.indices, likeliest.values, whole


def plainly(hidden, weight, labels, teacher, share, temperature):
    """The loss by whole distributions, as Hinton et al. write it."""
    logits = hidden @ weight.T
    soft = kl_div((logits / temperature).log_softmax(-1), teacher, reduction="sum")
    return (1 - share) * cross_entropy(logits, labels, reduction="sum") + share * temperature**2 * soft


@settings(max_examples=25)
@given(SHAPES, st.integers(1, 9), st.sampled_from([0.0, 0.3, 1.0]), st.sampled_from([0.5, 1.0, 4.0]), st.integers(0))
def test_gradients_are_those_of_the_loss(shape, k, share, temperature, seed):
    hidden, weight, labels, ids, probabilities, _ = drawn(*shape, k, temperature, seed % 2**31)

    def loss(hidden, weight):
        return soft_cross_entropy(hidden, weight, labels, ids, probabilities, share, temperature)

    assert torch.autograd.gradcheck(loss, (hidden, weight))


@settings(max_examples=50)
@given(SHAPES, st.sampled_from([0.0, 0.3, 1.0]), st.sampled_from([0.5, 1.0, 4.0]), st.integers(0), st.integers(1, 9))
def test_of_a_whole_distribution_it_is_the_plain_statement_in_chunks_of_any_size(
    shape, share, temperature, seed, chunk
):
    hidden, weight, labels, ids, probabilities, whole = drawn(*shape, 100, temperature, seed % 2**31)
    wanted = plainly(hidden, weight, labels, whole, share, temperature)
    wanted_gradients = torch.autograd.grad(wanted, (hidden, weight))
    soft_loss.CHUNK, chunk = chunk, soft_loss.CHUNK
    try:
        found = soft_cross_entropy(hidden, weight, labels, ids, probabilities, share, temperature)
    finally:
        soft_loss.CHUNK = chunk
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(
        torch.autograd.grad(2 * found, (hidden, weight)), tuple(2 * g for g in wanted_gradients)
    )


@settings(max_examples=50)
@given(SHAPES, st.integers(1, 9), st.sampled_from([1.0, 4.0]), st.integers(0))
def test_the_rest_as_one_is_the_divergence_of_what_it_sums_up(shape, k, temperature, seed):
    """By hand: both sides' other pieces added up into one more; never more than by whole distributions."""
    hidden, weight, labels, ids, probabilities, whole = drawn(*shape, k, temperature, seed % 2**31)
    found = soft_cross_entropy(hidden, weight, labels, ids, probabilities, 1.0, temperature) / temperature**2
    ours = (hidden @ weight.T / temperature).softmax(-1)
    wanted = torch.zeros(())
    for position in range(len(labels)):
        known = ids[position].tolist()
        rest = [piece for piece in range(len(weight)) if piece not in known]
        for pieces in [*([piece] for piece in known), *([rest] if rest else [])]:
            p, q = whole[position, pieces].sum(), ours[position, pieces].sum()
            wanted = wanted + p * (p / q).log()
    assert found.item() == pytest.approx(wanted.item(), rel=1e-6, abs=1e-9)
    assert found.item() <= plainly(hidden, weight, labels, whole, 1.0, 1.0).item() + 1e-9 or temperature != 1


def test_a_student_that_is_its_teacher_has_nothing_to_learn():
    hidden, weight, labels, *_ = drawn(5, 3, 8, 3, 1.0, 0)
    likeliest = (hidden @ weight.T / 2).softmax(-1).detach().topk(3)
    loss = soft_cross_entropy(hidden, weight, labels, likeliest.indices, likeliest.values, 1.0, 2.0)
    assert loss.item() == pytest.approx(0, abs=1e-12)
    for gradient in torch.autograd.grad(loss, (hidden, weight)):
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-12)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_probabilities_rounded_to_more_than_one_or_a_student_sure_of_itself_keep_it_finite(temperature):
    hidden, weight, labels, ids, _, _ = drawn(3, 2, 6, 2, 1.0, 1)
    hidden, weight = hidden.float(), weight.float()
    probabilities = torch.tensor([[0.7, 0.3005], [1.0, 0.0], [0.0, 0.0]])
    loss = soft_cross_entropy(hidden, weight * 3000, labels, ids, probabilities, 0.5, temperature)
    gradients = torch.autograd.grad(loss, (hidden, weight))
    assert all(torch.isfinite(each).all() for each in (loss, *gradients))


@pytest.fixture
def distilled(tmp_path):
    rows, teacher = rows_of(20), tiny_model(TOKENIZER, seed=1, d_model=64)
    targets = write_soft_targets(teacher, rows, tmp_path, k=7, temperature=2.0)
    return rows, SoftPairs(rows, targets)


def gradients(model, loss, batch):
    model.zero_grad()
    found = loss(batch)
    found.backward()
    return found.item(), {name: weight.grad.clone() for name, weight in model.named_parameters()}


@pytest.mark.parametrize("lay", [packed, joined])
@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_packed_batches_have_the_loss_and_the_gradients_of_padded_ones(distilled, share, lay):
    _, pairs = distilled
    model = tiny_model(TOKENIZER)
    loss, chosen = SoftLoss(model, share, 2.0), [pairs[index] for index in (3, 17, 5, 8, 0, 11, 2)]
    wanted, wanted_gradients = gradients(model, loss, soft_batch(chosen, partial(padded, pad=PAD)))
    found, found_gradients = gradients(model, loss, soft_batch(chosen, partial(lay, pad=PAD, start=START)))
    assert found == pytest.approx(wanted, rel=1e-5)
    for name, gradient in wanted_gradients.items():
        torch.testing.assert_close(found_gradients[name], gradient, rtol=1e-3, atol=1e-4)


def test_with_no_share_it_is_the_plain_loss(distilled):
    rows, pairs = distilled
    model = tiny_model(TOKENIZER)
    plain, plain_gradients = gradients(model, SummedLoss(model), packed(rows, PAD, START))
    batch = soft_batch(list(pairs), partial(packed, pad=PAD, start=START))
    found, found_gradients = gradients(model, SoftLoss(model, 0.0, 2.0), batch)
    assert found == pytest.approx(plain, rel=1e-5)
    for name, gradient in plain_gradients.items():
        torch.testing.assert_close(found_gradients[name], gradient, rtol=1e-3, atol=1e-4)


def test_each_token_meets_its_own_distribution_wherever_it_is_packed(distilled):
    _, pairs = distilled
    wanted = [
        (label, tuple(ids.tolist()), tuple(probabilities.tolist()))
        for row in pairs
        for label, ids, probabilities in zip(row[1], row[2], row[3], strict=True)
    ]
    both = {"pad": PAD, "start": START}
    for lay in (partial(padded, pad=PAD), partial(packed, **both), partial(joined, **both)):
        batch = soft_batch(list(pairs), lay)
        labels = batch["labels"][batch["labels"] != -100]
        soft = (batch["soft_ids"].tolist(), batch["soft_probabilities"].tolist())
        found = [(label, tuple(i), tuple(p)) for label, i, p in zip(labels.tolist(), *soft, strict=True)]
        assert sorted(found) == sorted(wanted)
        plain = lay([row[:2] for row in pairs])
        assert all(torch.equal(batch[name], plain[name]) for name in plain)


def test_under_autocast_it_is_nearly_the_same(distilled):
    _, pairs = distilled
    model = tiny_model(TOKENIZER)
    loss, batch = SoftLoss(model, 0.5, 2.0), soft_batch(list(pairs), partial(packed, pad=PAD, start=START))
    wanted, wanted_gradients = gradients(model, loss, batch)
    with torch.autocast("cpu", torch.bfloat16):
        found, found_gradients = gradients(model, loss, batch)
    assert found == pytest.approx(wanted, rel=1e-2)
    gradient, other = wanted_gradients["shared.weight"], found_gradients["shared.weight"]
    assert other.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(gradient.flatten(), other.flatten(), dim=0) > 0.99


def divergence(model, teacher, rows):
    """Nats per target token of the whole distributions, teacher ‖ student."""
    total = 0.0
    with torch.no_grad():
        for source, target in rows:
            batch = padded([(source, target)], PAD)
            ours, theirs = (each.eval()(**batch).logits[0].log_softmax(-1) for each in (model, teacher))
            total += kl_div(ours, theirs, reduction="sum", log_target=True).item()
    return total / sum(len(target) for _, target in rows)


def test_in_as_many_steps_a_student_gets_closer_to_its_teacher_than_from_the_text_alone(tmp_path):
    """The teacher is trained on every second pair; the students read the others, and are judged on them."""
    small, tokenizer = student()
    encoded = encoded_pairs(tokenizer)
    teacher = tiny_model(tokenizer, seed=3, d_model=64)
    settings = Pretraining(steps=15, pairs_per_step=10, pairs_per_forward=10, lr=2e-2, validate_every=15)
    teacher, _ = pretrain(teacher, encoded[::2], [], settings, Accelerator(), tmp_path / "pretrained")
    rows = encoded[1::2]
    targets = write_soft_targets(teacher, rows, tmp_path / "soft", k=8, vocabulary=len(tokenizer))
    far = {}
    for name, training in (("text", rows), ("teacher", SoftPairs(rows, targets))):
        model = copy.deepcopy(small)
        soft = {"loss": SoftLoss(model, 0.9, targets.temperature), "collate": soft_batch}
        seam = soft if name == "teacher" else {}
        model, log = pretrain(model, training, rows[:4], settings, Accelerator(), tmp_path / name, **seam)
        far[name] = divergence(model, teacher, rows)
        plain = sum(SummedLoss(model)(padded([row], PAD)).item() for row in rows[:4])
        assert log.validation[-1][1] == pytest.approx(plain / sum(len(row[1]) for row in rows[:4]), rel=1e-4)
    assert far["teacher"] < 0.8 * far["text"]


def test_soft_targets_of_other_pairs_are_refused(tmp_path):
    rows = rows_of(6)
    targets = write_soft_targets(tiny_model(TOKENIZER), rows, tmp_path, k=2)
    with pytest.raises(ValueError, match=r"of 6 other pairs, not of these 5: .* after the hold-out"):
        SoftPairs(rows[:5], targets)


@pytest.mark.parametrize(("share", "temperature"), [(-0.1, 1.0), (1.1, 1.0), (0.5, 0.0), (0.5, float("inf"))])
def test_a_share_or_a_temperature_out_of_range_is_refused(share, temperature):
    with pytest.raises(ValueError, match=f"share={share}, temperature={temperature}"):
        SoftLoss(tiny_model(TOKENIZER), share, temperature)
