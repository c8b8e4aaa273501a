"""Ranks and nucleus sizes against the definition, pair by pair, unpadded, with the whole vocabulary sorted."""

import numpy as np
import pytest
import torch
from transformers import BartConfig, BartForConditionalGeneration

from hub_tools.corpus.difficulty import difficulties, rank_score
from hub_tools.students import token_ranks as module
from hub_tools.students.token_ranks import token_ranks
from tests.tiny_models import SENTENCES, tiny_model, tiny_tokenizer


def rows_of(tokenizer) -> list[tuple[list[int], list[int]]]:
    texts = [sentence[: 9 * number] for number in (1, 2, 3) for sentence in SENTENCES]
    ids = tokenizer(texts).input_ids
    return list(zip(ids, [ids[(index * 5 + 2) % len(ids)] for index in range(len(ids))], strict=True))


@pytest.fixture(scope="module")
def student():
    """A model that is sure of some tokens, not of others, and its rows."""
    tokenizer = tiny_tokenizer()
    model, rows = tiny_model(tokenizer), rows_of(tokenizer)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for source, target in rows * 6:
        model(input_ids=torch.tensor([source]), labels=torch.tensor([target])).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, rows


@torch.no_grad()
def written_out(model, source: list[int], target: list[int], top_p: float) -> tuple[list[int], list[int]]:
    """Token by token, as CompEffDist defines it."""
    logits = model(input_ids=torch.tensor([source]), labels=torch.tensor([target])).logits[0]
    ranks, sizes = [], []
    for row, token in zip(logits, target, strict=True):
        shares, order = row.softmax(-1).sort(descending=True)
        ranks.append(order.tolist().index(token))
        reached, size = 0.0, 1
        for share in shares.tolist():
            reached += share
            if reached >= top_p:
                break
            size += 1
        sizes.append(size)
    return ranks, sizes


@pytest.mark.parametrize("top_p", [0.5, 0.95])
@pytest.mark.parametrize("first_look", [2, 64])
@pytest.mark.parametrize("batch_tokens", [1, 40, 4096])
def test_ranks_and_nucleus_sizes_equal_the_definition(student, monkeypatch, top_p, first_look, batch_tokens):
    monkeypatch.setattr(module, "FIRST_LOOK", first_look)
    monkeypatch.setattr(module, "LOGITS", 7 * 4 * 300)  # several chunks a batch
    model, rows = student
    found = {
        index: (ranks.tolist(), sizes.tolist())
        for index, ranks, sizes in token_ranks(model, rows, top_p=top_p, batch_tokens=batch_tokens)
    }
    assert found == {index: written_out(model, *row, top_p) for index, row in enumerate(rows)}


def test_models_with_a_bias_on_their_logits_are_judged_with_it():
    tokenizer = tiny_tokenizer()
    config = BartConfig(
        vocab_size=len(tokenizer),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_position_embeddings=128,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=1,
        decoder_start_token_id=1,
        forced_eos_token_id=1,
    )
    torch.manual_seed(0)
    model, rows = BartForConditionalGeneration(config).eval(), rows_of(tokenizer)
    model.final_logits_bias += torch.randn(len(tokenizer)) * 3
    found = {index: (ranks.tolist(), sizes.tolist()) for index, ranks, sizes in token_ranks(model, rows)}
    assert found == {index: written_out(model, *row, 0.95) for index, row in enumerate(rows)}


def test_the_student_of_these_tests_finds_some_pairs_hard_and_not_all(student):
    model, rows = student
    scores = difficulties(token_ranks(model, rows), len(rows))
    plain = [rank_score(*written_out(model, *row, 0.95)) for row in rows]
    assert scores == pytest.approx(plain)
    assert 0 < scores.max() <= 1
    assert len(set(scores.tolist())) > 3


def test_what_a_model_was_in_it_is_afterwards(student):
    model, rows = student
    try:
        model.train()
        next(iter(token_ranks(model, rows)))
        assert model.training
    finally:
        model.eval()
    assert list(token_ranks(model, [])) == []


def test_pairs_of_another_tokenizer_and_broken_models_are_refused(student):
    model, rows = student
    with pytest.raises(ValueError, match=r"token id 99999, .* its own tokenizer"):
        list(token_ranks(model, [*rows, ([3, 1], [99999, 1])]))
    broken = tiny_model(tiny_tokenizer())
    with torch.no_grad():
        broken.get_output_embeddings().weight[5] = np.nan
    with pytest.raises(FloatingPointError, match="float16"):
        list(token_ranks(broken, rows))
    with pytest.raises(ValueError, match="top_p"):
        list(token_ranks(model, rows, top_p=0.0))
