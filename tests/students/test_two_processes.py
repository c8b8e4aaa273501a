"""Two processes on one CPU, as `accelerate launch` starts them: the same losses, predictions and files as one."""

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections import Counter
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from huggingface_hub import HfApi, hf_hub_download
from safetensors.torch import load_file

from hub_tools.hub.push import push_dataset
from hub_tools.hub.runs import Run
from hub_tools.students.finetuning import Finetuning
from hub_tools.students.pretraining import TrainingLog, plan_step
from tests.students.miniature import LESSONS, PAIRS, SETTINGS, encoded_pairs, finetune_frozen, run, student
from tests.tiny_models import save_tiny_student


ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tests" / "students" / "miniature.py"
CONFIGS = ROOT / "recipes" / "configs" / "accelerate"


@pytest.fixture(scope="module")
def taught(tmp_path_factory) -> Path:
    return save_tiny_student(tmp_path_factory.mktemp("taught"), lessons=LESSONS)


def launch(config: str, folder: Path, *more: str | Path, options: tuple[str, ...] = ()) -> Path:
    """Has two processes pretrain, and returns the folder that they wrote."""
    command = [Path(sys.executable).parent / "accelerate", "launch", "--config_file", CONFIGS / config, *options]
    finished = subprocess.run(
        [*command, SCRIPT, "--folder", folder, *more],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    return folder


@pytest.fixture(scope="module")
def together(tmp_path_factory, taught, corpus) -> Path:
    folder = tmp_path_factory.mktemp("together")
    return launch("multi_cpu.yaml", folder, "--student", taught, "--corpus", corpus)


@pytest.fixture(scope="module")
def corpus() -> str:
    """PAIRS on the Hub."""
    facts = {
        "domain": "restaurant",
        "rating": 4.0,
        "prompt": "analysis",
        "teacher": "t",
        "source": "s",
        "licence": "mit",
    }
    repo_id = f"ns-{uuid.uuid4().hex[:8]}/corpus"
    rows = Dataset.from_list([facts | pair for pair in PAIRS])
    push_dataset({"both": {"train": rows}}, repo_id, "---\nlicense: mit\n---\n# c\n")
    return repo_id


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> tuple[dict[str, torch.Tensor], TrainingLog, Path]:
    """Weights, log and folder of one process."""
    folder = tmp_path_factory.mktemp("alone")
    return *run(folder), folder


@pytest.fixture(scope="module")
def sharded(tmp_path_factory, alone) -> Path:
    """The folder of two processes that share the weights and went on from what one process had written at step 9."""
    folder = tmp_path_factory.mktemp("sharded")
    shutil.copytree(alone[2] / "step-0000009", folder / "checkpoints" / "step-0000009")
    options = ("--num_processes", "2", "--mixed_precision", "no", "--main_process_port", "0")
    return launch("multi_gpu_fsdp2.yaml", folder, options=options)


def read(path: Path):
    return json.loads(path.read_text(encoding="utf-8"))


def assert_alike(folder: Path, alone, first: int) -> None:
    """Losses from step `first` on, validations and weights are those of one process, but for float32's sums."""
    weights, wanted, _ = alone
    log = read(folder / "log.json")
    assert log["processes"] == 2
    for kind in ("losses", "validation"):
        assert [step for step, _ in log[kind]] == [step for step, _ in getattr(wanted, kind)]
        found, expected = (
            [loss for step, loss in pairs if step >= first] for pairs in (log[kind], getattr(wanted, kind))
        )
        assert found == pytest.approx(expected, rel=1e-4)
    found = load_file(folder / "weights.safetensors")
    assert found.keys() == weights.keys()
    for name, weight in found.items():
        assert torch.allclose(weight, weights[name], rtol=1e-2, atol=1e-4), name


def test_pretraining_gives_the_losses_and_weights_of_one_process(together, alone):
    assert_alike(together, alone, 0)


def test_processes_that_share_the_weights_go_on_from_one_process_and_give_its_losses_and_weights(sharded, alone):
    assert read(sharded / "log.json")["resumed_at"] == [9]
    assert read(sharded / "read-1.json")["fsdp2"]
    assert_alike(sharded, alone, 9)


def test_a_checkpoint_of_shared_weights_is_whole_and_one_process_goes_on_from_it(sharded, tmp_path):
    last = sharded / "checkpoints" / "step-0000012"
    state, weights = load_file(last / "state.safetensors"), load_file(sharded / "weights.safetensors")
    assert all(torch.equal(state[f"weight.{name}"], weight) for name, weight in weights.items())
    assert {name: state[f"exp_avg.{name}"].shape for name in weights} == {
        name: weight.shape for name, weight in weights.items()
    }
    shutil.copytree(last, tmp_path / last.name)
    found, log = run(tmp_path)
    assert log.resumed_at == [9, 12]
    assert all(torch.equal(found[name], weight) for name, weight in weights.items())


@pytest.mark.parametrize("how", ["together", "sharded"])
def test_one_process_writes_checkpoints_and_offers_them_to_the_hub(how, request):
    folder = request.getfixturevalue(how)
    offered = [read(folder / f"read-{process}.json")["offered"] for process in (0, 1)]
    steps = {"together": ["step-0000003", "step-0000006", "step-0000009"], "sharded": []}[how]
    assert offered == [steps, []]
    assert sorted(path.name for path in (folder / "checkpoints").glob("*-*")) == ["step-0000009", "step-0000012"]


@pytest.mark.parametrize("how", ["together", "sharded"])
def test_a_loss_that_is_not_finite_stops_all_and_the_state_before_it_is_whole(how, request):
    folder = request.getfixturevalue(how)
    for process in (0, 1):
        found = read(folder / f"read-{process}.json")
        assert "the loss is not finite at step 11" in found["said"]
        assert f"the last good state lies in {folder / 'poisoned'} (step 11)" in found["said"]
        assert found["off"] == 0


def test_the_recipe_pushes_from_one_process(together, corpus):
    repo_id = f"{corpus.partition('/')[0]}/by-two"
    pushed = [read(together / f"pushed-{process}.json") for process in (0, 1)]
    assert pushed == [[repo_id, repo_id], []]  # the student before and after
    assert len(HfApi().list_repo_commits(repo_id)) == 2  # one makes the repo
    assert Run.from_json(Path(hf_hub_download(repo_id, "run.json")).read_text("utf-8")).facts["processes"] == 2


def test_pretraining_reads_every_pair_in_one_of_the_processes(together):
    encoded = encoded_pairs(student()[1])
    number = {(tuple(source), tuple(target)): index for index, (source, target) in enumerate(encoded)}
    steps = zip(*(read(together / f"read-{process}.json")["read"] for process in (0, 1)), strict=True)
    for step, (first, second) in enumerate(steps):
        pairs = []
        for one, other in zip(first, second, strict=True):
            # Where a pass is too small for two, the second process reads the first one's pair, with no weight.
            pairs += one + ([] if other == one else other)
        assert Counter(number[tuple(source), tuple(target)] for source, target in pairs) == Counter(
            plan_step(step, len(PAIRS), SETTINGS.pairs_per_step, SETTINGS.seed)
        )


def test_fine_tuning_keeps_its_batch_size_and_scores_every_sentence_once(together, taught):
    """Five sentences, which two processes fill up to eight with sentences from the beginning."""
    facts, steps, predictions = finetune_frozen(str(taught))
    assert (facts["validation_f1"], steps) == (1.0, 6)  # 3 batches of 2, twice
    assert predictions == [text for _, text in LESSONS]
    for process in (0, 1):
        found_facts, found_steps, found = read(together / f"finetuned-{process}.json")
        assert (found_facts["validation_f1"], found_steps, found) == (1.0, 6, predictions)


def test_a_batch_that_cannot_be_shared_evenly_is_refused(taught, monkeypatch):
    class Three:
        num_processes = 3

    monkeypatch.setattr("hub_tools.students.finetuning.PartialState", Three)
    assert Finetuning().batch_size == 16
    with pytest.raises(ValueError, match="batch_size 16 cannot be shared by 3 processes"):
        finetune_frozen(str(taught), batch_size=16)
