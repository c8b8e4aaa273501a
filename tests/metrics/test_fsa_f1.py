"""The metric as users meet it: loaded by folder, from a Hub, and alone where nobody has this project."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import evaluate
import pytest
from huggingface_hub import HfApi, RepoCard
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_tools.benchmarks.fsa import build
from hub_tools.evaluation.rules import RULES
from hub_tools.evaluation.scoring import score_texts


# Absolute: given a relative folder that is not there, `evaluate` would look for a stranger's Space of that name.
FOLDER = Path(__file__).resolve().parents[2] / "metrics" / "fsa_f1"
EXAMPLE = {
    "predictions": ["food | positive ; waiter | negative", ""],
    "references": ["food | positive ; staff | negative", "soup | neutral"],
    "sentences": ["Good food, rude staff.", "The soup."],
}
FLAGS = {"implicit": [True, False], "multiple": [False, True]}
QUADS = {
    "predictions": ["food quality | positive | Pad Thai | great", ""],
    "references": ["food quality | positive | Thai | great", "restaurant general | negative | none | none"],
    "sentences": ["The Pad Thai was great.", "Never again."],
}
DATA = Path(os.environ.get("FSA_DATA", FOLDER.parents[2] / "shared" / "data"))


@pytest.fixture(scope="module")
def metric(tmp_path_factory):
    return evaluate.load(str(FOLDER), cache_dir=str(tmp_path_factory.mktemp("metric")))


@pytest.mark.parametrize("columns", [EXAMPLE, EXAMPLE | FLAGS, EXAMPLE | {"multiple": [True, True]}])
@pytest.mark.parametrize("task", ["tsa", "asa"])
def test_the_folder_loads_and_scores_as_the_function_does(metric, columns, task):
    assert metric.compute(**columns, task=task) == score_texts(**columns, task=task)


@pytest.mark.parametrize("rule", ["strict", "partial", "instructabsa", "absa-quad", ["partial", "paper"], "all"])
@pytest.mark.parametrize("task", ["tsa", "acos", "target,polarity", "2"])
def test_rules_and_tasks_are_those_of_the_function(metric, task, rule):
    rules = {"all": RULES}.get(rule, [rule]) if isinstance(rule, str) else rule
    columns = QUADS if task == "acos" else EXAMPLE
    found = metric.compute(**columns, task=task, rule=rule)
    assert found == score_texts(**columns, task=task, rules=rules)
    assert "strict_f1" in found
    assert ("partial_f1" in found) == ("partial" in rules)


def test_rules_hold_for_texts_that_were_added_before(metric):
    metric.add_batch(**QUADS)
    found = metric.compute(task="asqp", rule="all")
    assert found == score_texts(**QUADS, task="asqp", rules=RULES)
    assert found["implicit_aspect_absa_quad_f1"] == 0
    assert found["n_implicit_aspect"] == 1


text = st.lists(st.sampled_from(["a", "b", " | ", " ; ", "positive", "negative"])).map("".join) | st.text(max_size=9)
row = st.fixed_dictionaries(
    {"predictions": text, "references": text, "sentences": text, "implicit": st.booleans(), "multiple": st.booleans()}
)


@settings(max_examples=25)
@given(st.lists(row, min_size=1, max_size=5))
def test_any_texts_come_through_evaluate_unchanged(metric, rows):
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    assert metric.compute(**columns) == score_texts(**columns)


def test_batches_and_single_examples_add_up_to_the_whole(metric):
    whole = metric.compute(**EXAMPLE, **FLAGS)
    for index in range(2):
        metric.add_batch(**{name: column[index : index + 1] for name, column in (EXAMPLE | FLAGS).items()})
    assert metric.compute() == whole
    for index in range(2):
        one = {name: column[index] for name, column in (EXAMPLE | FLAGS).items()}
        metric.add(
            prediction=one.pop("predictions"), reference=one.pop("references"), sentence=one.pop("sentences"), **one
        )
    assert metric.compute() == whole


def test_no_sentences_score_and_nothing_at_all_is_an_error(metric):
    assert metric.compute(predictions=[], references=[], sentences=[])["n_sentences"] == 0
    with pytest.raises(ValueError, match="nothing to score: give predictions, references and sentences"):
        metric.compute()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"predictions": ["a"]}, ValueError, "found 1 predictions, 2 references, 2 sentences"),
        ({"task": "quads"}, ValueError, "unknown task 'quads'; allowed: tsa, asa"),
        ({"rule": "semeval"}, ValueError, "unknown rule 'semeval'; allowed: paper, strict, instructabsa"),
        ({"rule": ["paper", "lenient"]}, ValueError, "unknown rule 'lenient'"),
        ({"implicit": ["False", "False"]}, TypeError, r"implicit\[0\] must be a boolean, found str: 'False'"),
        ({"references": ["a", 5]}, TypeError, r"references\[1\] must be a string, found int: 5"),
        ({"sentences": None}, ValueError, "missing inputs: sentences"),
        ({"sentence": ["a", "b"]}, ValueError, "unknown inputs: sentence; allowed: predictions, references"),
    ],
)
def test_a_mistake_is_named_and_leaves_the_metric_usable(metric, change, error, message):
    with pytest.raises(error, match=message):
        metric.compute(**(EXAMPLE | change))
    assert metric.compute(**EXAMPLE) == score_texts(**EXAMPLE)


def test_a_score_is_taken_apart_by_polarity(metric):
    parts = metric.breakdown(**EXAMPLE)
    assert parts["polarity"]["positive"]["f1"] == 1
    assert parts["confusion"]["negative"] == {"positive": 0, "neutral": 0, "negative": 0, "missed": 1}
    with pytest.raises(ValueError, match="found 1 predictions, 2 references"):
        metric.breakdown(**EXAMPLE | {"predictions": [""]})


def test_flags_for_some_batches_only_are_an_error(metric):
    metric.add_batch(**EXAMPLE, **FLAGS)
    with pytest.raises(ValueError, match="so far: implicit, multiple, now: none"):
        metric.add_batch(**EXAMPLE)
    assert metric.compute()["n_implicit"] == 1


def score_alone(names, folder):
    """Loads metrics and scores the example in a process that cannot import `hub_tools` and has a cache of its own."""
    code = (
        "import sys; sys.modules['hub_tools'] = None\n"
        "import evaluate, json\n"
        f"metrics = [evaluate.load(name) for name in {names!r}]\n"
        f"assert {{metric.breakdown(**{EXAMPLE!r})['counts']['items'] for metric in metrics}} == {{3}}\n"
        f"print(json.dumps([metric.compute(**{EXAMPLE | FLAGS!r}, rule='all') for metric in metrics]))"
    )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-I", "-c", code],
        cwd=folder,
        env=environment | {"HF_HOME": str(folder / "home")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_stranger_without_this_project_loads_it_from_a_folder_and_by_name_from_the_hub(hub, tmp_path):
    copy = shutil.copytree(FOLDER, tmp_path / "fsa_f1", ignore=shutil.ignore_patterns("__pycache__"))
    api = HfApi(token=hub.token)
    api.create_repo("strangers/fsa_f1", repo_type="space", space_sdk="gradio", exist_ok=True)
    api.upload_folder(
        repo_id="strangers/fsa_f1", repo_type="space", folder_path=FOLDER, ignore_patterns=["__pycache__/*"]
    )
    assert score_alone([str(copy), "strangers/fsa_f1"], tmp_path) == [score_texts(**EXAMPLE, **FLAGS, rules=RULES)] * 2
    assert "strangers/fsa_f1" in {space.id for space in api.list_spaces(filter="metric")}
    RepoCard.load("strangers/fsa_f1", repo_type="space").validate(repo_type="space")


def test_the_lines_of_the_card_run(metric):
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", card, re.DOTALL)[1]
    assert len(code.strip().splitlines()) == 5
    namespace: dict = {}
    exec(code.replace("<namespace>/fsa_f1", str(FOLDER)), namespace)
    scores = namespace["scores"]
    assert (scores["precision"], scores["recall"], scores["strict_precision"]) == (1.0, 0.5, 0.5)
    documented = set(re.findall(r"\bn_\w+", card))
    given = metric.compute(**EXAMPLE, **FLAGS) | metric.compute(**QUADS, task="acos")
    assert {name for name in given if name.startswith("n_")} == documented


def foolish_predictions(references):
    """What each row of the card's table writes for every sentence."""
    items = [[item.split(" | ") for item in text.split(" ; ") if item] for text in references]
    neighbour = {"positive": "neutral", "negative": "neutral", "neutral": "positive", "conflict": "positive"}
    every = iter(range(10**6))

    def written(change):
        return [" ; ".join(" | ".join(change(*item)) for item in sentence) for sentence in items]

    return [
        ["|"] * len(references),
        [""] * len(references),
        [" ; ".join(filter(None, [text, *(f"invented {n} | positive" for n in range(3))])) for text in references],
        [" ; ".join([text] * 5) if text else "" for text in references],
        [" ; ".join([" | ".join(item) for item in found if next(every) % 2 == 0] * 2) for found in items],
        written(lambda target, polarity: [target]),
        written(lambda target, polarity: [target.split()[-1], polarity]),
        written(lambda target, polarity: [target, neighbour[polarity]]),
    ]


