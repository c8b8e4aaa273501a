"""The metric's page: its functions, and the page itself through gradio's own client and in a browser's terms."""

import importlib.util
import json
import sys
from pathlib import Path

import gradio
import pytest
from gradio_client import Client, handle_file


FOLDER = Path(__file__).resolve().parents[2] / "metrics" / "fsa_f1"
ALL = ["partial", "instructabsa", "absa-quad"]
ROWS = [
    {
        "id": 1,
        "sentence": "Good food, rude staff.",
        "reference": "food | positive ; staff | negative",
        "multiple": True,
    },
    {"id": 2, "sentence": "The soup.", "reference": "soup | neutral", "multiple": False},
]
SAID = [{"id": 2, "prediction": "soup | positive"}, {"id": 1, "prediction": "food | positive ; waiter | negative"}]


@pytest.fixture(scope="module")
def app():
    """The module app.py, with its sibling, as Python finds it when the folder is run."""
    known = "files" in sys.modules
    sys.path.insert(0, str(FOLDER))
    spec = importlib.util.spec_from_file_location("fsa_f1_app", FOLDER / "app.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(FOLDER))
    if not known:
        sys.modules.pop("files", None)


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_the_app_scores_pasted_lines(app):
    counts, scores, *_ = app.score_pasted(
        "Good food, rude staff.\nThe soup.", "food | positive\n", "food | positive\n\n", "tsa", []
    )
    assert scores == [
        ["all (2)", "paper", "100.00", "100.00", "100.00"],
        ["all (2)", "strict", "100.00", "100.00", "100.00"],
    ]
    assert "<b>2</b> sentences" in counts


def test_the_example_shows_how_the_rules_differ(app):
    _, scores, polarities, confusion, categories, by_category = app.score_pasted(*app.EXAMPLES[0], ALL)
    assert {rule: f1 for _, rule, _, _, f1 in scores} == {
        "paper": "28.57", "strict": "25.00", "partial": "41.67", "instructabsa": "44.44", "absa-quad": "22.22",
    }  # fmt: skip
    assert polarities["data"][2] == ["negative", "100.00", "50.00", "66.67", 2, 1, 1]
    assert polarities["data"][1][2] == "–"  # nothing neutral in gold: no share of it
    assert "<th scope='row'>spurious</th>" in confusion
    assert (categories["data"], by_category["visible"]) == ([], False)


def test_quads_have_categories_and_subsets_of_their_own(app):
    _, scores, _, _, categories, by_category = app.score_pasted(*app.EXAMPLES[1], ALL)
    assert {line[0] for line in scores} == {"all (2)", "implicit aspect (1)", "implicit opinion (1)"}
    assert [line[0] for line in categories["data"]] == ["food quality", "restaurant general", "service general"]
    assert by_category["visible"]


def test_a_tuple_without_polarity_has_none_to_confuse(app):
    _, scores, polarities, confusion, *_ = app.score_pasted("a", "x | y", "x | y", "2", ["partial"])
    assert scores[0][-1] == "100.00"
    assert polarities["data"] == []
    assert "no polarity" in confusion


def test_missing_lines_are_named(app):
    with pytest.raises(gradio.Error, match=r"found 1 predictions, 2 references, 2 sentences.*one line per sentence"):
        app.score_pasted("a\nb", "a | positive\n", "a | positive", "tsa", ALL)


def test_files_are_joined_by_id_or_are_one(app, tmp_path):
    predictions, gold = write_lines(tmp_path / "p.jsonl", SAID), write_lines(tmp_path / "g.jsonl", ROWS)
    scores = app.score_files(predictions, gold, "tsa", [])[1]
    assert [line[0] for line in scores] == ["all (2)"] * 2 + ["multiple (1)"] * 2
    assert scores[0][-1] == "40.00"
    both = [row | {"prediction": said["prediction"]} for row, said in zip(ROWS, SAID[::-1], strict=True)]
    assert app.score_files(write_lines(tmp_path / "both.jsonl", both), None, "tsa", [])[1] == scores


def test_a_mistake_in_a_file_is_named_by_line_without_the_servers_folders(app, tmp_path):
    predictions, gold = write_lines(tmp_path / "p.jsonl", SAID[:1]), write_lines(tmp_path / "g.jsonl", ROWS)
    with pytest.raises(gradio.Error, match=r"^.p.jsonl: 1 id of g.jsonl without a prediction \('1'\)"):
        app.score_files(predictions, gold, "tsa", [])
    with pytest.raises(gradio.Error, match="Choose a file of predictions"):
        app.score_files(None, gold, "tsa", [])


def test_the_page_answers_gradios_client_and_takes_fields_as_a_task(app, tmp_path):
    _, url, _ = app.demo.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, ssr_mode=False)
    try:
        client = Client(url, verbose=False)
        found = client.predict(
            "a b", "a | b | positive", "a | b | <i>", "target,opinion,polarity", [], api_name="/score"
        )
        assert found[1]["data"][0] == ["all (1)", "paper", "100.00", "0.00", "0.00"]
        assert "<b>1</b> malformed" in found[0]
        file = write_lines(tmp_path / "both.jsonl", [row | {"prediction": ""} for row in ROWS])
        found = client.predict(handle_file(file), None, "tsa", ALL, api_name="/score_files")
        assert found[1]["data"][0][-1] == "0.00"
    finally:
        app.demo.close(verbose=False)


def test_what_is_shown_as_html_is_escaped(app):
    shown = app.confusion_table({"<b>": {"<b>": 1, "missed": 0}, "spurious": {"<b>": 0, "missed": 0}})
    assert "<b>" not in shown


@pytest.mark.parametrize(("space_id", "host"), [(None, "127.0.0.1"), ("me/fsa_f1", "0.0.0.0")])
def test_it_is_served_to_this_machine_only_unless_it_is_a_space(app, monkeypatch, space_id, host):
    seen = {}
    monkeypatch.setattr(app.gr.Blocks, "launch", lambda self, **options: seen.update(options))
    monkeypatch.delenv("SPACE_ID", raising=False)
    if space_id:
        monkeypatch.setenv("SPACE_ID", space_id)
    app.main()
    assert seen["server_name"] == host
    assert not seen.get("share")
