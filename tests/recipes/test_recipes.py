"""The recipes as code: short mains, true docstrings, and their small functions. `make demo` runs them whole."""

import ast
import re
import sys
import uuid
from pathlib import Path

import pytest
from datasets import Dataset
from huggingface_hub import HfApi, hf_hub_download

from hub_tools.corpus.reading import corpus_rows
from hub_tools.evaluation.grid import Cell, CellStore
from hub_tools.hub.push import push_dataset
from hub_tools.teachers.request import Request, reply_row
from tests.recipes.recipe_files import RECIPES, ROOT, arguments_type, load_recipe


by_name = pytest.mark.parametrize("name", RECIPES)


@pytest.fixture
def namespace() -> str:
    return f"ns-{uuid.uuid4().hex[:8]}"


# --- What every recipe is --------------------------------------------------------------------------------------------


@by_name
def test_main_reads_like_a_method_section(name):
    tree = ast.parse((ROOT / "recipes" / f"{name}.py").read_text(encoding="utf-8"))
    (main,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main"]
    assert main.end_lineno - main.lineno + 1 <= 60
    last = ast.unparse(tree.body[-1])
    assert last == "if __name__ == '__main__':\n    run_stage(main)"


@by_name
def test_its_docstring_says_what_it_reads_and_writes_and_the_command_that_runs_it(name):
    said = load_recipe(name).__doc__
    assert re.search(r"^Reads: +\S", said, re.MULTILINE)
    assert re.search(r"^Writes: +\S", said, re.MULTILINE)
    (command,) = re.findall(r"^accelerate launch .*$", said, re.MULTILINE)
    _, _, script, config = command.split()
    assert script == f"recipes/{name}.py"
    assert (ROOT / config).is_file()


@by_name
def test_every_argument_has_a_help_line_of_its_own_or_its_parents(name):
    fields = arguments_type(name).__dataclass_fields__
    inherited = {key for base in arguments_type(name).__mro__[1:-1] for key in base.__dataclass_fields__}
    without = [key for key, field in fields.items() if "help" not in field.metadata and key not in inherited]
    assert set(without) <= {"configs", "seeds"}


@by_name
def test_it_is_private_unless_asked_otherwise_and_embedded_by_default(name):
    fields = arguments_type(name).__dataclass_fields__
    assert fields["private"].default is True
    assert fields["hub"].default == "embedded"


# --- build_benchmark, build_corpus -----------------------------------------------------------------------------------


def test_columns_without_a_value_keep_their_type():
    row = {"id": "1", "sentence": "We left.", "text": "", "opinions": [], "hard": False, "implicit": None}
    tables = load_recipe("build_benchmark").to_datasets({"tsa-rest14": {"train": [{**row, "multiple": False}]}})
    features = tables["tsa-rest14"]["train"].features
    assert features["implicit"].dtype == features["multiple"].dtype == "bool"


# --- build_corpus ----------------------------------------------------------------------------------------------------

ANALYSIS = 'Opinion Target 1: "soup"\nAspect: a\nSentiment: Negative\nReasoning: The "soup was cold".'


def push_replies(repo_id: str, numbers: list[int], reviews: list[int], licence: str | None = "apache-2.0") -> None:
    """Replies about the numbered reviews, in this order, and the reviews themselves."""
    row = {"domain": "restaurant", "rating": 1.0, "source": "s"} | ({} if licence is None else {"licence": licence})
    replies = [
        reply_row(
            Request(f"{prompt}{n}", f"r{n}", "", prompt, []),
            ANALYSIS if prompt == "analysis" else f"I hated the cold soup on visit {n}." if n else "No.",
            "teacher",
            "1",
            {},
        )
        for n in numbers
        for prompt in ("rewriting", "analysis")
    ]
    about = [row | {"review_id": f"r{n}", "text": f"The soup was cold, visit {n}."} for n in reviews]
    tables = {"replies": {"train": Dataset.from_list(replies)}, "reviews": {"train": Dataset.from_list(about)}}
    push_dataset(tables, repo_id, "# replies\n")


def push_benchmark(namespace: str) -> None:
    splits = {"train": "We sat by the window today.", "validation": "we sat by the window today", "test": "Good."}
    rows = {split: Dataset.from_list([{"id": "1", "sentence": text}]) for split, text in splits.items()}
    push_dataset({"tsa-rest14": rows}, f"{namespace}/fsa-benchmark", "# benchmark\n")


def build(
    namespace: str, monkeypatch, *options: str, corpus: str = "sentiment-understanding-corpus"
) -> dict[str, bytes]:
    """Runs the recipe; the tables of the corpus as bytes."""
    monkeypatch.setattr(sys, "argv", ["build_corpus.py", "--namespace", namespace, "--replies", *options])
    load_recipe("build_corpus").main()
    repo_id = f"{namespace}/{corpus}"
    names = HfApi().list_repo_files(repo_id, repo_type="dataset")
    assert "pictures/lengths.png" in names
    return {
        name: Path(hf_hub_download(repo_id, name, repo_type="dataset")).read_bytes()
        for name in names
        if name.endswith(".parquet")
    }


def test_the_corpus_is_the_same_bytes_whatever_the_order_and_the_shards_of_the_replies(namespace, monkeypatch, capsys):
    push_benchmark(namespace)
    push_replies(f"{namespace}/replies-whole", [0, 1, 2, 3, 4, 5, 6], list(range(7)))
    push_replies(f"{namespace}/replies-late", [3, 6, 1, 0, 5, 2, 4, 4], list(range(7)))
    for shard in range(3):
        numbers = list(range(7))[shard::3]
        push_replies(f"{namespace}/replies-shard-{shard}-of-3", numbers[::-1], numbers)
    whole = build(namespace, monkeypatch, "replies-whole")
    assert "13 pairs; rejected 1 (length 1)." in capsys.readouterr().out
    assert build(namespace, monkeypatch, "replies-shard-*-of-3") == whole
    assert build(namespace, monkeypatch, "replies-whole", "replies-late") == whole
    assert build(namespace, monkeypatch, "replies-whole", "--corpus", "corpus-1m", corpus="corpus-1m") == whole
    pairs = corpus_rows(f"{namespace}/sentiment-understanding-corpus", "main")
    assert [pair["review_id"] for pair in pairs] == [f"r{n}" for n in [*range(7), *range(1, 7)]]
    with pytest.raises(ValueError, match=rf"no dataset {namespace}/replies-shard-0-of-4"):
        build(namespace, monkeypatch, "replies-whole", "replies-shard-*-of-4")


def test_reviews_without_an_open_licence_are_published_as_ids_only(namespace, monkeypatch):
    push_benchmark(namespace)
    push_replies(f"{namespace}/replies-x", [1, 2], [1, 2], licence=None)
    with pytest.raises(ValueError, match=r"\('s': unknown\)\. Set `publish: ids`"):
        build(namespace, monkeypatch, "replies-x", "--private", "false")
    build(namespace, monkeypatch, "replies-x", "--private", "false", "--publish", "ids")
    with pytest.raises(ValueError, match=r"Set `publish: ids`"):  # the repo is public by now, whatever is asked
        build(namespace, monkeypatch, "replies-x", "--gates", "copy", "--private", "true")
    corpus = f"{namespace}/sentiment-understanding-corpus"
    assert "load_texts" in Path(hf_hub_download(corpus, "README.md", repo_type="dataset")).read_text("utf-8")
    with pytest.raises(ValueError, match=r"holds the ids of its reviews and not their texts. Give the reviews"):
        list(corpus_rows(corpus, "main"))
    pairs = corpus_rows(corpus, "main", ["rewriting"], reviews=f"{namespace}/replies-x")
    assert [pair["input"] for pair in pairs] == ["The soup was cold, visit 1.", "The soup was cold, visit 2."]


# --- finetune --------------------------------------------------------------------------------------------------------


def finetuning(**changes):
    given = {"models": ["base=t5@step-0", "distilled=t5"], "configs": ["tsa-rest14"], "seeds": [1, 2]}
    return arguments_type("finetune")(**{"namespace": "me", **given, **changes})


def test_models_are_labels_and_references():
    named = load_recipe("finetune").named
    assert named(["base=me/t5@step-0", "x=a=b"]) == [("base", "me/t5@step-0"), ("x", "a=b")]
    for wrong in ([], ["base"], ["base="], ["base=a", "base=b"]):
        with pytest.raises(ValueError, match=r"models must be distinct label=repo, e\.g\. base=google-t5/t5-base"):
            named(wrong)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"namespace": ""}, "`namespace` must be set"),
        ({"configs": []}, "`configs` must be set"),
        ({"seeds": []}, "`seeds` must be set"),
        ({"models": []}, "models must be distinct"),
        ({"publish": ["distiled"]}, "`publish` names distiled, but the models are base, distilled"),
        ({"instructed": ["insturct"]}, "`instructed` names insturct, but the models are base, distilled"),
        ({"publish": ["base", "distilled"]}, "`publish` may name one model"),
        ({"train_shares": [0.5, 0.0]}, "`train_shares` must be above 0 and at most 1, found 0.0"),
        ({"train_shares": []}, "`train_shares` must be set"),
        ({"train_shares": [0.5], "publish": ["base"]}, "put 1.0 into `train_shares`"),
        ({"workers": 0}, "`workers` must be at least 1"),
    ],
)
def test_what_could_not_end_well_does_not_begin(changes, message):
    load_recipe("finetune").check(finetuning(publish=["distilled"]))
    with pytest.raises(ValueError, match=message):
        load_recipe("finetune").check(finetuning(**changes))


