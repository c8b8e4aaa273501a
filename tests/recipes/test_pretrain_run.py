"""pretrain.py whole, on a dozen reviews: every objective, sweeps, what is pushed, and each run of all our YAMLs."""

import math
import shutil
import socket
import sys
import uuid
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import yaml
from accelerate import Accelerator
from datasets import Dataset
from huggingface_hub import HfApi, ModelCard, hf_hub_download

from hub_tools.arguments import read_sweep
from hub_tools.corpus.pairs import pair_id
from hub_tools.distilling import inputs
from hub_tools.distilling.arguments import check
from hub_tools.hub import patience
from hub_tools.hub.errors import PushError
from hub_tools.hub.push import push_dataset, push_model
from hub_tools.hub.runs import Run
from hub_tools.students import pretraining
from hub_tools.students.models import load_student
from hub_tools.students.sweep import Outcome
from tests.recipes.recipe_files import ROOT, arguments_type, load_recipe
from tests.tiny_models import save_tiny_student


TEACHERS = ("mixtral-8x7b-instruct-v0.1", "llama-2-7b-chat-hf", "gpt-3.5-turbo")
CORPORA = ("sentiment-understanding-corpus", "sentiment-understanding-corpus-1m")
REVIEWS = [f"The {dish} was {how}, and we came back {n} times." for n, (dish, how) in enumerate(
    product(("soup", "lamb", "tea", "pasta"), ("cold", "superb", "dim")))]  # fmt: skip
VARIANTS = {
    "analysis": 'Opinion Target 1: "it"\nSentiment: positive',
    "rewriting": "I liked it, really.",
    "analysis-without-reasoning": "Sentiment: positive",
    "analysis-without-labels": "Reasoning 1: It says so.",
}


def pairs(prompt: str, teachers=TEACHERS) -> list[dict]:
    """A pair about each review by each teacher; stars from 1 to 5 in turns."""
    return [
        {
            "pair_id": pair_id(teacher, prompt, text, target),
            "review_id": f"r{number}",
            "domain": "restaurant",
            "rating": float(number % 5 + 1),
            "prompt": prompt,
            "teacher": teacher,
            "input": text,
            "target": target,
            "source": "s",
            "licence": "mit",
        }
        for number, text in enumerate(REVIEWS)
        for teacher in teachers
        for target in [f"{VARIANTS[prompt]} {number}"]
    ]


@pytest.fixture(scope="module")
def namespace(tmp_path_factory) -> str:
    """A corpus with all variants, a benchmark, an instruction dataset, and T5s that are named as Google's."""
    namespace = f"ns-{uuid.uuid4().hex[:8]}"
    tables = {name: {"train": Dataset.from_list(pairs(name))} for name in VARIANTS}
    unions = {"both": ["analysis", "rewriting"]}
    for corpus in CORPORA:
        push_dataset(tables, f"{namespace}/{corpus}", "---\n---\n# c\n", unions=unions)
    sentence = {"id": "1", "sentence": "A sentence that nobody has in a review so far."}
    splits = dict.fromkeys(("train", "validation", "test"), Dataset.from_list([sentence]))
    push_dataset({"tsa-rest14": splits}, f"{namespace}/fsa-benchmark", "---\n---\n# b\n")
    told = [{"instruction": f"Count to {n}.", "response": "One, two."} for n in range(12)]
    told.append({"instruction": "Repeat.", "response": sentence["sentence"]})
    push_dataset({"default": {"train": Dataset.from_list(told)}}, "MBZUAI/LaMini-instruction", "---\n---\n# l\n")
    texts = [*REVIEWS, *VARIANTS.values()]
    folder = save_tiny_student(tmp_path_factory.mktemp("tiny") / "t5", texts=texts, newline_token=False)
    for size in ("small", "base", "large"):
        push_model(folder, f"google-t5/t5-{size}", card="---\n---\n# t5\n")
    return namespace


@pytest.fixture
def go(namespace, tmp_path, monkeypatch, capfd):
    def run(*options: str) -> str:
        argv = ["pretrain.py", *(["--namespace", namespace] if "--namespace" not in options else []), "--steps", "2"]
        argv[1:1] = [option for option in options if option.endswith(".yaml")]
        argv += ["--student", "google-t5/t5-base", "--pairs_per_step", "4", "--pairs_per_forward", "2"]
        argv += ["--validation_pairs", "4", "--runs", str(tmp_path / "runs")]
        monkeypatch.setattr(sys, "argv", [*argv, *(option for option in options if not option.endswith(".yaml"))])
        load_recipe("pretrain").main()
        return capfd.readouterr().out

    return run


