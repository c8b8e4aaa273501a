"""Words, quotations and what of them stands in another text."""

import doctest

from hypothesis import given
from hypothesis import strategies as st

from hub_tools.corpus import words
from hub_tools.corpus.words import normalise, overlap, quotations, quoted_from, stands_in


def test_the_docstrings_tell_the_truth():
    assert doctest.testmod(words).failed == 0


def test_typing_errors_and_tidied_quotations_are_the_reviews_own():
    review = normalise("didnt expect much. it's comfortabel, the zipers are a little sticky")
    assert stands_in(normalise("zippers"), review)
    assert quoted_from("Didn't expect much", review)
    assert quoted_from("comfortable … the zippers are [very] sticky", review)
    assert not quoted_from("the best backpack of all", review)


def test_a_target_that_is_only_implied_does_not_stand_in_the_review():
    assert not stands_in(normalise("wireless adapter"), normalise("it only gets 3 bars"))
    assert not stands_in(normalise("!?"), normalise("it only gets 3 bars"))


@given(st.text(), st.text())
def test_no_text_is_too_strange(one: str, other: str):
    assert 0 <= overlap(normalise(one), normalise(other)) <= 1
    assert all(len(normalise(quotation)) > 1 for quotation in quotations(one))
    stands_in(normalise(one), normalise(other))


@given(st.text())
def test_a_text_stands_in_itself(text: str):
    if normalise(text):
        assert stands_in(normalise(text), normalise(text))
    if len(normalise(text)) >= 4:
        assert overlap(normalise(text), normalise(text)) == 1
