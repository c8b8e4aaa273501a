"""A pair gets the review that it was made of, or an error."""

import pytest

from hub_tools.corpus.pairs import Judge
from hub_tools.corpus.rejoin import rejoined
from tests.corpus.replies import TEXT, analysis, reply, review


@pytest.fixture
def pair() -> dict:
    return {**Judge().judge(reply(analysis()), review()).pair, "input": None}


def test_a_pair_without_its_review_gets_it_back(pair):
    whole = {**pair, "input": TEXT}
    assert list(rejoined([pair, whole], {"r": TEXT})) == [whole, whole]


def test_a_review_that_is_missing_or_was_changed_is_named(pair):
    with pytest.raises(ValueError, match=r"review 'r' is not among the 1 reviews given"):
        list(rejoined([pair], {"other": TEXT}))
    with pytest.raises(ValueError, match=r"review 'r' has another text than the pair was made of"):
        list(rejoined([pair], {"r": TEXT.lower()}))
