"""The report's folder: that each form is there, nothing half-written is left, and what is asked of it is checked."""

import csv
from itertools import product

import pytest

from hub_tools.evaluation import report as report_module
from hub_tools.evaluation.paper_tables import ReportError
from hub_tools.evaluation.report import Asked, make_report, read_numbers
from hub_tools.evaluation.results import COUNTS, SCORES


def rows(models=("base", "distilled"), shares=(1.0,), configs=("tsa-rest14",)):
    counts = dict.fromkeys(COUNTS, 10)
    return [
        {"model": model, "config": config, "split": "test_hard", "subset": "all", "seed": seed, "train_share": share}
        | dict.fromkeys(SCORES, 0.5 * share + 0.01 * seed)
        | counts
        for model, config, share, seed in product(models, configs, shares, (1, 2))
    ]


def test_tables_and_pictures_are_there_in_every_form(tmp_path):
    report = make_report(rows(shares=(1.0, 0.5)), [], Asked("A title", reviews={"base": ("ours", 0)}), tmp_path / "r")
    found = {path.relative_to(tmp_path / "r").as_posix() for path in (tmp_path / "r").rglob("*") if path.is_file()}
    tables = ("table_4", "table_4_strict", "rules", "shares")
    pictures = ("scores", "rules", "shares", "reviews")
    assert found == {
        "results.md",
        "results.csv",
        *(f"tables/{name}.{suffix}" for name in tables for suffix in ("md", "tex", "csv")),
        *(f"figures/{name}.{suffix}" for name in pictures for suffix in ("svg", "png")),
    }
    text = (tmp_path / "r" / "results.md").read_text()
    assert all(f"(figures/{name}.png)" in text for name in pictures)
    assert "Tests and intervals: the results hold no predictions." in text
    assert report.baseline == "base"
    assert "(report/figures/scores.png)" in report.section("report")
    with (tmp_path / "r" / "results.csv").open() as file:
        first = next(csv.DictReader(file))
    assert (first["model"], first["config"], float(first["f1_mean"])) == ("base", "tsa-rest14", 51.5)


def test_it_says_at_which_revisions_and_on_what_the_results_were_computed(tmp_path):
    made = [row | {"git_revision": f"c0ffee{row['seed']}", "hardware": "Xeon, 2 cores"} for row in rows()]
    make_report(made, [], Asked("A title"), tmp_path / "told")
    text = (tmp_path / "told" / "results.md").read_text()
    assert "by `recipes/finetune.py`: git revision c0ffee1, c0ffee2; hardware Xeon, 2 cores." in text
    make_report(rows(), [], Asked("A title"), tmp_path / "silent")  # rows of somebody else's runs
    assert "git revision" not in (tmp_path / "silent" / "results.md").read_text()


def test_an_earlier_report_goes_only_when_the_new_one_is_whole(tmp_path, monkeypatch):
    folder = tmp_path / "r"
    folder.mkdir()
    (folder / "results.md").write_text("old")

    def fails(*_):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(report_module, "write", fails)
        with pytest.raises(OSError, match="disk full"):
            make_report(rows(), [], Asked("T"), folder)
    assert [path.name for path in tmp_path.rglob("*")] == ["r", "results.md"]
    make_report(rows(), [], Asked("T"), folder)
    assert (folder / "results.md").read_text() != "old"
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


@pytest.mark.parametrize(
    "asked",
    [
        Asked("T", baselines=["t5"]),
        Asked("T", sampling=["t5"]),
        Asked("T", reviews={"t5": ("ours", 1)}),
        Asked("T", parameters={"t5": ("ours", 1)}),
    ],
    ids=["baseline", "sampling", "reviews", "parameters"],
)
def test_a_model_without_results_is_refused_before_anything_is_written(tmp_path, asked):
    with pytest.raises(ReportError, match=r"no results of 't5'; the models with results: base, distilled\."):
        make_report(rows(), [], asked, tmp_path / "r")
    assert list(tmp_path.iterdir()) == []


def test_a_model_is_a_baseline_once(tmp_path):
    with pytest.raises(ReportError, match="a model is a baseline once; found: base, base"):
        make_report(rows(), [], Asked("T", baselines=["base", "base"]), tmp_path / "r")


def test_results_of_shares_only_are_refused(tmp_path):
    with pytest.raises(ReportError, match="no model that was trained on all sentences"):
        make_report(rows(shares=(0.1,)), [], Asked("T"), tmp_path / "r")


def test_numbers_are_given_by_label_and_may_name_a_line():
    assert read_numbers(["base=0", "with:distilled=1e5"]) == {"base": ("ours", 0.0), "distilled": ("with", 1e5)}
    for wrong in ("base", "base=", "=5", "base=many", "base=-1", "base=nan", "base=inf", "with:=3"):
        with pytest.raises(ReportError, match="expected label=number"):
            read_numbers([wrong])
