"""Two processes on one CPU, as `accelerate launch` starts them: the same losses, predictions and files as one."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hub_tools.students.finetuning import Finetuning
from hub_tools.students.pretraining import encode_pairs, plan_step
from tests.students.miniature import LESSONS, PAIRS, SETTINGS, finetune_frozen, run, student
from tests.tiny_models import save_tiny_student


ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tests" / "students" / "miniature.py"
CONFIG = ROOT / "recipes" / "configs" / "accelerate" / "multi_cpu.yaml"


@pytest.fixture(scope="module")
def taught(tmp_path_factory) -> Path:
    return save_tiny_student(tmp_path_factory.mktemp("taught"), lessons=LESSONS)


@pytest.fixture(scope="module")
def together(tmp_path_factory, taught) -> Path:
    """The folder that two processes wrote."""
    folder = tmp_path_factory.mktemp("together")
    launch = [Path(sys.executable).parent / "accelerate", "launch", "--config_file", CONFIG, SCRIPT]
    finished = subprocess.run(
        [*launch, "--folder", folder, "--student", taught],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    return folder


def read(path: Path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_pretraining_gives_the_losses_and_weights_of_one_process(together, tmp_path):
    weights, alone = run(tmp_path)
    log = read(together / "log.json")
    for kind in ("losses", "validation"):
        assert [step for step, _ in log[kind]] == [step for step, _ in getattr(alone, kind)]
        assert [loss for _, loss in log[kind]] == pytest.approx([loss for _, loss in getattr(alone, kind)], rel=1e-4)
    for name, weight in load_file(together / "weights.safetensors").items():
        assert torch.allclose(weight, weights[name], rtol=1e-2, atol=1e-4), name


def test_pretraining_reads_every_pair_in_one_of_the_processes(together):
    encoded, _ = encode_pairs(PAIRS, student()[1])
    number = {(tuple(source), tuple(target)): index for index, (source, target) in enumerate(encoded)}
    steps = zip(*(read(together / f"read-{process}.json") for process in (0, 1)), strict=True)
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
