"""Greedy decoding gives what `generate` gives, token by token, whoever shares a batch and whenever a row ends."""

import pytest
import torch
from transformers import BartConfig, BartForConditionalGeneration, GenerationConfig

from hub_tools.students import decoding
from hub_tools.students.decoding import greedy, knows, write
from hub_tools.students.models import load_student, save_student
from tests.students import miniature
from tests.students.miniature import LESSONS
from tests.tiny_models import save_tiny_student


SENTENCES = [sentence for sentence, _ in LESSONS] + ["The tea was cold, and so was the waiter.", "Good bar."]


@pytest.fixture(scope="module")
def t5(tmp_path_factory):
    """A model that learned its lessons: what it writes ends at different steps."""
    return load_student(str(save_tiny_student(tmp_path_factory.mktemp("taught"), lessons=LESSONS)))


def inputs_of(tokenizer, sentences=SENTENCES):
    batch = tokenizer(sentences, padding=True, return_tensors="pt")
    return batch["input_ids"], batch["attention_mask"]


def generated(model, input_ids, mask, max_length, **more):
    return model.generate(
        input_ids=input_ids, attention_mask=mask, max_length=max_length, **{"num_beams": 1, "do_sample": False, **more}
    )


@pytest.mark.parametrize("max_length", [2, 5, 40])
@pytest.mark.parametrize("gone", [0.0, 0.3, 1.0])
def test_every_token_is_that_of_generate(t5, monkeypatch, max_length, gone):
    monkeypatch.setattr(decoding, "GONE", gone)
    model, tokenizer = t5
    batch = inputs_of(tokenizer)
    found, going = greedy(model, *batch, max_length)
    assert torch.equal(found, generated(model, *batch, max_length))
    assert going == [row for row in range(len(found)) if model.config.eos_token_id not in found[row]]
    ends = {row.tolist().index(model.config.eos_token_id) for row in found if model.config.eos_token_id in row}
    assert max_length < 40 or len(ends) > 2, "the rows should end at different steps for this test to mean anything"


def test_a_model_with_positions_of_its_own_is_decoded_alike():
    config = BartConfig(
        vocab_size=60, d_model=16, encoder_layers=1, decoder_layers=2, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=64, init_std=1.0,
    )  # fmt: skip
    torch.manual_seed(1)
    model = BartForConditionalGeneration(config).eval()
    assert not knows(model)  # Bart is made to end with its sign for the end
    model.generation_config = GenerationConfig(
        decoder_start_token_id=2, eos_token_id=[2, *range(3, 20, 2)], pad_token_id=1
    )
    assert knows(model)
    input_ids = torch.randint(3, 60, (9, 12))
    mask = torch.ones_like(input_ids)
    for row in range(9):
        input_ids[row, 12 - row :], mask[row, 12 - row :] = config.pad_token_id, 0
    found, going = greedy(model, input_ids, mask, 20)
    assert torch.equal(found, generated(model, input_ids, mask, 20))
    begun, going = greedy(model, input_ids, mask, 4)
    assert going
    rest, _ = greedy(model, input_ids[going], mask[going], 20, begun[going])
    assert torch.equal(rest, found[going][:, : rest.shape[1]])
    assert len({int((row == 1).sum()) for row in found}) > 2  # rows end at different steps


@pytest.mark.parametrize("first", [2, 5, 32])
def test_texts_are_those_of_each_sentence_alone_whatever_the_batch_and_the_share(t5, monkeypatch, first):
    monkeypatch.setattr(decoding, "FIRST", first)
    model, tokenizer = t5
    sources = tokenizer(SENTENCES)["input_ids"]
    alone = [
        tokenizer.decode(generated(model, *inputs_of(tokenizer, [sentence]), 30)[0], skip_special_tokens=True)
        for sentence in SENTENCES
    ]
    assert len(set(alone)) > 1
    assert write(model, tokenizer, sources, max_length=30, batch_size=5) == dict(enumerate(alone))
    parts = [write(model, tokenizer, sources, max_length=30, batch_size=1, share=slice(n, None, 2)) for n in (0, 1)]
    assert parts[0] | parts[1] == dict(enumerate(alone))
    assert not parts[0].keys() & parts[1].keys()
    assert abs(len(parts[0]) - len(parts[1])) <= 1
    assert write(model, tokenizer, sources[:1], max_length=30, share=slice(1, None, 2)) == {}


def test_beams_are_those_of_generate(t5):
    model, tokenizer = t5
    sentence = SENTENCES[1]
    ids = generated(model, *inputs_of(tokenizer, [sentence]), 20, num_beams=4)
    found = write(model, tokenizer, tokenizer([sentence])["input_ids"], max_length=20, num_beams=4)
    assert found == {0: tokenizer.decode(ids[0], skip_special_tokens=True)}


def test_students_of_our_own_making_are_known(t5, tmp_path):
    """Their settings name more than one would think, and one unknown name would cost all of the speed."""
    assert knows(t5[0])
    model, tokenizer = miniature.student()
    save_student(model, tokenizer, tmp_path)
    assert knows(model)
    assert knows(load_student(str(tmp_path))[0])


def test_settings_and_caches_that_are_not_known_here_go_through_generate(t5, monkeypatch):
    model, tokenizer = t5
    sources = tokenizer(SENTENCES[:4])["input_ids"]
    plain = write(model, tokenizer, sources, max_length=20)
    monkeypatch.setattr(decoding, "_is_dynamic", lambda cache: False)
    assert write(model, tokenizer, sources, max_length=20) == plain
    monkeypatch.undo()

    assert knows(model)
    monkeypatch.setattr(model.generation_config, "repetition_penalty", 5.0)
    assert not knows(model)
    ids = generated(model, *inputs_of(tokenizer, SENTENCES[:4]), 20)
    penalised = dict(enumerate(tokenizer.batch_decode(ids, skip_special_tokens=True)))
    assert write(model, tokenizer, sources, max_length=20) == penalised != plain