def run_of(repo_id: str) -> Run:
    return Run.from_json(Path(hf_hub_download(repo_id, "run.json")).read_text(encoding="utf-8"))


def test_from_corpus_to_student_and_its_card(go, namespace):
    out = go("--name", "whole", "--validate_every", "1", "--checkpoint_every", "1", "--push_checkpoints", "true")
    repo_id = f"{namespace}/whole"
    assert f"pretrain: pushed {repo_id}: validation loss" in out
    files = HfApi().list_repo_files(repo_id)
    assert {"model.safetensors", "loss.png", "run.json"} <= {*files}
    assert {tag.name for tag in HfApi().list_repo_refs(repo_id).tags} == {"step-0"}
    load_student(repo_id)
    load_student(repo_id, "step-0")

    run = run_of(repo_id)
    assert (run.facts["steps"], run.facts["pairs"], run.facts["reviews"]) == (2, 66, 11)
    assert [step for step, _ in run.facts["validation"]] == [1, 2]
    assert set(run.inputs) == {f"{namespace}/sentiment-understanding-corpus", "google-t5/t5-base"}
    assert set(run.facts["benchmark"]) == {f"{namespace}/fsa-benchmark"}
    text = ModelCard.load(repo_id).text
    for fact in (
        "![Loss in nats", "| step | training loss | validation loss |", "optimiser steps: 2 of 4 pairs", "padding: ",
        "precision: float32 (", "interruptions: none", "hours on 1 process", "6 pairs, by review", "0 inputs cut",
        "- **gpt-3.5-turbo**, a large language model", run.inputs["google-t5/t5-base"], "git revision", "torch",
    ):  # fmt: skip
        assert fact in text
    # Of fresh students, of soft targets, of nothing; what says where checkpoints went has decided nothing
    silent = ("vocab_size", "soft_k", "streaming", "push_checkpoints", "epochs", "reviews")
    assert not [name for name in silent if f"- {name}: `" in text]
    assert "- validate_every: `1`" in text

    assert "was pretrained by this very run; reused." in go(
        "--name", "whole", "--validate_every", "1", "--checkpoint_every", "1", "--streaming", "true"
    )

    kept, first = f"run-{run.digest[:12]}", HfApi().model_info(repo_id).sha
    said = f"{repo_id} replaces the student of run {run.digest[:12]}, which stays as revision {kept}."
    assert said in go("--name", "whole", "--steps", "1")
    assert {tag.name: tag.target_commit for tag in HfApi().list_repo_refs(repo_id).tags}[kept] == first
    assert run_of(repo_id).facts["steps"] == 1


@pytest.mark.parametrize("objective", ["span-corruption", "rating", "instructions"])
def test_baselines_have_cards_of_their_own_and_teachers_only_where_there_are_any(go, namespace, objective):
    options = ["--instructions", "MBZUAI/LaMini-instruction"] if objective == "instructions" else []
    go("--name", objective, "--objective", objective, *options)
    repo_id = f"{namespace}/{objective}"
    text, run = ModelCard.load(repo_id).text, run_of(repo_id)
    assert run.facts["steps"] == 2
    assert "A baseline of distillation" in text
    assert "It learned from the texts of" not in text
    # 12 reviews or instructions, less those held out; the one that holds a sentence of the benchmark is left out
    assert run.facts["pairs"] == 8
    assert ("distillation" in ModelCard.load(repo_id).data.tags) == (objective == "instructions")


def test_span_corruption_leaves_the_rest_of_the_student_as_it_was(go, namespace):
    go("--name", "dapt-start", "--objective", "span-corruption")
    model, tokenizer = load_student("google-t5/t5-base")
    start, its = load_student(f"{namespace}/dapt-start", "step-0")
    assert "<extra_id_99>" in its.get_vocab()
    rows = len(tokenizer)
    assert (start.get_input_embeddings().weight[:rows] == model.get_input_embeddings().weight).all()


def test_a_fresh_student_needs_no_checkpoint(go, namespace):
    options = ["--vocab_size", "150", "--d_model", "16", "--d_ff", "16", "--num_layers", "1", "--num_heads", "2"]
    go("--name", "fresh", "--student=", *options)
    assert load_student(f"{namespace}/fresh")[0].config.d_model == 16
    assert "- vocab_size: `150`" in ModelCard.load(f"{namespace}/fresh").text