@pytest.mark.skipif(not (DATA / "fsa_datasets").is_dir(), reason=f"needs the official files below {DATA} (FSA_DATA)")
def test_the_cards_table_of_how_rules_are_fooled_is_what_they_give():
    rows = build(DATA, "tsa-rest14")["test"]
    references, sentences = ([row[name] for row in rows] for name in ("text", "sentence"))
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    table = re.search(r"\n\| what is written .*?\n\n", card, re.DOTALL)[0].strip().splitlines()
    assert [cell.strip() for cell in table[0].strip("|").split("|")[1:]] == list(RULES)
    for line, predictions in zip(table[2:], foolish_predictions(references), strict=True):
        found = score_texts(predictions, references, sentences, rules=RULES)
        keys = ["f1", *(f"{rule.replace('-', '_')}_f1" for rule in RULES[1:])]
        assert line.split("|")[-6:-1] == [f" {100 * found[key]:.2f} " for key in keys], line


def test_the_example_of_the_description_runs(metric):
    lines = re.findall(r"(?:>>>|\.\.\.) (.*)", metric.inputs_description)
    namespace = {"fsa_f1": metric}
    exec("\n".join(lines[1:-1]), namespace)
    assert eval(lines[-1], namespace) == (1.0, 0.5, 0.5, 1)
