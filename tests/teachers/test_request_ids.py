"""A set of request ids answers as a Python set of the same texts does."""

import hashlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tools.teachers import request_ids
from hub_tools.teachers.request_ids import KEY_BYTES, RequestIds, keys_of


DIGITS = st.text("0123456789abcdef", min_size=32, max_size=32)
# Few different digits make ids that share a beginning, an end, or all but one digit; 00 is a byte numpy strips.
ALIKE = st.builds(lambda a, b, n: a * n + b * (32 - n), *[st.sampled_from("01f")] * 2, st.integers(0, 32))
IDS = st.one_of(
    DIGITS, ALIKE, DIGITS.map(str.upper), st.text(max_size=33), st.text(string.hexdigits + " ", max_size=34)
)


@given(st.lists(IDS), st.lists(IDS), st.lists(IDS))
def test_it_holds_what_a_set_holds(first: list[str], added: list[str], others: list[str]):
    ids, plain = RequestIds(first), set(first)
    assert len(ids) == len(plain)
    for some in (added, others):
        asked = first + added + others
        assert ids.contains(asked) == [one in plain for one in asked]
        assert [one in ids for one in asked] == [one in plain for one in asked]
        ids.add(some)
        plain.update(some)
        assert len(ids) == len(plain)
    assert RequestIds.from_keys(keys_of(asked)).contains(asked) == [True] * len(asked)


@given(st.lists(IDS, min_size=1))
def test_the_key_of_an_id_does_not_depend_on_its_company(ids: list[str]):
    assert keys_of(ids) == b"".join(keys_of([one]) for one in ids)


def test_the_key_of_a_request_id_is_the_number_it_writes():
    text = hashlib.sha256(b"soup").hexdigest()[:32]
    assert keys_of([text]).hex() == text
    assert len(keys_of(["q1", text, "\ud83d"])) == 3 * KEY_BYTES
    assert text.upper() not in RequestIds([text])
    assert 7 not in RequestIds([text])


def test_ids_added_one_by_one_are_found_before_and_after_they_are_sorted_in(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(request_ids, "_UNSORTED", 8)
    ids, texts = RequestIds(), [hashlib.sha256(bytes([n])).hexdigest()[:32] for n in range(100)]
    for number, text in enumerate(texts):
        ids.add([text, text])
        assert len(ids) == number + 1
    assert ids.contains([*texts, "other"]) == [True] * 100 + [False]
