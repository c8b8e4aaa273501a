"""The variants of a corpus, and what the ablations leave of an analysis."""

import doctest

from hypothesis import given
from hypothesis import strategies as st

from hub_tools.corpus import variants
from hub_tools.corpus.variants import ABLATIONS, VARIANTS, ablated, config_name, unions
from hub_tools.prompts.analysis import SENTIMENTS, read, write


words = st.text(st.characters(categories=("L", "N"), include_characters=" "), min_size=1).filter(
    lambda text: text == text.strip()
)


def test_the_docstrings_tell_the_truth():
    assert doctest.testmod(variants).failed == 0


def test_config_names_are_safe_for_the_hub():
    assert config_name("lexicon", "restaurant", "analysis") == "lexicon-restaurant-analysis"
    assert config_name("Org/Model 7B", "laptop", "rewriting") == "org-model-7b-laptop-rewriting"


def test_a_variant_without_parts_is_none():
    assert list(unions([("a", "analysis")])) == ["analysis", "both"]
    assert {*unions([("a", "analysis"), ("b", "rewriting")]), *ABLATIONS} == set(VARIANTS)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"target": words, "aspect": words, "sentiment": st.sampled_from(SENTIMENTS), "reasoning": words}
        ),
        min_size=1,
        max_size=4,
    )
)
def test_together_the_ablations_hold_each_line_of_an_analysis_once(opinions: list):
    reply = read(write(opinions))
    labels, reasonings = (text.split("\n") for text in ablated(reply).values())
    assert [line for line in labels if line] == [
        line for line in reply.text.split("\n") if line and not line.startswith("Reasoning: ")
    ]
    assert [line.partition(": ")[2] for line in reasonings if line] == [opinion["reasoning"] for opinion in opinions]
