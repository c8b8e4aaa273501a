"""What the card says of its data: counts, origins and changes, of the configs that are there and no others."""

from collections import Counter

import pytest

from hub_tools.benchmarks import fsa, quads
from hub_tools.benchmarks.card import CONFIGS, check_configs, counts, limits, origins, said_changes
from hub_tools.benchmarks.records import BenchmarkError


def test_counts_are_those_of_either_kind_and_empty_where_nobody_annotated():
    aspect = {"from": "0", "to": "4", "target": "soup", "category": None, "polarity": "positive"}
    pair = fsa.build_rows([{"ID": "1", "sentence": "soup!", "aspects": [aspect]}], "tsa", hard=False)
    twice = [["NULL", "bad", "food quality", "negative"]] * 2 + [["soup", "NULL", "food quality", "positive"]]
    quad = quads.build_rows([{"ID": 1, "sentence": "bad soup", "quads": twice}], "acos")
    of_pair, of_quad = counts({"tsa-rest14": {"train": pair}, "acos-rest16": {"test": quad}})
    names = ("config", "split", "sentences", "targets", "aspects", "quads")
    sentences_with = ("implicit aspect", "implicit opinion", "multiple")
    assert tuple(of_pair.values()) == ("tsa-rest14", "train", 1, 1, None, None, None, None, 0)
    assert tuple(of_quad.values()) == ("acos-rest16", "test", 1, 1, 2, 3, 1, 1, 1)
    assert tuple(of_pair) == tuple(of_quad) == (*names, *sentences_with)


@pytest.mark.parametrize("form", quads.FORMS)
def test_every_config_has_an_origin_and_none_is_named_that_is_not_there(form):
    for config in CONFIGS:
        found = origins([config], form)
        if config != "acos-laptop16" or form == "detokenised":  # ACOS collected its laptop reviews itself
            assert len(found) >= 2
        assert {name for origin in found for name in origin.configs} == {config}
        assert all(origin.licence and origin.url.startswith("https://") for origin in found)
    named = {origin.name for origin in origins(CONFIGS, form)}
    assert any("ST-w-Scorer" in name for name in named) == (form == "detokenised")


def test_limits_are_those_of_the_configs():
    assert not any("ASQP" in text or "quadruple" in text.lower() for text in limits(fsa.CONFIGS, "raw"))
    assert any("must not be tested on `asqp-rest15`" in text for text in limits(CONFIGS, "detokenised"))
    assert any("a space around every token" in text for text in limits(CONFIGS, "raw"))
    assert not any("a space around every token" in text for text in limits(CONFIGS, "detokenised"))


def test_changes_are_said_with_their_numbers():
    assert said_changes({"a": Counter({"spans moved": 3, "words lost": 0}), "b": Counter()}) == [
        "`a`: spans moved: 3."
    ]


@pytest.mark.parametrize("configs", [[], ["tsa-rest14", "tsa-rest14"], ["tsa-rest14", "rest14"]])
def test_configs_are_known_and_named_once(configs):
    check_configs(CONFIGS)
    with pytest.raises(BenchmarkError, match=r"`configs` should name different configs of the benchmark, found "):
        check_configs(configs)
