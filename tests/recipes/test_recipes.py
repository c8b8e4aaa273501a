"""The recipes as code: short mains, true docstrings, and their small functions. `make demo` runs them whole."""

import ast
import re
import sys
import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from huggingface_hub import HfApi, hf_hub_download

from hub_tools.corpus.reading import corpus_rows
from hub_tools.distilling.arguments import chosen, settings_of
from hub_tools.distilling.choice import split, star_weights
from hub_tools.distilling.inputs import inputs_of, watched_benchmark
from hub_tools.distilling.start import make_student
from hub_tools.evaluation.grid import Cell, CellStore
from hub_tools.hub.push import push_dataset
from hub_tools.students.encoded import encode_corpus
from hub_tools.teachers.request import Request, reply_row
from tests.recipes.recipe_files import RECIPES, ROOT, arguments_type, load_recipe
from tests.tiny_models import tiny_tokenizer


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


# --- pretrain --------------------------------------------------------------------------------------------------------


def pretraining(**changes):
    return replace(arguments_type("pretrain")("me", "t5-sentiment"), **changes)


@pytest.mark.parametrize(("epochs", "pairs", "steps"), [(10, 200_000, 20_000), (1, 101, 2), (0.5, 100, 1), (0, 5, 1)])
def test_epochs_become_steps_rounded_up_unless_steps_are_given(epochs, pairs, steps):
    settings = settings_of(pretraining(epochs=epochs, warmup_steps=7), pairs)
    assert (settings.steps, settings.warmup_steps, settings.pairs_per_step) == (steps, 7, 100)
    assert settings_of(pretraining(epochs=epochs, steps=77), pairs).steps == 77


def test_an_impossible_step_is_told_as_such():
    with pytest.raises(ValueError, match="pairs_per_step must be at least 1, found 0"):
        settings_of(pretraining(pairs_per_step=0), 100)


def test_what_a_run_reads_is_known_by_its_commit_before_it_starts(namespace):
    corpus = f"{namespace}/sentiment-understanding-corpus"
    HfApi().create_repo(corpus, repo_type="dataset")
    pretrain = pretraining(namespace=namespace)
    assert set(inputs_of(pretrain)) == {corpus}  # a fresh student is none, and there is no benchmark
    for other in ("corpus-1m", f"{namespace}/corpus-1m"):
        with pytest.raises(ValueError, match=rf"no dataset {namespace}/corpus-1m"):
            inputs_of(replace(pretrain, corpus=other))
    assert watched_benchmark(pretrain) == {}
    with pytest.raises(ValueError, match=rf"no dataset {namespace}/other"):
        watched_benchmark(replace(pretrain, benchmark=f"{namespace}/other"))
    HfApi().create_repo(f"{namespace}/fsa-benchmark", repo_type="dataset")
    assert set(watched_benchmark(pretrain)) == {f"{namespace}/fsa-benchmark"}
    # It decides what of a stranger's instructions is learned; a corpus is the same whoever looks through it.
    assert set(inputs_of(pretrain)) == {corpus}
    instructed = replace(pretrain, objective="instructions", instructions=corpus)
    assert set(inputs_of(instructed)) == {corpus, f"{namespace}/fsa-benchmark"}

    repo_id = f"{namespace}/t5"
    HfApi().create_repo(repo_id)
    first = HfApi().upload_file(repo_id=repo_id, path_in_repo="a.txt", path_or_fileobj=b"1").oid
    HfApi().create_tag(repo_id, tag="v1")
    HfApi().upload_file(repo_id=repo_id, path_in_repo="a.txt", path_or_fileobj=b"2")
    for student in (f"{repo_id}@v1", "t5@v1"):  # the repo is of the namespace unless it says another
        assert inputs_of(replace(pretrain, student=student))[repo_id] == first
    both = inputs_of(replace(pretrain, student="t5@v1", soft_teacher="t5"))
    assert both[f"{repo_id}@soft_teacher"] != both[repo_id] == first
    with pytest.raises(ValueError, match=r"has no revision 'v2'"):
        inputs_of(replace(pretrain, student="t5@v2"))
    with pytest.raises(ValueError, match=rf"no model {namespace}/t6"):
        inputs_of(replace(pretrain, student="t6"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "mlm"}, "objective must be one of distillation, span-corruption, rating, instructions, found"),
        ({"objective": "instructions"}, "go together"),
        ({"instructions": "me/x"}, "go together"),
        ({"objective": "rating", "soft_teacher": "t5"}, "needs the objective `distillation`"),
        ({"keep_share": 0.0}, "`keep_share` must be above 0 and at most 1, found 0.0"),
        ({"keep_share": 0.5, "keep_how": "easy"}, "keep_how must be one of soft, hard, random, found 'easy'"),
        ({"keep_share": 0.5, "objective": "span-corruption"}, "which span corruption does not have"),
        ({"reviews_limit": -1}, "reviews_limit must be at least 0"),
        ({"scheme": "R1"}, "expected one multiplier per star"),
        ({"scheme": "R11111"}, "without `reviews_limit` none are: all are learned from"),
        ({"labelled_scheme": "R11111"}, "Give `reviews_limit`, or leave them out"),
        ({"draw": 1}, "Give `reviews_limit`, or leave them out"),
    ],
)
def test_pretraining_that_makes_no_sense_does_not_begin(changes, message):
    assert chosen([pretraining()]) == [pretraining()]
    with pytest.raises(ValueError, match=message):
        chosen([pretraining(), pretraining(name="b", **changes)])