def test_a_model_is_of_the_namespace_unless_it_says_another(namespace):
    resolve_model = load_recipe("finetune").resolve_model
    HfApi().create_repo(f"{namespace}/t5")
    commit = HfApi().model_info(f"{namespace}/t5").sha
    assert resolve_model("t5", namespace) == resolve_model(f"{namespace}/t5@main", "me") == (f"{namespace}/t5", commit)
    with pytest.raises(ValueError, match="no model me/t5"):
        resolve_model("t5", "me")


def test_a_subset_without_sentences_is_not_on_the_card(tmp_path):
    store, cell = CellStore(tmp_path, {}), Cell("base", "me/t5", "c0ffee", "asa-rest16", 1)
    right = {"sentence": "Good.", "reference": "food quality | positive", "prediction": "food quality | positive"}
    rows = [{**right, "hard": False, "implicit": None, "multiple": multiple} for multiple in (True, False)]
    store.keep(cell, {"validation_f1": 1.0, "predictions": rows})
    results = load_recipe("finetune").results_of([cell], store, None)
    assert [(result.subset, result.sentences, result.f1) for result in results] == [
        ("all", 2, [1.0]),
        ("multiple", 1, [1.0]),
    ]


def test_cells_are_models_configs_shares_and_seeds():
    models = {"base": ("me/t5", "c0ffee"), "told": ("me/t5", "c0ffee")}
    cells = load_recipe("finetune").plan(finetuning(train_shares=[0.25, 1.0], instructed=["told"]), models)
    assert [(cell.model, cell.train_share, cell.input_form, cell.seed) for cell in cells] == [
        (label, share, form, seed)
        for label, form in (("base", "plain"), ("told", "instruction"))
        for share in (0.25, 1.0)
        for seed in (1, 2)
    ]


