"""What becomes of a text on its way to token ids, and what the account says was lost."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import tiny_tokenizer
from tokenizers import normalizers
from transformers import ByT5Tokenizer

from hub_tools.students.encoding import DroppedSigns, Encoder, in_chunks, tokenizer_digest, truncate


TOKENIZER = tiny_tokenizer()


def encoded(source: str, target: str = "ok", tokenizer=TOKENIZER, limits: tuple[int, int] = (128, 400)):
    batch, cost = Encoder(tokenizer, *limits).encode([("r1", source, target)])
    row = batch.to_pylist()[0]
    return row["source"], row["target"], cost


def forgetful(*rules: normalizers.Normalizer):
    """A tokenizer that normalises, as T5's own does."""
    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.normalizer = normalizers.Sequence(list(rules))
    return tokenizer


def test_a_pair_is_what_the_tokenizer_makes_of_its_texts_with_line_breaks_marked():
    source, target, cost = encoded("The pasta was superb\r\nbut dim.\n", "Sentiment:\npositive")
    assert source == TOKENIZER("The pasta was superb[NL]but dim.[NL]")["input_ids"]
    assert target == TOKENIZER("Sentiment:[NL]positive")["input_ids"]
    assert cost["input_tokens"] == len(source)
    assert cost["tokens"] == len(source) + len(target)


def test_no_task_prefix_stands_before_the_review():
    assert TOKENIZER.decode(encoded("The pasta")[0], skip_special_tokens=True).strip() == "The pasta"


def test_truncation_keeps_the_end_mark_and_counts_what_it_cuts():
    source, target, cost = encoded("a b c d e f", "a b c", limits=(4, 4))  # 7 and 4 tokens with the end mark
    assert (len(source), source[-1]) == (4, TOKENIZER.eos_token_id)
    assert TOKENIZER.decode(source[:-1]) == "a b c"
    assert target == TOKENIZER("a b c")["input_ids"]
    assert {name: cost[name] for name in cost if "trunc" in name or "cut" in name} == {
        "truncated_inputs": 1,
        "truncated_targets": 0,
        "cut_input_tokens": 3,
        "cut_target_tokens": 0,
    }


@given(st.lists(st.integers(3, 9), max_size=12).map(lambda ids: [*ids, 1]), st.integers(2, 14))
def test_truncation_gives_the_same_start_and_one_end(ids: list[int], limit: int):
    kept = truncate(ids, limit, end=1)
    assert len(kept) == min(limit, len(ids))
    assert kept[-1] == 1
    assert kept[:-1] == ids[: len(kept) - 1]


def test_unknown_signs_are_counted_among_what_is_kept():
    cost = encoded("€ and 中 € €", limits=(5, 5))[2]  # ▁ <unk> ▁and ▁ … and the end: the others are cut
    assert cost["unknown_tokens"] == 1
    assert cost["dropped_characters"] == 0, "an unknown sign leaves a token"


@pytest.mark.parametrize("mark", ["</s>", "<pad>", "<unk>", "<extra_id_0>"])
def test_a_special_token_that_a_text_spells_is_taken_out_and_counted(mark: str):
    source, target, cost = encoded(f"one {mark} two", f"three{mark}{mark}\nfour")
    assert source == TOKENIZER("one two")["input_ids"]
    assert target == TOKENIZER("three [NL]four")["input_ids"]
    assert cost["removed_marks"] == 3


def test_no_special_token_comes_of_taking_others_out():
    assert not {*encoded("<</s>pad> </</s>s>")[0][:-1]} & {0, 1}


@pytest.mark.parametrize(
    ("text", "dropped"),
    [
        ("a\u200bb", 1),
        ("\x07\x07 a \x07", 3),
        ("cafe\u0301", 1),
        ("ﬁne… ½", 0),
        ("  a \t b ", 0),
        ("€", 0),
        ("", 0),
    ],
    ids=["zero width", "control", "accent", "normalised", "white space", "unknown", "empty"],
)
def test_signs_that_leave_no_token_are_counted(text: str, dropped: int):
    rules = (
        normalizers.NFKD(),
        normalizers.Replace("\u200b", " "),
        normalizers.Replace("\x07", ""),
        normalizers.StripAccents(),
    )
    assert DroppedSigns(forgetful(*rules)).count([text]) == dropped


def test_a_tokenizer_of_bytes_loses_nothing_and_is_taken_too():
    tokenizer = ByT5Tokenizer()
    tokenizer.add_tokens(["[NL]"])
    source, _, cost = encoded("€\u200b\x07 中", tokenizer=tokenizer)
    assert tokenizer.decode(source[:-1]) == "€\u200b\x07 中"
    assert cost["unknown_tokens"] == cost["dropped_characters"] == 0


def test_ids_take_two_bytes_until_the_vocabulary_needs_four():
    assert str(Encoder(TOKENIZER, 8, 8).schema.field("source").type.value_type) == "uint16"
    large = tiny_tokenizer(f"word{number}" for number in range(2**16))
    assert str(Encoder(large, 8, 8).schema.field("source").type.value_type) == "uint32"
    assert encoded("word65535", tokenizer=large)[0] == large("word65535")["input_ids"]


def test_the_digest_of_a_tokenizer_is_of_what_decides_ids():
    digest = tokenizer_digest(tiny_tokenizer())
    used = tiny_tokenizer()
    used(["a", "b c d"], padding=True, truncation=True, max_length=2)
    assert tokenizer_digest(used) == digest, "how it was used last decides nothing"
    more = tiny_tokenizer()
    more.add_tokens(["[MORE]"])
    others = [more, tiny_tokenizer(newline_token=False), tiny_tokenizer(["superb!"]), forgetful(normalizers.NFKC())]
    assert len({digest, *map(tokenizer_digest, others)}) == 5


def test_the_digest_outlives_saving(tmp_path):
    TOKENIZER.save_pretrained(tmp_path)
    assert tokenizer_digest(type(TOKENIZER).from_pretrained(tmp_path)) == tokenizer_digest(TOKENIZER)


@pytest.mark.parametrize(("limits", "name"), [((1, 9), "max_input"), ((9, 0), "max_target")])
def test_a_limit_without_room_for_a_token_is_refused(limits: tuple[int, int], name: str):
    with pytest.raises(ValueError, match=f"{name} must be at least 2"):
        Encoder(TOKENIZER, *limits)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"review_id": "r", "input": "a"}, "row 1 has no target; .* found: review_id, input"),
        ({"review_id": "r", "input": None, "target": "b"}, "row 1 has no input"),
        ({"review_id": "r", "input": "a", "target": ["b"]}, "row 1: target is no text but a list"),
        ({"review_id": "r", "input": json.loads('"a\\ud83d"'), "target": "b"}, "row 1: input holds .*half of a sign"),
        ({"review_id": "\ud800", "input": "a", "target": "b"}, "row 1: review_id holds .*half of a sign"),
    ],
    ids=["no column", "no text", "a list", "half a sign", "half a sign in the id"],
)
def test_a_row_without_its_texts_is_refused_by_number(row: dict, told: str):
    with pytest.raises(ValueError, match=told):
        list(in_chunks([{"review_id": "r", "input": "a", "target": "b"}, row], 1))


@given(st.integers(0, 20), st.integers(1, 7))
def test_chunks_hold_every_row_once_in_order(rows: int, chunk: int):
    pairs = [{"review_id": number, "input": "a", "target": "b"} for number in range(rows)]
    chunks = list(in_chunks(iter(pairs), chunk))
    assert [row[0] for each in chunks for row in each] == [str(number) for number in range(rows)]
    assert all(len(each) == chunk for each in chunks[:-1])
