"""How a step is cut over passes and processes: who computes what, and what is said where the bits depend on it."""

from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from transformers import BartConfig, T5Config

from hub_tools.students.pretraining import TrainingLog
from hub_tools.students.step_plan import plan_step
from hub_tools.students.steps import OutOfMemory, Share, Steps
from tests.students.miniature import encoded_pairs, student


@pytest.fixture(scope="module")
def encoded():
    return encoded_pairs(student()[1])


def steps_of(encoded, process, processes, pairs_per_forward=3, dropout_rate=0.0):
    """As the process of this number has them."""
    steps = Steps(student(dropout_rate)[0], encoded, Accelerator(), pairs_per_forward)
    steps.accelerator = SimpleNamespace(
        process_index=process, num_processes=processes, device=torch.device("cpu"), autocast=Accelerator().autocast,
        reduce=lambda total, reduction: total,
    )  # fmt: skip
    return steps


def test_processes_share_out_each_pass_and_who_has_no_pair_takes_the_shortest_with_no_weight(encoded):
    chosen = plan_step(0, 20, 7, 42)
    each = [steps_of(encoded, process, 4) for process in range(4)]
    passes = each[0].passes(chosen, each[0].lengths)
    assert [len(indices) for indices in passes] == [3, 2, 2]
    mine = [steps.shared(passes, steps.lengths) for steps in each]
    for number, indices in enumerate(passes):
        found = [shares[number] for shares in mine]
        assert sorted(pair for share in found for pair in share.pairs if share.weight) == sorted(indices)
        assert [share for share in found if not share.weight] == [Share([indices[0]], 0.0)] * (4 - len(indices))
        assert len(encoded[indices[0]][1]) == min(len(encoded[index][1]) for index in indices)


def test_one_process_has_the_passes_as_they_are(encoded):
    steps = steps_of(encoded, 0, 1)
    passes = steps.passes(range(20), steps.lengths)
    assert steps.shared(passes, steps.lengths) == [Share(indices, 1.0) for indices in passes]


def test_the_validations_of_processes_add_up_to_that_of_one(encoded):
    alone = steps_of(encoded, 0, 1).validate(encoded)
    assert sum(steps_of(encoded, process, 3).validate(encoded) for process in range(3)) == pytest.approx(alone)


def test_how_a_step_is_cut_is_told_where_dropout_makes_it_matter(encoded):
    assert steps_of(encoded, 0, 1, dropout_rate=0.1).cut() == "3 pairs a pass on 1 process"
    assert steps_of(encoded, 1, 4, 20, dropout_rate=0.1).cut() == "20 pairs a pass on 4 processes"
    assert steps_of(encoded, 0, 1).cut() == ""


@pytest.mark.parametrize(
    ("config", "drops"),
    [(T5Config(), True), (T5Config(dropout_rate=0), False), (BartConfig(), True), (BartConfig(dropout=0.0), False)],
    ids=["t5", "t5-without", "bart", "bart-without"],
)
def test_dropout_is_found_by_the_config(encoded, monkeypatch, config, drops):
    model = student()[0]
    for name in ("dropout_rate", "dropout", "attention_dropout", "activation_dropout"):
        monkeypatch.setattr(model.config, name, getattr(config, name, 0), raising=False)
    assert Steps(model, encoded, Accelerator(), 3).drops is drops


def test_a_log_tells_of_another_cut_on_resume_and_keeps_the_number_of_processes():
    log = TrainingLog.read({"cut": "20 pairs a pass on 1 process", "resumed_at": [40], "processes": 1})
    assert log.computes(cut="20 pairs a pass on 1 process") == []
    assert log.computes(cut="100 pairs a pass on 8 processes") == [
        "cut was '20 pairs a pass on 1 process', and is '100 pairs a pass on 8 processes' from step 40 on"
    ]
    assert log.cut == "20 pairs a pass on 1 process, then 100 pairs a pass on 8 processes from step 40"
    assert log.processes == 1
    earlier = TrainingLog.read({"resumed_at": [40]})  # of a version that did not tell
    assert earlier.computes(cut="3 pairs a pass on 1 process") == []
    assert earlier.cut == "3 pairs a pass on 1 process"
    without = TrainingLog.read({"resumed_at": [40]})
    assert without.computes(cut="") == []


def test_what_is_said_of_short_memory_promises_no_bits_that_dropout_changes(encoded):
    steps = steps_of(encoded, 0, 1)
    with (
        pytest.raises(
            OutOfMemory, match=r"pairs_per_forward \(now 3; .* the same gradients but for what dropout draws"
        ),
        steps.explained(7),
    ):
        raise MemoryError