@pytest.fixture
def encoded(tmp_path):
    """A hundred reviews of two pairs each, with 1 to 5 stars in turns, and the stars of each pair."""
    pairs = [{"review_id": f"r{n // 2}", "input": "food", "target": "us"} for n in range(200)]
    stars = np.array([n // 2 % 5 + 1 for n in range(200)])
    return encode_corpus(pairs, tiny_tokenizer(), tmp_path / "encoded"), stars


def drawn(encoded, **changes) -> tuple[set[int], set[int]]:
    """Reviews to train on, and those held out."""
    pairs, stars = encoded
    training, validation = split(pairs, stars, pretraining(validation_pairs=20, **changes))
    assert len(training) == 2 * len(set(training.reviews.tolist()))
    return set(training.reviews.tolist()), set(validation.reviews.tolist())


def test_fewer_reviews_are_among_more_of_the_same_draw_and_the_same_are_held_out(encoded):
    all_reviews, held = drawn(encoded)
    assert (len(all_reviews), len(held), all_reviews & held) == (90, 10, set())
    ten, held_beside_ten = drawn(encoded, reviews_limit=10)
    fifty, held_beside_fifty = drawn(encoded, reviews_limit=50)
    assert (len(ten), len(fifty)) == (10, 50)
    assert ten < fifty < all_reviews
    assert held == held_beside_ten == held_beside_fifty
    assert drawn(encoded, reviews_limit=10, draw=1)[0] != ten
    assert drawn(encoded, reviews_limit=10, draw=1)[1] == held
    with pytest.raises(ValueError, match="reviews_limit is 91, but beside those held out there are 90 reviews"):
        drawn(encoded, reviews_limit=91)


def test_a_scheme_draws_by_stars(encoded):
    pairs, stars = encoded
    of = dict(zip(pairs.reviews.tolist(), stars.tolist(), strict=True))
    three, _ = drawn(encoded, scheme="R00100", reviews_limit=12)
    assert {of[review] for review in three} == {3}
    with pytest.raises(ValueError, match="that the scheme R00100 may draw"):
        drawn(encoded, scheme="R00100", reviews_limit=30)
    assert star_weights(pretraining(scheme="R11111"))[1:].tolist() == [1, 0.5, 0.25, 0.5, 1]
    assert star_weights(pretraining()).tolist() == [1] * 6


def test_a_fresh_student_reads_and_writes_the_corpus():
    pairs = [{"input": "Loved it.\nTruly.", "target": 'Opinion Target 1: "it"\nSentiment: positive'}]
    arguments = pretraining(vocab_size=120, d_model=16, d_ff=16, num_layers=1, num_heads=2, dropout_rate=0.25)
    model, tokenizer = make_student(arguments, pairs, {})
    assert (model.config.d_model, model.config.num_layers, model.config.dropout_rate) == (16, 1, 0.25)
    assert tokenizer.unk_token_id not in tokenizer(pairs[0]["target"].replace("\n", "[NL]")).input_ids


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
