"""Fresh students and their tokenizers, and checkpoints from a Hub."""

import json
import string

import pytest
import torch
from huggingface_hub import HfApi
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from tokenizers import ByteLevelBPETokenizer
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BartTokenizer,
    BertConfig,
    BertForMaskedLM,
    ByT5Tokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    MT5Config,
    MT5ForConditionalGeneration,
    T5Config,
    T5EncoderModel,
    T5ForConditionalGeneration,
    UMT5Config,
    UMT5ForConditionalGeneration,
)

from hub_tools.students.encoding import tokenizer_digest
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
    assert tokenizer_digest(tokenizer) == tokenizer_digest(again[1])  # scores, too: of signs that no text holds
    assert tokenizer(SENTENCES[0]).input_ids == again[1](SENTENCES[0]).input_ids
    assert all(torch.equal(one, other) for one, other in zip(model.parameters(), again[0].parameters(), strict=True))
    other = fresh_student(SENTENCES, **{**SHAPE, "seed": 4})[0]
    assert not torch.equal(model.shared.weight[:5], other.shared.weight[:5])


def test_a_vocabulary_without_room_for_every_sign_is_refused():
    with pytest.raises(ValueError, match=r"vocab_size 90 is too small for these texts"):
        fresh_student(SENTENCES, **{**SHAPE, "vocab_size": 90})


def test_what_goes_wrong_while_texts_are_read_is_not_blamed_on_the_vocabulary():
    def texts():
        yield SENTENCES[0]
        raise ConnectionError("the Hub is down")

    with pytest.raises(ConnectionError, match=r"^the Hub is down$"):
        fresh_student(texts(), **SHAPE)


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


# --- Checkpoints of every kind ---------------------------------------------------------------------------------------

TINY_T5 = {"d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": 1, "num_heads": 2, "dropout_rate": 0.0}
TINY_T5 |= {"decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1}
KINDS = {
    "v1.1": (T5ForConditionalGeneration, T5Config, {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}),
    "mt5": (MT5ForConditionalGeneration, MT5Config, {}),
    "umt5": (UMT5ForConditionalGeneration, UMT5Config, {}),
}


def with_own_head(kind, tokenizer, padding=28):
    """A model whose head is no copy of its embedding, and whose vocabulary is padded: T5 v1.1, Flan-T5, mT5, UMT5."""
    make, config, more = KINDS[kind]
    torch.manual_seed(5)
    model = make(config(vocab_size=len(tokenizer) + padding, **TINY_T5, **more)).eval()
    model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight))
    return model


@torch.no_grad()
def logits(model, tokenizer):
    ids = tokenizer(SENTENCES[0], return_tensors="pt").input_ids
    return model.eval()(input_ids=ids, labels=ids).logits


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("padding", [28, 0])
def test_a_head_of_its_own_survives_the_line_break_and_saving_and_tying(tmp_path, kind, padding):
    tokenizer = tiny_tokenizer(newline_token=False)
    model = with_own_head(kind, tokenizer, padding)
    save_student(model, tokenizer, tmp_path / "hub")
    student, reader = load_student(str(tmp_path / "hub"))
    rows = len(tokenizer) + 1
    assert student.lm_head.weight.shape[0] == student.shared.weight.shape[0] == student.config.vocab_size == rows
    known = len(tokenizer)
    assert torch.equal(student.lm_head.weight[:known], model.lm_head.weight[:known])
    assert torch.equal(student.shared.weight[:known], model.shared.weight[:known])
    expected = logits(student, reader)
    assert torch.allclose(expected[..., :known], logits(model, tokenizer)[..., :known], atol=1e-5)

    save_student(student, reader, tmp_path / "student")
    assert {"lm_head.weight", "shared.weight"} <= load_file(tmp_path / "student" / "model.safetensors").keys()
    again, _ = load_student(str(tmp_path / "student"))
    assert torch.equal(logits(again, reader), expected)
    if kind != "umt5":
        again.tie_weights()  # as FSDP does
        assert torch.equal(logits(again, reader), expected)
    assert len(dict(again.named_parameters())) == len(dict(model.named_parameters()))


def test_a_tied_head_stays_tied(tmp_path):
    tokenizer = tiny_tokenizer(newline_token=False)
    save_student(tiny_model(tokenizer), tokenizer, tmp_path)
    student, _ = load_student(str(tmp_path))
    assert student.lm_head.weight is student.shared.weight
    assert student.config.tie_word_embeddings


def test_weights_saved_in_bf16_are_trained_in_float32(tmp_path):
    tokenizer = tiny_tokenizer()
    model = tiny_model(tokenizer).bfloat16()
    save_student(model, tokenizer, tmp_path)
    student, _ = load_student(str(tmp_path))
    assert {parameter.dtype for parameter in student.parameters()} == {torch.float32}
    assert torch.equal(student.shared.weight, model.shared.weight.float())