def test_a_sweep_runs_what_is_missing_and_a_failed_run_hides_no_other(go, namespace, tmp_path):
    path = tmp_path / "sweep.yaml"
    members = [
        {"name": "sweep-4", "reviews_limit": 4, "steps": 1},
        {"name": "sweep-nobody", "teachers": ["nobody"]},
        {"name": "sweep-soft", "soft_teacher": "sweep-4", "soft_k": 4},
    ]
    path.write_text(yaml.safe_dump({"sweep": members}), encoding="utf-8")
    with pytest.raises(RuntimeError, match=r"1 of the sweep's runs failed:\n  sweep-nobody: .* has nothing by nobody"):
        go(str(path))
    assert run_of(f"{namespace}/sweep-4").facts["reviews"] == 4
    assert f"{namespace}/sweep-4@soft_teacher" in run_of(f"{namespace}/sweep-soft").inputs

    members[1]["teachers"] = ["gpt-3.5-turbo"]
    path.write_text(yaml.safe_dump({"sweep": members}), encoding="utf-8")
    out = go(str(path), "--only", "sweep-nobody", "sweep-4")
    assert [line.split()[1:4:2] for line in out.splitlines() if line.startswith("│")][-2:] == [
        ["sweep-4", "reused"],
        ["sweep-nobody", "trained"],
    ]
    assert run_of(f"{namespace}/sweep-nobody").facts["pairs"] == 20
    with pytest.raises(ValueError, match=r"`only` names sweep-5; the runs are sweep-4, sweep-nobody, sweep-soft"):
        go(str(path), "--only", "sweep-5")


@pytest.fixture
def down(hub, monkeypatch):
    """Has the Hub stop before the step that it is given; with no patience. It is there again after the test."""
    plan, port = pretraining.plan_step, hub.port

    def at(step: int) -> None:
        def planned(now, *rest):
            if now == step:
                hub.stop()
            return plan(now, *rest)

        monkeypatch.setattr(pretraining, "plan_step", planned)

    monkeypatch.setattr(patience, "WAITS", (0.0, 0.0))
    yield at
    monkeypatch.undo()
    if not is_up(hub):
        hub.start()
    assert hub.port == port


def is_up(hub) -> bool:
    with socket.socket() as line:
        return line.connect_ex((hub.host, hub.port)) == 0


def test_a_hub_that_goes_down_delays_the_push_and_the_same_command_trains_nothing_again(
    go, namespace, hub, down, tmp_path, monkeypatch, caplog, capfd
):
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump({"sweep": [{"name": "down-1"}, {"name": "down-2"}]}), encoding="utf-8")
    options = (str(path), "--checkpoint_every", "1", "--push_checkpoints", "true")
    down(1)
    with pytest.raises(RuntimeError) as caught:
        go(*options)
    (folder,) = (tmp_path / "runs").glob("pretrain-*")
    said, first, second = f"{caught.value}", *(caplog.text.index(f"down-{n} ") for n in (1, 2))
    for told in (
        "1 of the sweep's runs failed:\n  down-2: ", f"{hub.endpoint} does not answer when asked for dataset",
        "1 of the sweep's runs are trained, but not pushed:\n  down-1: could not ", "cannot be reached",
        f"It is trained, and lies in {folder / 'student'}: the same command pushes it, and trains nothing again.",
    ):  # fmt: skip
        assert told in said
    assert "Attempt 2 of 3 in 0 s" in caplog.text[:first]
    assert "Attempt 3 of 3 in 0 s" in caplog.text[:first]
    assert "down-1 is trained, but not pushed: " in caplog.text
    assert first < second
    assert [line.split()[1:5] for line in capfd.readouterr().out.splitlines() if line.startswith("│")] == [
        ["down-1", "│", "not", "pushed"],
        ["down-2", "│", "failed", "│"],
    ]

    kept = (folder / "student" / "run.json").read_bytes()
    hub.start()
    monkeypatch.setattr(load_recipe("pretrain"), "pretrain", lambda *_, **__: pytest.fail("it trains again"))
    out = go(*options, "--only", "down-1")
    repo_id = f"{namespace}/down-1"
    assert f"{repo_id} is trained, and lies in {folder / 'student'}; it is only pushed." in out
    assert f"pretrain: pushed {repo_id}: validation loss" in out
    assert Path(hf_hub_download(repo_id, "run.json")).read_bytes() == kept  # seconds, interruptions and all
    assert "- interruptions: none" in ModelCard.load(repo_id).text
    load_student(repo_id)
    load_student(repo_id, "step-0")
    refs = HfApi().list_repo_refs(repo_id)
    assert {branch.name for branch in refs.branches} == {"main", "start"}  # no checkpoint
    assert not folder.exists()
    assert "was pretrained by this very run; reused." in go(*options, "--only", "down-1")


