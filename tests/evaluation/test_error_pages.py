"""A page per config and model: whose answers are on it, and what its file is called."""

import pytest

from hub_tools.evaluation.error_pages import write_pages
from hub_tools.evaluation.tables import complete


def rows(model, prediction, config="tsa-rest14", seed=1, share=1.0, ids=("1", "2")):
    facts = {
        "model": model,
        "config": config,
        "seed": seed,
        "train_share": share,
        "implicit": False,
        "multiple": False,
    }
    texts = {"sentence": "Good soup.", "reference": "soup | positive", "prediction": prediction, "hard": False}
    return complete({**facts, **texts, "id": id_} for id_ in ids)


def score(model, seed, validation_f1, config="tsa-rest14"):
    return {"model": model, "config": config, "seed": seed, "train_share": 1.0, "validation_f1": validation_f1}


def names(paths):
    return [path.name for path in paths]


def test_each_model_has_a_page_with_the_baselines_answers_beside(tmp_path):
    predictions = (
        rows("base", "soup | negative") + rows("t5 / big", "soup | positive") + rows("base", "", "asa-rest16")
    )
    pages, problems = write_pages([], predictions, "base", tmp_path / "browsers")
    assert (names(pages), problems) == (["tsa-rest14-t5-big.html", "asa-rest16-base.html"], [])
    assert "soup | negative" in pages[0].read_text()
    assert "tsa-rest14: t5 / big and base" in pages[0].read_text()


def test_the_run_with_the_best_validation_f1_is_shown(tmp_path):
    predictions = rows("base", "soup | neutral", seed=1) + rows("base", "soup | conflict", seed=2)
    ((page,), _) = write_pages([score("base", 1, 0.2), score("base", 2, 0.3)], predictions, "base", tmp_path)
    assert "soup | conflict" in page.read_text()
    assert "soup | neutral" not in page.read_text()


def test_models_of_a_share_have_no_page(tmp_path):
    assert write_pages([], rows("base", "", share=0.1), "base", tmp_path) == ([], [])


@pytest.mark.parametrize("model", ["../../etc", "ÄÖ", "a b", "A/B"])
def test_any_label_is_a_file_name_in_the_folder(tmp_path, model):
    pages, _ = write_pages([], rows("base", "") + rows(model, ""), "base", tmp_path / "browsers")
    assert [page.parent for page in pages] == [tmp_path / "browsers"]


def test_labels_that_come_to_one_file_name_have_two_pages(tmp_path):
    pages, _ = write_pages([], rows("base", "") + rows("a b", "") + rows("a-b", ""), "base", tmp_path)
    assert len(set(pages)) == len(list(tmp_path.iterdir())) == 2


def test_a_page_that_cannot_be_made_is_named(tmp_path):
    pages, problems = write_pages([], rows("base", "", ids=("1",)) + rows("other", ""), "base", tmp_path)
    assert pages == []
    assert problems[0].startswith("No error browser of other on tsa-rest14: ")
