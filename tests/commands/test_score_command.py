"""`fsa score` as its user meets it: tables, JSON, lines on stderr, exit statuses."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hub_tools import cli
from hub_tools.commands import score
from hub_tools.evaluation.rules import RULES


GOLD = [
    {"id": 1, "sentence": "Good food, rude staff.", "text": "food | positive ; staff | negative", "implicit": False},
    {"id": 2, "sentence": "We left.", "text": "", "implicit": False},
]
PREDICTIONS = [{"id": 2, "prediction": "pizza | negative"}, {"id": 1, "prediction": "food | positive"}]

SENTENCE = "The spicy tuna roll was great, the waiter rude."
QUADS = ["food quality | positive | spicy tuna roll | great", "service general | negative | waiter | rude"]
IMPLICIT = "food prices | negative | none | none"


@pytest.fixture
def write(tmp_path):
    def to_file(name, rows):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(tmp_path / name)

    return to_file


@pytest.fixture
def scored(write):
    return [write("predictions.jsonl", PREDICTIONS), write("gold.jsonl", GOLD)]


@pytest.fixture
def runs(write):
    """Forty sentences of two or three quads: a run with some wrong polarities, and one that writes one quad each."""
    gold = [" ; ".join([*QUADS, IMPLICIT] if i % 4 == 0 else QUADS) for i in range(40)]
    better = [text.replace("negative", "neutral") if i % 10 == 0 else text for i, text in enumerate(gold)]
    rows = [{"id": i, "sentence": SENTENCE, "reference": gold[i], "prediction": better[i]} for i in range(40)]
    return [
        write("better.jsonl", rows),
        write("worse.jsonl", [{"id": i, "prediction": QUADS[i % 2]} for i in range(40)]),
    ]


def cells(out):
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if line.startswith("│")]


def printed(capsys, *command):
    assert cli.main(["score", *command]) == 0
    return capsys.readouterr().out


def test_score_prints_both_rules(scored):
    """As a command of its own, installed. 2 gold; paper: 1 predicted (pizza is invented), 1 right; strict: 2, 1."""
    finished = subprocess.run(
        [Path(sys.executable).parent / "fsa", "score", *scored, "--task", "tsa"], capture_output=True, text=True
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    assert ["All", "paper", "100.00", "50.00", "66.67"] in cells(finished.stdout)
    assert ["All", "strict", "50.00", "50.00", "50.00"] in cells(finished.stdout)
    assert "n_" not in finished.stdout
    assert "invented 1" in finished.stdout


def test_score_shows_a_dash_for_a_subset_without_sentences_and_nothing_for_one_that_is_unknown(scored, capsys):
    out = printed(capsys, *scored, "--task", "tsa")
    implicit = [line.replace(" ", "") for line in out.splitlines() if "Implicit" in line]
    assert implicit == ["│Implicit│paper│–│–│–│", "│Implicit│strict│–│–│–│"]
    assert "Multiple" not in out


@pytest.mark.parametrize(
    ("rule", "shown"),
    [
        ("paper", ["paper", "strict"]),
        ("strict", ["strict"]),
        ("partial", ["partial", "strict"]),
        ("absa-quad", ["absa-quad", "strict"]),
        ("all", list(RULES)),
    ],
)
def test_strict_is_printed_beside_whatever_rule_is_chosen(scored, capsys, rule, shown):
    out = printed(capsys, *scored, "--task", "tsa", "--rule", rule)
    assert [line[1] for line in cells(out) if line[0] == "All"] == shown
    assert ("may exceed 100" in out) == (rule in ("absa-quad", "all"))


def test_the_rules_of_the_command_are_those_of_the_scorer():
    assert score.RULES == RULES


def test_score_gives_json_to_programs(scored, capsys):
    scores = json.loads(printed(capsys, *scored, "--task", "tsa", "--json"))
    assert (scores["f1"], scores["strict_f1"], scores["n_invented"]) == (pytest.approx(2 / 3), 0.5, 1)
    assert not {"intervals", "against", "breakdown"} & set(scores)


def test_one_file_is_enough_where_it_holds_gold_too_and_quads_have_their_subsets(runs, capsys):
    scores = json.loads(printed(capsys, runs[0], "--task", "acos", "--json", "--rule", "partial"))
    assert (scores["n_sentences"], scores["n_gold"], scores["n_implicit_aspect"]) == (40, 90, 10)
    assert scores["f1"] == pytest.approx((90 - 6) / 90)  # sentences 0 and 20 have two negative quads, 10 and 30 one
    assert scores["partial_f1"] == pytest.approx((90 - 3) / 90)
    out = printed(capsys, runs[0], "--task", "acos")
    assert [line[0] for line in cells(out)] == ["All", "All", *["Implicit aspect"] * 2, *["Implicit opinion"] * 2]


def test_the_number_of_fields_is_enough_of_a_task(write, capsys):
    rows = [{"sentence": "", "reference": "a | b | c", "prediction": "a | b | c ; d | e | f ; g | h"}]
    out = printed(capsys, write("triplets.jsonl", rows), "--task", "3", "--details")
    assert ["All", "paper", "50.00", "100.00", "66.67"] in cells(out)
    assert ["All", "strict", "33.33", "100.00", "50.00"] in cells(out)
    assert "polarity │" not in out


def test_details_are_tables_by_polarity_and_category_and_a_confusion(runs, capsys):
    out = printed(capsys, runs[0], "--task", "acos", "--details")
    assert ["negative", "100.00", "88.00", "93.62", "50", "44"] in cells(out)
    assert ["neutral", "0.00", "–", "0.00", "0", "6"] in cells(out)
    assert ["food prices", "80.00", "80.00", "80.00", "10", "10"] in cells(out)
    assert ["negative", "0", "6", "44", "0"] in cells(out)
    assert ["(not in gold)", "0", "0", "0", "0"] in cells(out)


def test_details_show_the_most_frequent_categories_and_say_how_many_more(write, capsys):
    gold = [" ; ".join(f"c{i} | positive" for i in range(25)), "c24 | positive"]
    path = write("many.jsonl", [{"sentence": "", "reference": text, "prediction": text} for text in gold])
    out = printed(capsys, path, "--task", "asa", "--details")
    shown = [line[0] for line in cells(out) if line[0].startswith("c")]
    assert (shown[0], len(shown)) == ("c24", 20)
    assert "and 5 more with less support" in out


def test_an_interval_holds_its_score(runs, capsys):
    scores = json.loads(printed(capsys, runs[0], "--task", "acos", "--interval", "--json"))
    rows = {(row["subset"], row["rule"]): row for row in scores["intervals"]}
    assert len(rows) == 6
    assert rows["all", "paper"]["low"] < scores["f1"] < rows["all", "paper"]["high"] < 1
    bounds = "–".join(f"{100 * rows['all', 'strict'][name]:.2f}" for name in ("low", "high"))
    out = printed(capsys, runs[0], "--task", "acos", "--interval")
    assert next(line for line in cells(out) if line[:2] == ["All", "strict"])[-1] == bounds


def test_two_predictions_are_tested_against_each_other(runs, capsys):
    found = json.loads(printed(capsys, runs[0], "--task", "acos", "--against", runs[1], "--json"))
    row = found["against"][0]
    assert (row["subset"], row["rule"]) == ("all", "paper")
    assert row["difference"] == pytest.approx(row["f1"] - row["other_f1"])
    assert row["other_f1"] == pytest.approx(2 * 40 / (40 + 90))
    assert 0 < row["low"] < row["difference"] < row["high"]
    assert row["p_value"] <= row["p_holm"] < 0.01
    out = printed(capsys, runs[0], "--task", "acos", "--against", runs[1])
    assert f"{runs[0]} against {runs[1]}:" in out.replace("\n", " ")
    paper = next(line for line in cells(out) if line[:2] == ["All", "paper"] and len(line) == 7)
    assert paper[2:4] == [f"{100 * row['other_f1']:.2f}", f"{100 * row['difference']:+.2f}"]
    assert "corrected for 3 subsets" in out


def test_a_file_against_itself_differs_by_nothing(runs, capsys):
    found = json.loads(printed(capsys, runs[0], "--task", "acos", "--against", runs[0], "--json"))
    assert {(row["difference"], row["p_value"], row["p_holm"]) for row in found["against"]} == {(0, 1, 1)}


def test_a_subset_without_sentences_is_not_tested(scored, capsys):
    out = printed(capsys, *scored, "--task", "tsa", "--against", scored[0])
    assert ["Implicit", "paper", "–", "–", "–", "–"] in cells(out)
    assert "corrected for 1 subset." in out


def test_score_tells_file_and_line_of_what_it_cannot_read(scored, capsys):
    Path(scored[0]).write_text('{"id": 1, "prediction": ""}\n{"id": 2}\n')
    assert cli.main(["score", *scored, "--task", "tsa"]) == 1
    assert capsys.readouterr().err == (
        f"fsa score: {scored[0]}:2: field 'prediction' should be text, found None; fields: id.\n"
    )


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["predictions.jsonl", "--task", "tsa"], "predictions.jsonl: holds no gold (fields: id, prediction)."),
        (
            ["predictions.jsonl", "gold.jsonl", "--task", "sentiment"],
            "unknown task 'sentiment'; allowed: tsa, asa, acos",
        ),
        (["predictions.jsonl", "gold.jsonl", "--task", "tsa", "--against", "no.jsonl"], "no.jsonl: cannot be read"),
        (
            ["predictions.jsonl", "gold.jsonl", "--task", "tsa", "--against", "gold.jsonl"],
            "gold.jsonl:1: field 'prediction' should be text, found None",
        ),
    ],
)
def test_score_tells_in_one_line_what_it_cannot_do(scored, tmp_path, monkeypatch, capsys, command, message):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["score", *command]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"fsa score: {message}")
    assert len(err.splitlines()) == 1
