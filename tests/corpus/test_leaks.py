"""The benchmark's own leaks, counted as others have counted them."""

from hub_tools.benchmarks import fsa
from hub_tools.corpus.leaks import cross_set_leaks


def test_sentences_are_the_same_whatever_their_case_and_punctuation():
    sets = {
        "a": {"train": ["Good food.", "Bad!"], "test": ["bad"]},
        "b": {"train": ["GOOD FOOD"], "validation": ["Good food."], "test": ["x"], "test_hard": ["x", "Bad!"]},
    }
    assert cross_set_leaks(sets) == [
        {"sentences of": "a test", "are also in": "a train", "sentences": 1, "word by word": 0},
        {"sentences of": "b validation", "are also in": "a train", "sentences": 1, "word by word": 1},
        {"sentences of": "b validation", "are also in": "b train", "sentences": 1, "word by word": 0},
        {"sentences of": "b test_hard", "are also in": "a train", "sentences": 1, "word by word": 1},
    ]
    assert cross_set_leaks({"a": {"train": ["x"], "test": ["y"]}}) == []


def test_the_official_files_leak_what_is_known_of_them(data):
    sets = {
        config: {split: [row["sentence"] for row in rows] for split, rows in fsa.build(data, config).items()}
        for config in fsa.CONFIGS
    }
    found = {(row["sentences of"], row["are also in"]): row["sentences"] for row in cross_set_leaks(sets)}
    own_train = {config: found.get((f"{config} test_hard", f"{config} train"), 0) for config in sets}
    assert own_train == {"tsa-rest14": 2, "tsa-laptop14": 0, "asa-rest16": 7, "asa-laptop16": 3}
    own_validation = {config: found[f"{config} validation", f"{config} train"] for config in sets}
    assert own_validation == {"tsa-rest14": 6, "tsa-laptop14": 8, "asa-rest16": 6, "asa-laptop16": 7}
    assert found["tsa-rest14 test_hard", "asa-rest16 train"] == 3
    # The sets of one domain are samples of the same reviews: most of what one validates on, another trains on.
    assert found["tsa-rest14 validation", "asa-rest16 train"] == 209
