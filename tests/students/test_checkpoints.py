"""Checkpoints: written whole, read back bit by bit, and never trusted when they are damaged or of another run."""

import fcntl
import json
import logging
import os
import shutil
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file

from hub_tools.students import checkpoints
from hub_tools.students.checkpoints import LOG, RECORD, STATE
from hub_tools.students.optimizer import RMSScaledAdamW
from tests.students.miniature import student


def trained(steps: int):
    """A model, and its optimiser after some steps with made-up gradients."""
    model = student()[0]
    optimizer = RMSScaledAdamW(model.parameters())
    torch.manual_seed(1)
    for _ in range(steps):
        for parameter in model.parameters():
            parameter.grad = torch.randn_like(parameter)
        optimizer.step()
    return model, optimizer


@pytest.fixture
def folder(tmp_path):
    """Checkpoints of steps 3 and 6 of the run "r"."""
    for step in (3, 6):
        checkpoints.save(tmp_path, step, *trained(step), {"seconds": float(step)}, Accelerator(), "r")
    return tmp_path


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "half_a_state": lambda path: os.truncate(path / STATE, (path / STATE).stat().st_size // 2),
    "an_empty_state": lambda path: os.truncate(path / STATE, 0),
    "no_state": lambda path: (path / STATE).unlink(),
    "one_bit_of_the_state": lambda path: flip(path / STATE),
    "half_a_log": lambda path: os.truncate(path / LOG, (path / LOG).stat().st_size // 2),
    "one_bit_of_the_log": lambda path: flip(path / LOG),
    "no_log": lambda path: (path / LOG).unlink(),
    "no_record": lambda path: (path / RECORD).unlink(),
    "half_a_record": lambda path: os.truncate(path / RECORD, (path / RECORD).stat().st_size // 2),
    "a_record_of_another_kind": lambda path: (path / RECORD).write_text("[1, 2]"),
    "a_record_without_sums": lambda path: (path / RECORD).write_text('{"step": 6, "run": "r"}'),
    "nothing": lambda path: [file.unlink() for file in path.iterdir()],
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_checkpoint_is_named_and_passed_over_for_the_one_before(folder, damage, caplog):
    damage(folder / "step-0000006")
    assert checkpoints.newest(folder, "r").step == 3
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert f"{folder / 'step-0000006'} is damaged and passed over" in line


def test_with_both_damaged_there_is_none(folder):
    for step in (3, 6):
        flip(folder / f"step-000000{step}" / STATE)
    assert checkpoints.newest(folder, "r") is None
    assert checkpoints.newest(folder / "nowhere", "r") is None


def test_a_checkpoint_under_another_steps_name_is_damaged(folder):
    shutil.move(folder / "step-0000003", folder / "step-0000009")
    assert checkpoints.newest(folder, "r").step == 6


def test_a_state_comes_back_bit_by_bit_and_goes_on_alike(folder):
    model, optimizer = trained(6)
    restored = student()[0]
    again = RMSScaledAdamW(restored.parameters())
    found = checkpoints.newest(folder, "r")
    checkpoints.load_weights(found, restored)
    checkpoints.load_optimizer(found, restored, again)
    assert (found.step, found.log) == (6, {"seconds": 6.0})
    for one, other in zip(model.parameters(), restored.parameters(), strict=True):
        assert torch.equal(one, other)
        assert optimizer.state[one]["step"] == again.state[other]["step"] == 6
        assert torch.equal(optimizer.state[one]["exp_avg"], again.state[other]["exp_avg"])
        one.grad = other.grad = torch.ones_like(one)
    optimizer.step()
    again.step()
    assert all(torch.equal(*pair) for pair in zip(model.parameters(), restored.parameters(), strict=True))


def test_tensors_are_gathered_in_one_order_whatever_order_a_state_has(tmp_path, monkeypatch):
    """Else processes that share them would each ask for another one, and a moment be half of the other one."""
    asked, whole = [], checkpoints.whole
    monkeypatch.setattr(checkpoints, "whole", lambda tensor: (asked.append(tensor), whole(tensor))[1])
    orders = []
    for turned in (False, True):
        model, optimizer = trained(3)
        for parameter, state in list(optimizer.state.items()):
            optimizer.state[parameter] = dict(reversed(state.items())) if turned else state
        checkpoints.save(tmp_path / str(turned), 3, model, optimizer, {}, Accelerator(), "r")
        orders.append([tensor.clone() for tensor in asked])
        asked.clear()
    assert len(orders[0]) == 3 * len(list(model.parameters()))
    assert all(torch.equal(one, other) for one, other in zip(*orders, strict=True))


def test_what_was_restored_does_not_live_in_the_file(folder):
    """The file's memory is mapped: a checkpoint that is deleted or overwritten must not change a moment."""
    model = student()[0]
    optimizer = RMSScaledAdamW(model.parameters())
    found = checkpoints.newest(folder, "r")
    checkpoints.load_optimizer(found, model, optimizer)
    pointers = {tensor.data_ptr() for tensor in found.tensors.values()}
    assert not pointers & {state["exp_avg"].data_ptr() for state in optimizer.state.values()}


def test_a_checkpoint_holds_weights_and_moments_with_their_names_and_no_pickle(folder):
    path = folder / "step-0000006"
    assert sorted(file.name for file in path.iterdir()) == sorted([STATE, LOG, RECORD])
    names = [name for name, _ in student()[0].named_parameters()]
    kinds = ("weight", "exp_avg", "exp_avg_sq")
    assert set(load_file(path / STATE)) == {f"{kind}.{name}" for kind in kinds for name in names}
    assert json.loads((path / RECORD).read_text())["step"] == 6


def test_two_are_kept_and_what_the_hub_is_reading(folder):
    state = trained(1)
    checkpoints.save(folder, 9, *state, {}, Accelerator(), "r", spare=folder / "step-0000003")
    assert sorted(path.name for path in folder.iterdir()) == ["step-0000003", "step-0000006", "step-0000009"]
    checkpoints.save(folder, 12, *state, {}, Accelerator(), "r")
    assert sorted(path.name for path in folder.iterdir()) == ["step-0000009", "step-0000012"]


def test_a_damaged_one_of_a_later_step_does_not_push_out_a_good_one(folder):
    """After a resume from 3, with other settings, steps may end in between."""
    flip(folder / "step-0000006" / STATE)
    checkpoints.save(folder, 5, *trained(1), {}, Accelerator(), "r")
    assert sorted(path.name for path in folder.iterdir()) == ["step-0000003", "step-0000005"]


def test_a_checkpoint_of_another_run_is_refused(folder):
    with pytest.raises(ValueError, match=r"is of another run .* Give this run a folder of its own"):
        checkpoints.newest(folder, "s" * 64)


def test_a_checkpoint_of_another_student_is_refused_by_the_weight_that_differs(folder):
    found = checkpoints.newest(folder, "r")
    found.tensors["weight.shared.weight"] = torch.zeros(3, 4)
    with pytest.raises(ValueError, match=r"does not fit the student: shared.weight should be .* found \(3, 4\)"):
        checkpoints.load_weights(found, student()[0])
    del found.tensors["weight.shared.weight"]
    with pytest.raises(ValueError, match="found none"):
        checkpoints.load_weights(found, student()[0])


def test_a_lock_whose_folder_was_deleted_meanwhile_keeps_nobody_off_and_is_taken_anew(tmp_path, monkeypatch):
    """Between its being opened and its being locked the run before ends, and deletes the folder."""
    folder, lock, locked = tmp_path / "run", fcntl.flock, []

    def late(file, how):
        if not locked:
            shutil.rmtree(folder)
        locked.append(file)
        lock(file, how)

    monkeypatch.setattr(checkpoints.fcntl, "flock", late)
    with checkpoints.held(folder, Accelerator()):
        assert (len(locked), locked[0].closed) == (2, True)
        with pytest.raises(ValueError, match="another process"), checkpoints.held(folder, Accelerator()):
            pytest.fail("two of them")
        shutil.rmtree(folder)  # as the recipe does at its end
    with checkpoints.held(folder, Accelerator()):
        pass


def test_a_folder_that_cannot_be_locked_is_said_so(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(ValueError, match=r"cannot lock .*/file/run .* a folder that it may write"),
        checkpoints.held(tmp_path / "file" / "run", Accelerator()),
    ):
        pytest.fail("it is held")


class Elsewhere:
    """A remote that has what another machine wrote."""

    reading = None

    def __init__(self, source: Path | None):
        self.source, self.asked = source, 0

    def newest(self) -> int | None:
        return self.source and int(self.source.name[-7:])

    def fetch(self, folder: Path) -> Path | None:
        self.asked += 1
        return self.source and Path(shutil.copytree(self.source, folder / self.source.name))


def test_a_machine_fetches_a_checkpoint_that_is_newer_than_its_own_and_only_then(folder, tmp_path):
    here, machine = tmp_path / "here", Accelerator()
    for source, wanted, fetched in [(3, 3, 1), (6, 6, 1), (6, 6, 0), (3, 6, 0)]:
        remote = Elsewhere(folder / f"step-000000{source}")
        assert (checkpoints.find(here, machine, "r", remote).step, remote.asked) == (wanted, fetched)
    assert checkpoints.find(tmp_path / "else", machine, "r", Elsewhere(None)) is None


def test_a_remote_that_cannot_be_asked_stops_only_a_machine_without_a_checkpoint(folder, tmp_path, caplog):
    class Down(Elsewhere):
        def newest(self):
            raise RuntimeError("the Hub cannot be reached")

    assert checkpoints.find(folder, Accelerator(), "r", Down(None)).step == 6
    assert "Going on from step 6" in caplog.text
    assert "there may be a newer checkpoint: the Hub cannot be reached" in caplog.text
    with pytest.raises(RuntimeError, match="the Hub cannot be reached"):
        checkpoints.find(tmp_path / "there", Accelerator(), "r", Down(None))


def test_what_the_remote_gives_is_checked_too(folder, tmp_path):
    flip(folder / "step-0000006" / STATE)
    assert checkpoints.find(tmp_path / "there", Accelerator(), "r", Elsewhere(folder / "step-0000006")) is None
