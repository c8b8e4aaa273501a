"""YAML and command line into a dataclass, the Hub that a recipe talks to, and how a stage tells of its failure."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tools.arguments import ConfigurationError, parse_arguments, read_arguments, read_sweep, run_stage, use_hub
from hub_tools.evaluation.files import ScoringFileError


ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Stage:
    namespace: str = field(metadata={"help": "required"})
    max_steps: int = field(metadata={"help": "required"})
    lr: float = 3e-3
    private: bool = True
    verbose: bool = False
    title: str = "untitled"
    seeds: list[int] = field(default_factory=lambda: [42, 52])
    publish: list[str] = field(default_factory=list)
    hub: str = "embedded"


@pytest.fixture
def recipe(tmp_path):
    def write(text):
        path = tmp_path / "stage.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


# --- Values ----------------------------------------------------------------------------------------------------------


def test_yaml_sets_what_it_names_and_the_rest_keeps_its_default(recipe):
    path = recipe("# 2 cores\nnamespace: me\nmax_steps: 7\nlr: 1.0e-4\nprivate: false\nseeds: [1, 2, 3]\n")
    assert read_arguments(Stage, [path]) == Stage("me", 7, lr=1e-4, private=False, seeds=[1, 2, 3])


def test_the_command_line_wins(recipe):
    path = recipe("namespace: me\nmax_steps: 7\nseeds: [1, 2]\nprivate: false\n")
    argv = [path, "--max_steps", "8", "--lr=1e-5", "--seeds", "5", "6", "7", "--private", "true", "--verbose"]
    assert read_arguments(Stage, argv) == Stage("me", 8, lr=1e-5, seeds=[5, 6, 7], verbose=True)


def test_the_command_line_alone_is_enough_and_may_write_dashes():
    assert read_arguments(Stage, ["--namespace", "me", "--max-steps", "3"]) == Stage("me", 3)


@pytest.mark.parametrize(("text", "wanted"), [("5", [5]), ("[]", []), ("[5, 6]", [5, 6]), ("null", [42, 52])])
def test_lists_may_be_one_value_empty_or_left_to_their_default(recipe, text, wanted):
    assert read_arguments(Stage, [recipe(f"namespace: me\nmax_steps: 1\nseeds: {text}")]).seeds == wanted


@pytest.mark.parametrize(
    ("text", "wanted"), [("true", True), ("false", False), ("yes", True), ("'no'", False), ("1", True)]
)
def test_bools_are_read_however_yaml_lets_them_be_written(recipe, text, wanted):
    found = read_arguments(Stage, [recipe(f"namespace: me\nmax_steps: 1\nprivate: {text}\nverbose: {text}")])
    assert (found.private, found.verbose) == (wanted, wanted)


@given(title=st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20))
def test_any_text_comes_through(tmp_path_factory, title):
    import yaml

    path = tmp_path_factory.mktemp("yaml") / "stage.yaml"
    path.write_text(yaml.safe_dump({"namespace": "me", "max_steps": 1, "title": title}), encoding="utf-8")
    assert read_arguments(Stage, [str(path)]).title == title


# --- What is wrong with them -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("namespace: me\nmax_step: 7", r"stage\.yaml: key 'max_step' is unknown\. Did you mean 'max_steps'\?"),
        ("namespace: me\nmax_steps: 7\nzzz: 1", r"key 'zzz' is unknown\. Known: hub, lr, max_steps, namespace, priv"),
        ("namespace: me\nmax_steps: 7\n1: 2", r"key '1' is unknown"),
        ("namespace: me\nmax_steps: ten", r"stage\.yaml: --max_steps.*: invalid int value: 'ten'"),
        ("namespace: me\nmax_steps: 1.5", r"invalid int value: '1\.5'"),
        ("namespace: me\nmax_steps: 1\nlr: fast", r"--lr: invalid float value: 'fast'"),
        ("namespace: me\nmax_steps: 1\nprivate: maybe", r"--private"),
        ("namespace: me\nmax_steps: 1\nseeds: [1, x]", r"--seeds: invalid int value: 'x'"),
        ("namespace: me\nmax_steps: [1, 2]", r"stage\.yaml: .*'2'"),
        ("namespace: me\nmax_steps: {a: 1}", r"key 'max_steps' holds nested values; recipes are flat"),
        ("namespace: me\nmax_steps: 1\nseeds: [[1, 2]]", r"key 'seeds' holds nested values"),
        ("max_steps: 7", r"stage\.yaml: .*required: --namespace"),
        ("", r"required: --namespace, --max_steps"),
        ("- namespace\n- me", r"must hold `key: value` lines, but holds a list"),
        ("namespace: [me", r"cannot be read as YAML"),
        (b"namespace: \xff", r"cannot be read as YAML"),
    ],
)
def test_a_wrong_recipe_is_told_in_one_line(recipe, text, message):
    with pytest.raises(ConfigurationError, match=message):
        read_arguments(Stage, [recipe(text)])


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--max_stepz", "8"], r"--max_stepz is unknown\. Did you mean 'max_steps'\?"),
        (["--max-stepz=8"], r"--max_stepz is unknown"),
        (["--max_steps", "ten"], r"the command line: --max_steps.*invalid int value: 'ten'"),
        (["stray"], r"stray"),
        (["--max_steps"], r"--max_steps.*expected one argument"),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line(recipe, argv, message):
    with pytest.raises(ConfigurationError, match=message):
        read_arguments(Stage, [recipe("namespace: me\nmax_steps: 1"), *argv])


def test_a_missing_recipe_is_named_with_a_place_to_look():
    with pytest.raises(
        ConfigurationError, match=r"nowhere\.yaml does not exist; give the recipe's YAML.*configs/demo"
    ):
        read_arguments(Stage, ["nowhere.yaml"])


def test_the_user_gets_that_line_and_exit_status_2(recipe, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["recipes/pretrain.py"])
    with pytest.raises(SystemExit) as left:
        parse_arguments(Stage, [recipe("namespace: me\nepoch: 1")])
    assert left.value.code == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("pretrain.py: ")


def test_help_needs_no_recipe(capsys):
    with pytest.raises(SystemExit) as left:
        read_arguments(Stage, ["--help"])
    assert left.value.code == 0
    assert "--max_steps" in capsys.readouterr().out


# --- The Hub ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:5173", "http://localhost:5173/", "http://[::1]:5173", "http://127.0.0.1"]
)
def test_embedded_is_a_hub_on_loopback(monkeypatch, endpoint):
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    use_hub("embedded")
    assert os.environ["HF_ENDPOINT"] == endpoint


@pytest.mark.parametrize(
    "endpoint", [None, "", "https://huggingface.co", "http://127.0.0.1.example.com", "http://localhost@example.com"]
)
def test_embedded_never_falls_through_to_a_real_hub(monkeypatch, endpoint):
    if endpoint is None:
        monkeypatch.delenv("HF_ENDPOINT", raising=False)
    else:
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
    with pytest.raises(
        ConfigurationError, match=r"no embedded Hub is in the environment. Run this under `fsa hub run"
    ):
        use_hub("embedded")


@pytest.mark.parametrize("hub", ["huggingface.co", "ftp://huggingface.co", "", "Embedded"])
def test_a_hub_is_embedded_or_a_url(hub):
    with pytest.raises(ConfigurationError, match=rf"hub must be 'embedded' or a URL .*not '{hub}'"):
        use_hub(hub)


def test_the_hub_that_is_set_already_needs_no_new_start(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example")
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("started again"))
    use_hub("https://hub.example/")


def test_another_hub_starts_the_recipe_again_with_it_in_the_environment(tmp_path):
    stub = tmp_path / "stub.py"
    stub.write_text(
        "import os, sys\n"
        "from dataclasses import dataclass\n"
        "from hub_tools.arguments import parse_arguments\n"
        "@dataclass\n"
        "class Stub:\n"
        "    title: str\n"
        "    hub: str = 'embedded'\n"
        "arguments = parse_arguments(Stub)\n"
        "from huggingface_hub import constants\n"
        "print(os.environ['HF_ENDPOINT'], constants.ENDPOINT, arguments.title)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("HF_ENDPOINT")
    finished = subprocess.run(
        [sys.executable, stub, "--title", "two words", "--hub", "https://hub.example/"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert finished.stdout == "https://hub.example https://hub.example two words\n", finished.stderr


# --- How a stage ends ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        ScoringFileError("gold.jsonl:3: not JSON"),
        ValueError("models must be distinct"),
        FloatingPointError("the loss is not finite at step 7"),
        FileNotFoundError(2, "No such file", "data"),
        httpx2.ConnectError("Connection refused"),
    ],
)
def test_what_a_stage_reports_is_a_line_and_exit_status_1(error, capsys, monkeypatch):
    monkeypatch.delenv("FSA_TRACE", raising=False)
    monkeypatch.setattr(sys, "argv", ["recipes/finetune.py"])

    def main():
        raise error

    with pytest.raises(SystemExit) as left:
        run_stage(main)
    assert left.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("finetune: ")
    assert str(error) in said.splitlines()[0]
    assert "FSA_TRACE=1" in said.splitlines()[1]


def test_a_hub_that_does_not_answer_is_named(capsys, monkeypatch):
    def main():
        raise httpx2.ConnectError("Connection refused")

    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(SystemExit):
        run_stage(main)
    assert "http://127.0.0.1:9: Connection refused" in capsys.readouterr().err


def test_the_trace_can_be_asked_for(monkeypatch):
    def main():
        raise ValueError("models must be distinct")

    monkeypatch.setenv("FSA_TRACE", "1")
    with pytest.raises(ValueError, match="models must be distinct"):
        run_stage(main)


class ForeignError(ValueError):
    """Stands for a library's own error: nobody here has written it for the stage's user."""


@pytest.mark.parametrize("bug", [KeyError("text"), TypeError("None"), AttributeError("x"), ForeignError("inside")])
def test_a_bug_keeps_its_trace(bug):
    def main():
        raise bug

    with pytest.raises(type(bug)):
        run_stage(main)


def test_ctrl_c_says_how_to_go_on(capsys):
    def main():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as left:
        run_stage(main)
    assert left.value.code == 130
    assert "The same command goes on" in capsys.readouterr().err


def test_a_stage_that_ends_well_just_ends():
    assert run_stage(lambda: None) is None


# --- Sweeps ----------------------------------------------------------------------------------------------------------


@dataclass
class Named:
    name: str
    steps: int = 3
    seeds: list[int] = field(default_factory=list)


def test_a_sweep_is_one_run_for_each_of_its_mappings_and_the_command_line_is_for_all(recipe):
    path = recipe("steps: 7\nseeds: [1]\nsweep:\n- {name: a, steps: 8}\n- name: b\n  seeds: []\n")
    assert read_sweep(Named, [path]) == [Named("a", 8, [1]), Named("b", 7)]
    assert read_sweep(Named, [path, "--steps", "9"]) == [Named("a", 9, [1]), Named("b", 9)]


def test_without_a_sweep_there_is_one_run(recipe):
    assert read_sweep(Named, [recipe("name: a"), "--name", "b"]) == read_sweep(Named, ["--name", "b"]) == [Named("b")]


@pytest.mark.parametrize(
    ("text", "argv", "message"),
    [
        ("sweep: 3", [], "'sweep' must be a list of mappings"),
        ("sweep: []", [], "'sweep' must be a list of mappings"),
        ("sweep: [a]", [], "'sweep' must be a list of mappings"),
        ("name: x\nsweep: [{steps: 1}, {steps: 2}]", [], "needs a `name` of its own"),
        ("sweep: [{name: a}, {name: a}]", [], "needs a `name` of its own"),
        ("sweep: [{name: a, step: 2}]", [], r"stage.yaml, a: key 'step' is unknown. Did you mean 'steps'"),
        ("sweep: [{name: a, seeds: [[1]]}]", [], "holds nested values"),
        ("sweep: [{name: a}, {name: b}]", ["--name=c"], "describes 2 runs, which cannot all have one --name"),
        ("sweep: [{name: a}]", ["--stepps", "2"], "--stepps is unknown"),
    ],
)
def test_a_sweep_that_makes_no_sense_is_told_as_such(recipe, text, argv, message):
    with pytest.raises(ConfigurationError, match=message):
        read_sweep(Named, [recipe(text), *argv])


def test_a_recipe_that_cannot_sweep_says_so(recipe):
    with pytest.raises(ConfigurationError, match="key 'sweep' is unknown"):
        read_arguments(Named, [recipe("name: a\nsweep: [{name: a}]")])
