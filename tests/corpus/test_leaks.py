"""The benchmark's own leaks, counted as others have counted them."""

from hub_tools.benchmarks import fsa, quads
from hub_tools.corpus.leaks import Leak, cross_set_leaks, leaks


def sentences(builds):
    return {
        config: {split: [row["sentence"] for row in rows] for split, rows in splits.items()}
        for config, splits in builds.items()
    }


def test_sentences_are_the_same_whatever_their_case_and_punctuation():
    sets = {
        "a": {"train": ["Good food.", "Bad!"], "test": ["bad"]},
        "b": {"train": ["GOOD FOOD"], "validation": ["Good food."], "test": ["x"], "test_hard": ["x", "Bad!"]},
    }
    assert list(leaks(sets)) == [
        Leak("a", "test", "a", 1, 0),
        Leak("b", "validation", "a", 1, 1),
        Leak("b", "validation", "b", 1, 0),
        Leak("b", "test_hard", "a", 1, 1),
    ]
    assert cross_set_leaks(sets) == [
        {"evaluated": "a test", "of": 1, "a": "1 (0)", "b": None},
        {"evaluated": "b validation", "of": 1, "a": "1 (1)", "b": "1 (0)"},
        {"evaluated": "b test_hard", "of": 2, "a": "1 (1)", "b": None},
    ]
    assert cross_set_leaks({"a": {"train": ["x"], "test": ["y"]}}) == []


def test_what_is_in_train_and_validation_counts_once():
    sets = {"a": {"train": ["x"], "validation": ["X"], "test": ["x"]}}
    assert list(leaks(sets)) == [Leak("a", "validation", "a", 1, 0), Leak("a", "test", "a", 1, 1)]


def test_the_official_files_leak_what_is_known_of_them(data):
    sets = sentences({config: fsa.build(data, config) for config in fsa.CONFIGS})
    trained = {
        config: {split: rows for split, rows in splits.items() if split != "validation"}
        for config, splits in sets.items()
    }
    found = {(leak.config, leak.split, leak.other): leak.sentences for leak in leaks(trained)}
    own_train = {config: found.get((config, "test_hard", config), 0) for config in sets}
    assert own_train == {"tsa-rest14": 2, "tsa-laptop14": 0, "asa-rest16": 7, "asa-laptop16": 3}
    assert found["tsa-rest14", "test_hard", "asa-rest16"] == 3
    found = {(leak.config, leak.split, leak.other): leak.sentences for leak in leaks(sets)}
    own_validation = {config: found[config, "validation", config] for config in sets}
    assert own_validation == {"tsa-rest14": 6, "tsa-laptop14": 8, "asa-rest16": 6, "asa-laptop16": 7}
    # The sets of one domain are samples of the same reviews: most of what one validates on, another trains on.
    assert found["tsa-rest14", "validation", "asa-rest16"] == 209


def test_the_test_set_of_asqp_rest15_is_what_the_sets_of_2016_train_on(data):
    """SemEval 2016 trains on what SemEval 2015 tested on: no model of the one may be tested on the other."""
    builds = {config: quads.build(data, config) for config in ("asqp-rest15", "asqp-rest16", "acos-rest16")}
    builds |= {"asa-rest16": fsa.build(data, "asa-rest16")}
    found = {(leak.config, leak.split, leak.other): leak.sentences for leak in leaks(sentences(builds))}
    tested = {other: found["asqp-rest15", "test", other] for other in builds}
    assert tested["asqp-rest15"] == 7
    assert min(tested["asqp-rest16"], tested["acos-rest16"], tested["asa-rest16"]) > 500