def test_a_row_that_is_new_is_the_same_on_every_call_and_leaves_other_random_numbers_alone(tmp_path):
    tokenizer = tiny_tokenizer(newline_token=False)
    save_student(tiny_model(tokenizer), tokenizer, tmp_path)
    torch.manual_seed(8)
    expected = torch.rand(3)
    torch.manual_seed(8)
    first, _ = load_student(str(tmp_path))
    assert torch.equal(torch.rand(3), expected)
    second, _ = load_student(str(tmp_path))
    assert first.shared.weight.shape[0] == len(tokenizer) + 1
    assert torch.equal(first.shared.weight, second.shared.weight)


def bart(folder):
    """Byte-level pieces, learned positions, a mark before the text, a bias on the head."""
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(SENTENCES, vocab_size=400, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    bpe.save_model(str(folder))
    tokenizer = BartTokenizer.from_pretrained(str(folder))
    shape = {
        f"{side}_{name}": 2 for side in ("encoder", "decoder") for name in ("layers", "attention_heads", "ffn_dim")
    }
    return BartForConditionalGeneration(BartConfig(vocab_size=len(tokenizer), d_model=16, **shape)), tokenizer


def byt5(folder):
    return T5ForConditionalGeneration(T5Config(vocab_size=384, **TINY_T5)), ByT5Tokenizer()


def t5(folder):
    tokenizer = tiny_tokenizer(newline_token=False)
    return tiny_model(tokenizer), tokenizer


@pytest.mark.parametrize("make", [bart, byt5, t5], ids=["bart", "byt5", "t5"])
def test_every_kind_of_tokenizer_keeps_the_line_break(tmp_path, make):
    model, tokenizer = make(tmp_path)
    save_student(model, tokenizer, tmp_path / "hub")
    student, reader = load_student(str(tmp_path / "hub"))
    newline = reader.convert_tokens_to_ids("[NL]")
    assert newline < student.get_input_embeddings().num_embeddings == student.get_output_embeddings().out_features
    ids = reader(escape_newlines("The pasta\r\nwas superb\n")).input_ids
    assert ids.count(newline) == 2
    assert reader.decode(ids, skip_special_tokens=True).count("[NL]") == 2
    save_student(student, reader, tmp_path / "student")
    again = load_student(str(tmp_path / "student"))[1]
    assert again(escape_newlines("The pasta\r\nwas superb\n")).input_ids == ids


def gpt2(tokenizer):
    return GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), n_embd=16, n_layer=1, n_head=2))


def bert(tokenizer):
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    return BertForMaskedLM(BertConfig(vocab_size=len(tokenizer), **shape))


@pytest.mark.parametrize("make", [gpt2, bert], ids=["gpt2", "bert"])
def test_a_checkpoint_that_is_no_sequence_to_sequence_is_told_so(tmp_path, make):
    tokenizer = tiny_tokenizer()
    save_student(make(tokenizer), tokenizer, tmp_path)
    with pytest.raises(ValueError, match=rf"is a {make.__name__} checkpoint, .* A student must: T5, .* Flan-T5"):
        load_student(str(tmp_path))


def test_an_encoder_alone_is_no_student(tmp_path):
    tokenizer = tiny_tokenizer()
    save_student(T5EncoderModel(T5Config(vocab_size=len(tokenizer), **TINY_T5)), tokenizer, tmp_path)
    with pytest.raises(ValueError, match=r"lacks \d+ of the weights of a t5, decoder\.\S+ among them"):
        load_student(str(tmp_path))


def test_pickled_weights_are_not_read_and_the_way_out_is_told(fresh, tmp_path):
    save_student(*fresh, tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(OSError, match=r"has no model\.safetensors, and pickled weights .* @?\S*refs/pr/<number>"):
        load_student(str(tmp_path))


def test_nor_are_those_of_a_hub_and_nobody_is_asked_to_convert_them(hub, repo_id, fresh, tmp_path):
    save_student(*fresh, tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    HfApi().create_repo(repo_id)
    HfApi().upload_folder(repo_id=repo_id, folder_path=tmp_path)
    # The guard of tests/conftest.py fails the test if the Space that converts is called.
    with pytest.raises(OSError, match=rf"{repo_id} has no model\.safetensors, .* {repo_id}@refs/pr/<number>"):
        load_student(repo_id)


def test_sentinels_are_t5s_and_change_no_other_piece(fresh):
    texts = [escape_newlines(text) for text in (*SENTENCES, "one line\nand another")]
    model, tokenizer = fresh_student(texts, **SHAPE, sentinels=100)
    plain = fresh[1]
    assert model.get_input_embeddings().num_embeddings == len(tokenizer) == len(plain) + 100
    first, last, newline = tokenizer.convert_tokens_to_ids(["<extra_id_0>", "<extra_id_99>", "[NL]"])
    assert (first - last, newline - first) == (99, 1)  # as in t5-base: 32,099, 32,000 and 32,100
    assert tokenizer(SENTENCES[0]).input_ids == plain(SENTENCES[0]).input_ids
    assert tokenizer("<extra_id_0>").input_ids == [first, tokenizer.eos_token_id]
    assert tokenizer.decode(tokenizer("a <extra_id_5> b").input_ids, skip_special_tokens=True) == "a b"


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
