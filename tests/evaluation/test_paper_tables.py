"""Our results in the paper's layout: averages by hand, published numbers apart, what is missing named."""

import pytest

from hub_tools.evaluation.paper_tables import ReportError, config_name, paper_tables
from hub_tools.evaluation.published import FSA, QUADS
from hub_tools.evaluation.results import SCORES
from hub_tools.evaluation.tables import summarise
from hub_tools.evaluation.typesetting import Value


def row(model, config, f1, subset="all", seed=1, share=1.0, strict_f1=None):
    split = "test" if config in QUADS else "test_hard"
    strict = {name: f1 if strict_f1 is None else strict_f1 for name in SCORES if name.startswith("strict")}
    place = {"model": model, "config": config, "split": split, "subset": subset, "seed": seed, "train_share": share}
    return place | dict.fromkeys(SCORES, f1) | strict | {"n_sentences": 10}


def made(rows, baseline="base", **options):
    tables, missing = paper_tables(summarise(rows), baseline, **options)
    return {table.name: table for table in tables}, missing


def whole(model, f1):
    """A model with the same score everywhere in Table 4."""
    return [row(model, config, f1, subset) for config in FSA for subset in ("all", "implicit", "multiple")]


def test_table_4_prints_the_baselines_average_and_the_others_difference_to_it():
    rows = whole("base", 0.5) + whole("distilled", 0.54)
    rows += [row("base", config, 0.5, subset, seed=2) for config in FSA for subset in ("all", "implicit", "multiple")]
    tables, _ = made(rows)
    ours, published = tables["table_4"].blocks
    assert len(tables["table_4"].columns) == 14
    assert ours.lines[0][0] == "base"
    assert ours.lines[0][1] == Value(50, 0)
    assert ours.lines[0][-1] == Value(50)
    assert ours.lines[1][-1] == Value(pytest.approx(4), signed=True)
    assert "not to be ranked" in published.heading
    assert published.lines[0][-1] == Value(56.20)
    assert published.lines[1][-1] == Value(1.05, signed=True)


def test_the_strict_table_stands_beside_without_published_numbers():
    tables, _ = made([row("base", "tsa-rest14", 0.5, strict_f1=0.4)])
    assert len(tables["table_4_strict"].blocks) == 1
    assert tables["table_4_strict"].blocks[0].lines[0][1] == Value(pytest.approx(40))


def test_the_average_is_over_the_cells_that_the_baseline_has():
    rows = [row("base", "tsa-rest14", 0.2), row("base", "asa-rest16", 0.4), row("distilled", "tsa-rest14", 0.6)]
    rows += [row("distilled", "tsa-laptop14", 0.9), row("other", "tsa-rest14", 0.3), row("other", "asa-rest16", 0.4)]
    tables, _ = made(rows)
    averages = {line[0]: line[-1] for line in tables["table_4"].blocks[0].lines}
    assert averages["base"] == Value(pytest.approx(30))
    assert averages["distilled"] is None  # it lacks one of the two
    assert averages["other"] == Value(pytest.approx(5), signed=True)
    assert "mean of the 2 cells that base has" in tables["table_4"].note


def test_the_baseline_comes_first_and_a_model_without_any_cell_has_no_line():
    rows = [row("distilled", "tsa-rest14", 0.5), row("base", "tsa-rest14", 0.4), row("quads", "acos-rest16", 0.4)]
    tables, _ = made(rows)
    assert [line[0] for line in tables["table_4"].blocks[0].lines] == ["base", "distilled"]
    assert [line[0] for line in tables["table_13"].blocks[0].lines] == ["quads"]
    assert tables["table_13"].blocks[0].lines[0][-1] == Value(pytest.approx(40))


def test_models_trained_on_a_share_are_not_in_the_tables():
    tables, _ = made([row("base", "tsa-rest14", 0.5), row("base", "tsa-rest14", 0.1, share=0.1)])
    assert tables["table_4"].blocks[0].lines[0][1] == Value(50)


def test_table_6_shows_the_models_that_it_is_told():
    rows = [row(model, "tsa-rest14", 0.5, "multiple") for model in ("base", "R11111", "R12421", "other")]
    tables, missing = made(rows, sampling=["R12421", "R11111"])
    assert [line[0] for line in tables["table_6"].blocks[0].lines] == ["base", "R12421", "R11111"]
    assert not [line for line in missing if "Table 6" in line]
    assert any("`sampling` names no models" in line for line in made(rows)[1])


def test_tables_without_results_are_named_as_missing():
    tables, missing = made([row("base", "tsa-rest14", 0.5)])
    assert set(tables) == {"table_4", "table_4_strict"}
    assert any(line.startswith("Table 12") and "split `test`" in line for line in missing)
    assert any(line.startswith("Table 13") and "acos-laptop16" in line for line in missing)


def test_quads_have_their_implicit_subsets_in_a_table_of_their_own():
    rows = [row("base", "acos-rest16", 0.5), row("base", "acos-rest16", 0.3, "implicit_opinion")]
    table = made(rows)[0]["table_13_subsets"]
    assert table.blocks[0].lines == [["ACOS-Rest16", "base", Value(50), None, Value(30), None]]
    assert len(table.blocks) == 2  # by both rules


def test_published_numbers_can_be_left_out():
    tables, _ = made([row("base", "tsa-rest14", 0.5)], with_published=False)
    assert len(tables["table_4"].blocks) == 1


def test_an_unknown_baseline_or_sampling_model_says_which_there_are():
    with pytest.raises(ReportError, match="no results of R1, t5; the results' models: base"):
        made([row("base", "tsa-rest14", 0.5)], baseline="t5", sampling=["R1"])


def test_configs_are_named_as_the_paper_names_them():
    assert [config_name(config) for config in ("tsa-rest14", "asqp-rest15", "mine")] == [
        "TSA-Rest14",
        "ASQP-Rest15",
        "mine",
    ]
