"""Fresh students and their tokenizers, and checkpoints from a Hub."""

import json
import string

import pytest
import torch
from huggingface_hub import HfApi
from hypothesis import given
from hypothesis import strategies as st

from hub_tools.students.models import escape_newlines, fresh_student, load_student, save_student, split_revision
from tests.tiny_models import SENTENCES, tiny_model, tiny_tokenizer


SHAPE = {"vocab_size": 200, "d_model": 32, "d_ff": 48, "num_layers": 1, "num_heads": 2, "seed": 3}
SIGNS = [sign for sign in string.printable if not sign.isspace()]
WORDS = st.lists(st.text(SIGNS, min_size=1, max_size=12), max_size=12)


@pytest.fixture(scope="module")
def fresh():
    return fresh_student([escape_newlines(text) for text in (*SENTENCES, "one line\nand another")], **SHAPE)


def test_text_forms_come_back_as_they_were(fresh):
    tokenizer = fresh[1]
    for text in ("food | positive ; staff | negative", "", "food quality | conflict"):
        assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text


@given(words=WORDS.filter(lambda words: not any(f"<{name}>" in " ".join(words) for name in ("pad", "/s", "unk"))))
def test_any_printable_ascii_comes_back_without_unknowns(fresh, words):
    tokenizer, text = fresh[1], " ".join(words)
    ids = tokenizer(text).input_ids
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_the_line_break_is_one_token_and_no_special_one(fresh):
    tokenizer = fresh[1]
    newline = tokenizer.convert_tokens_to_ids("[NL]")
    ids = tokenizer(escape_newlines("one line\r\nand\nanother")).input_ids
    assert ids.count(newline) == 2
    assert newline != tokenizer.unk_token_id
    assert "[NL]" in tokenizer.decode(ids, skip_special_tokens=True)


def test_a_fresh_student_has_t5s_special_ids_a_row_per_piece_and_is_the_same_for_a_seed(fresh):
    model, tokenizer = fresh
    assert [tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id] == [0, 1, 2]
    assert model.get_input_embeddings().num_embeddings == len(tokenizer) <= 200
    again = fresh_student([escape_newlines(text) for text in (*SENTENCES, "one line\nand another")], **SHAPE)
    assert tokenizer.get_vocab() == again[1].get_vocab()
    assert tokenizer(SENTENCES[0]).input_ids == again[1](SENTENCES[0]).input_ids
    assert all(torch.equal(one, other) for one, other in zip(model.parameters(), again[0].parameters(), strict=True))
    other = fresh_student(SENTENCES, **{**SHAPE, "seed": 4})[0]
    assert not torch.equal(model.shared.weight[:5], other.shared.weight[:5])


def test_a_vocabulary_without_room_for_every_sign_is_refused():
    with pytest.raises(ValueError, match=r"vocab_size 90 is too small for these texts"):
        fresh_student(SENTENCES, **{**SHAPE, "vocab_size": 90})


def test_what_is_saved_is_what_is_loaded(fresh, tmp_path):
    model, tokenizer = fresh
    model.config.fsa_task = "tsa"
    save_student(model, tokenizer, tmp_path)
    assert not [path.name for path in tmp_path.iterdir() if path.suffix in {".bin", ".pt"}]
    loaded, reader = load_student(str(tmp_path))
    assert loaded.config.fsa_task == "tsa"
    assert dict(model.state_dict()).keys() == dict(loaded.state_dict()).keys()
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in model.state_dict().items())
    text = "The pasta[NL]was | superb ; {never} ~seen~ @before"
    assert reader(text).input_ids == tokenizer(text).input_ids
    assert len(reader) == len(tokenizer)


def test_a_checkpoint_of_the_hub_gets_the_line_break_and_as_many_rows_as_pieces(hub, repo_id, tmp_path):
    tokenizer = tiny_tokenizer(newline_token=False)
    model = tiny_model(tokenizer)
    model.resize_token_embeddings(len(tokenizer) + 27)  # as t5-base: 32,128 rows for 32,100 pieces
    save_student(model, tokenizer, tmp_path)
    HfApi().create_repo(repo_id)
    first = HfApi().upload_folder(repo_id=repo_id, folder_path=tmp_path).oid
    HfApi().upload_file(repo_id=repo_id, path_in_repo="config.json", path_or_fileobj=b"not json")

    loaded, reader = load_student(repo_id, first)
    assert len(reader) == len(tokenizer) + 1
    newline = reader.convert_tokens_to_ids("[NL]")
    assert reader("a[NL]b").input_ids.count(newline) == 1
    assert loaded.get_input_embeddings().num_embeddings == loaded.config.vocab_size == len(reader)
    assert loaded.get_output_embeddings().weight.shape[0] == len(reader)
    # The row was in the checkpoint: nothing about it is drawn at random.
    assert torch.equal(loaded.shared.weight, model.shared.weight[: len(reader)])


def test_a_checkpoint_with_pickled_weights_only_is_not_read(fresh, tmp_path):
    model, tokenizer = fresh
    save_student(model, tokenizer, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(OSError, match="safetensors"):
        load_student(str(tmp_path))


def test_code_that_comes_with_a_checkpoint_is_not_run(fresh, tmp_path):
    save_student(*fresh, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {
        "model_type": "sneaky",
        "auto_map": {"AutoConfig": "sneaky.Config", "AutoModelForSeq2SeqLM": "sneaky.M"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "sneaky.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(ValueError, match=r"sneaky|trust_remote_code"):
        load_student(str(tmp_path))
    assert not (tmp_path / "ran").exists()


def test_a_reference_may_name_a_revision():
    assert split_revision("me/t5@step-0") == ("me/t5", "step-0")
    assert split_revision("me/t5") == ("me/t5", None)