def test_a_hub_that_comes_back_meanwhile_gets_the_student(go, namespace, hub, down, monkeypatch, caplog):
    waited = []
    monkeypatch.setattr(patience.time, "sleep", lambda seconds: waited.append(seconds) or hub.start())
    down(1)
    assert f"pretrain: pushed {namespace}/back: validation loss" in go("--name", "back")
    assert waited == [0.0]
    assert "could not tag model" in caplog.text
    assert run_of(f"{namespace}/back").facts["steps"] == 2


def test_a_second_launch_is_refused_until_the_hub_has_the_student_and_a_later_one_finds_it_there(
    go, tmp_path, monkeypatch
):
    recipe, answers, refused, there = load_recipe("pretrain"), [], [], Outcome("x", "reused")

    def first(arguments, run, remote, folder, accelerator):
        """Trains, pushes and deletes its folder, as it were; meanwhile there is a second launch."""
        with pytest.raises(ValueError, match=rf"another process trains this run in {folder}, or pushes it") as caught:
            recipe.pretrain_student(arguments, accelerator)
        refused.append(caught.value)
        shutil.rmtree(folder)
        return Outcome(arguments.name, "trained")

    monkeypatch.setattr(recipe, "train_and_push", first)
    monkeypatch.setattr(recipe, "reuse", lambda *_: answers.pop(0) if answers else None)
    go("--name", "x")
    assert len(refused) == 1
    answers += [None, there]  # the Hub was asked before the push, and the folder let go after it
    go("--name", "x")
    assert not answers
    assert len(refused) == 1
    assert not [*(tmp_path / "runs").glob("pretrain-*")]


def test_a_run_that_streams_its_corpus_trains_on_all_of_it(go, namespace, monkeypatch):
    asked, read = [], inputs.corpus_rows
    monkeypatch.setattr(inputs, "corpus_rows", lambda *_, **how: asked.append(how["streaming"]) or read(*_, **how))
    go("--name", "streamed", "--streaming", "true")
    assert set(asked) == {True}
    facts = run_of(f"{namespace}/streamed").facts
    assert (facts["steps"], facts["pairs"], facts["reviews"]) == (2, 66, 11)
    assert 0 < facts["training_loss"] < math.inf