@pytest.fixture
def rehearsal(tmp_path, monkeypatch):
    """finetune.py with everything that trains or talks to a Hub replaced; returns what it ran and what it pushed."""
    recipe, ran, pushed = load_recipe("finetune"), [], []

    def run_cell(cell, grid, hear):
        ran.append(cell.seed)
        student = grid.store.work(cell) / "student"
        student.mkdir(parents=True)
        outcome = {"validation_f1": {1: 0.25, 2: 0.75, 3: 0.5}[cell.seed], "predictions": [], "seconds": 1.0}
        outcome |= {"f1": 0.5, "strict_f1": 0.5}
        grid.store.keep(cell, outcome, student if cell.model in grid.publish else None)

    def push_student(own, groups, store, *_):
        pushed.append(store.best(own).seed)
        assert store.student(store.best(own)).is_dir()

    def go(*options):
        argv = ["finetune.py", "--namespace", "me", "--models", "distilled=t5", "--configs", "tsa-rest14"]
        monkeypatch.setattr(sys, "argv", [*argv, "--runs", str(tmp_path), *options])
        ran.clear()
        pushed.clear()
        recipe.main()
        return list(ran), list(pushed)

    monkeypatch.setattr("hub_tools.students.crew.run_cell", run_cell)
    monkeypatch.setattr(recipe, "push_student", push_student)
    monkeypatch.setattr(recipe, "push_results", lambda *_: None)
    monkeypatch.setattr(recipe, "resolve_input", lambda *_: "c0ffee")
    monkeypatch.setattr(recipe, "holds", lambda *_: False)
    return go


def test_finished_cells_are_not_run_again_and_the_best_is_published(rehearsal):
    assert rehearsal("--seeds", "1", "2", "--publish", "distilled") == ([1, 2], [2])
    assert rehearsal("--seeds", "1", "2", "3", "--publish", "distilled") == ([3], [2])
    assert rehearsal("--seeds", "1", "2", "3", "--publish", "distilled", "--lr", "1e-5") == ([1, 2, 3], [2])


def test_a_student_can_be_published_after_its_cells_were_finished_without(rehearsal):
    assert rehearsal("--seeds", "1", "2", "3") == ([1, 2, 3], [])
    assert rehearsal("--seeds", "1", "2", "3", "--publish", "distilled") == ([2], [2])


# --- publish ---------------------------------------------------------------------------------------------------------


def test_a_space_whose_student_does_not_exist_is_not_published(namespace, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["publish.py", "--namespace", namespace, "--students", "no-such-student"])
    with pytest.raises(ValueError, match=rf"no model {namespace}/no-such-student"):
        load_recipe("publish").main()
    assert not HfApi().repo_exists(f"{namespace}/fsa_f1", repo_type="space")


# --- report ----------------------------------------------------------------------------------------------------------


def test_the_report_shows_every_column_in_the_terminal(capsys):
    header = ["config", "subset", "rule", "base (2 seeds)", "distilled (2 seeds)", "difference"]
    lines = [["tsa", "All", "paper", "1.00 ± 0.50", "2.00 ± 0.50", "+1.00"], ["asa", "All", "paper", "–", "–", "–"]]
    load_recipe("report").show("Title", header, lines)
    out = capsys.readouterr().out
    assert all(cell in out for line in [header, *lines] for cell in line)
