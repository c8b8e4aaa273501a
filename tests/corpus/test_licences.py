"""Reviews are given away only where their licence says so."""

import doctest

import pytest

from hub_tools.corpus import licences
from hub_tools.corpus.licences import check_publishing, is_open
from hub_tools.reviews.formats import AMAZON_TERMS, YELP_TERMS


def test_the_docstrings_tell_the_truth():
    assert doctest.testmod(licences).failed == 0


@pytest.mark.parametrize(
    "licence", ["cc0-1.0", "CC-BY-SA-4.0", "cc-by-nc-4.0", "mit", "odc-by", "bsd-3-clause", "cc-by"]
)
def test_open_licences_are_known(licence: str):
    assert is_open(licence)


@pytest.mark.parametrize(
    "licence", ["", " ", "other", "cc", "cc-by-nc-nd-4.0", "mit or else", YELP_TERMS, AMAZON_TERMS]
)
def test_what_is_not_known_to_be_open_is_closed(licence: str):
    assert not is_open(licence)


def test_closed_reviews_stay_private_or_go_as_ids():
    sources = [("yelp", YELP_TERMS), ("sample", "apache-2.0"), ("mine", "")]
    for publish, private in (("text", True), ("ids", True), ("ids", False)):
        check_publishing(publish, private, sources)
    check_publishing("text", False, sources[1:2])
    with pytest.raises(ValueError, match=r"'yelp': Yelp.*; 'mine': unknown\). Set `publish: ids`.*`private: true`"):
        check_publishing("text", False, sources)
    with pytest.raises(ValueError, match=r"publish 'all'; allowed: text, ids"):
        check_publishing("all", True, [])