def test_what_cannot_help_the_student_is_refused_before_the_corpus_is_read(go, namespace, tmp_path, monkeypatch):
    save_tiny_student(tmp_path / "other", texts=["Quite other words."])
    push_model(tmp_path / "other", f"{namespace}/other", card="---\n---\n# t5\n")
    monkeypatch.setattr(load_recipe("pretrain"), "read_corpus", lambda *_: pytest.fail("it was read"))
    differs = "cannot help: Its tokenizer is not the student's"
    with pytest.raises(ValueError, match=rf"soft_teacher {namespace}/other {differs}"):
        go("--name", "x", "--soft_teacher", "other")
    with pytest.raises(ValueError, match=rf"difficulty_model {namespace}/other {differs}"):
        go("--name", "x", "--keep_share", "0.5", "--difficulty_model", "other")
    monkeypatch.setattr("hub_tools.students.tracking.importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="`track` needs the package trackio"):
        go("--name", "x", "--track", "p")
    assert not HfApi().repo_exists(f"{namespace}/x")


def test_what_can_be_refused_is_refused_before_pairs_are_scored(go, namespace, monkeypatch):
    recipe = load_recipe("pretrain")
    monkeypatch.setattr(recipe, "hardest", lambda *_: pytest.fail("they were scored"))
    few = ("--name", "w", "--keep_share", "0.1")
    with pytest.raises(ValueError, match="warmup_steps must be less than the steps, found 2 of 2"):
        go(*few, "--steps", "0", "--epochs", "1", "--warmup_steps", "2")  # 7 of 66 pairs, 4 a step

    def refused(*_):
        raise PushError("this token may not write there")

    monkeypatch.setattr(recipe, "push_start", refused)
    with pytest.raises(PushError, match="may not write there"):
        go(*few)


def test_a_corpus_that_holds_a_sentence_of_the_benchmark_is_refused_before_anything_is_pushed(go):
    namespace = f"ns-{uuid.uuid4().hex[:8]}"
    rows = Dataset.from_list(pairs("analysis"))
    push_dataset({"analysis": {"train": rows}}, f"{namespace}/sentiment-understanding-corpus", "---\n---\n# c\n")
    row = Dataset.from_list([{"id": "7", "sentence": REVIEWS[3]}])
    push_dataset(
        {"tsa-rest14": {"train": row, "validation": row, "test": row}}, f"{namespace}/fsa-benchmark", "---\n---\n# b\n"
    )
    with pytest.raises(ValueError, match=r"3 pairs contain a sentence that the benchmark validates or tests on"):
        go("--namespace", namespace, "--name", "x")
    assert not HfApi().repo_exists(f"{namespace}/x")


# --- Every YAML of pretraining takes its first step ------------------------------------------------------------------

YAMLS = sorted(
    path for name in ("paper", "real") for path in (ROOT / "recipes" / "configs" / name).rglob("pretrain*.yaml")
)
MEMBERS = [(path, member.name) for path in YAMLS for member in read_sweep(arguments_type("pretrain"), [str(path)])]
ALIKE = {"t5-sentiment-base-25k", "t5-sentiment-base-50k"}  # differ from -10k in the number of reviews alone
MEMBERS = [(path, name) for path, name in MEMBERS if name not in ALIKE]


@pytest.fixture
def step(namespace, tmp_path_factory, monkeypatch):
    """Takes the first step of a run of a YAML; what other tests look at, such as pictures, is left out for speed."""
    recipe = load_recipe("pretrain")
    sentences = inputs.benchmark_sentences
    monkeypatch.setattr(inputs, "benchmark_sentences", lambda *known: KEPT.setdefault(known, sentences(*known)))
    monkeypatch.setattr(recipe, "draw_losses", lambda curves, path, title: path.write_bytes(b""))
    runs = str(KEPT.setdefault("runs", tmp_path_factory.mktemp("runs")))

    def step(path: Path, name: str):
        (given,) = [run for run in read_sweep(arguments_type("pretrain"), [str(path)]) if run.name == name]
        few = {"steps": 1, "warmup_steps": 0, "pairs_per_step": 3, "pairs_per_forward": 2, "validation_pairs": 2}
        few |= {"reviews_limit": min(2, given.reviews_limit), "runs": runs, "hub": "embedded"}
        if not given.student:
            few |= {"vocab_size": 150, "d_model": 16, "d_ff": 16, "num_layers": 1, "num_heads": 2}
        arguments = replace(given, namespace=namespace, **few)
        for needed in {arguments.student, arguments.soft_teacher} - {""}:
            repo_id, _ = inputs.reference(needed, namespace)
            if not HfApi().repo_exists(repo_id):  # another run's of this set
                step(*next((other, run) for other, run in MEMBERS if f"{namespace}/{run}" == repo_id))
        return arguments, recipe.pretrain_student(arguments, Accelerator())

    return step


KEPT: dict = {}


@pytest.mark.parametrize(("path", "name"), MEMBERS, ids=[f"{path.stem}-{name}" for path, name in MEMBERS])
def test_each_run_of_each_yaml_builds_its_model_its_data_and_its_optimiser_and_takes_a_step(path, name, step):
    """As it stands there, but for the numbers of steps, pairs and reviews, the Hub, and a smaller fresh student."""
    arguments, outcome = step(path, name)
    check(arguments)
    assert outcome.state in ("trained", "reused")  # reused: a run before it needed its student
    assert outcome.facts["steps"] == 1
    assert outcome.facts["validation_loss"] > 0
    read = run_of(f"{arguments.namespace}/{name}").inputs
    read = {corpus for corpus in CORPORA if f"{arguments.namespace}/{corpus}" in read}
    assert read == (set() if arguments.instructions else {arguments.corpus or CORPORA[0]})
    files = HfApi().list_repo_files(f"{arguments.namespace}/{name}")
    assert {"model.safetensors", "run.json", "loss.png"} <= {*files}
