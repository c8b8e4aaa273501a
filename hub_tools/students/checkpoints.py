"""
The state of a pretraining run on disk: `<folder>/step-0000200/` with all that the steps after it depend on.

    state.safetensors   weight.<name>, and of the optimiser exp_avg.<name>, exp_avg_sq.<name>: whole, also where
                        processes share the model (FSDP2)
    log.json            what the run has measured so far, and the optimiser's numbers
    checkpoint.json     {"step": 200, "run": <digest>, "sha256": {file: …}}; whole folders only are renamed into place

A checkpoint whose files do not have these sums is named in a warning and passed over for the one before; so two are
kept. It depends on the run's digest, the number of processes aside: a checkpoint of another run is never resumed.
"""

import fcntl
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TextIO

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.distributed.tensor import DTensor, distribute_tensor


logger = logging.getLogger(__name__)

UNREADABLE_JSON = (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, AttributeError)
STATE, LOG, RECORD, LOCK = "state.safetensors", "log.json", "checkpoint.json", ".lock"


class Remote(Protocol):
    """Where checkpoints also go, such as a Hub (`hub_tools.hub.checkpoints`); only the main process talks to it."""

    @property
    def reading(self) -> Path | None:
        """The checkpoint that it is copying just now, which must stay where it is."""

    def offer(self, checkpoint: Path) -> None:
        """Takes a new checkpoint, or leaves it for the next one; returns at once and never raises."""

    def settle(self, checkpoint: Path) -> bool:
        """Waits a while for `checkpoint`, the last one of a run that stops, to be there; says whether it is."""

    def newest(self) -> int | None:
        """The step of its newest checkpoint of this run, None if it has none; RuntimeError if it cannot be asked."""

    def fetch(self, folder: Path) -> Path | None:
        """Puts its newest checkpoint of this run into `folder` as `step-N`, and says where; None if it has none."""


@dataclass
class Checkpoint:
    """A state to go on from: `tensors` as in the file, on the CPU; `numbers`: name → what else the optimiser keeps."""

    step: int
    log: dict[str, Any]
    numbers: dict[str, dict[str, float]]
    tensors: dict[str, torch.Tensor]


@contextmanager
def held(folder: Path, accelerator: Accelerator) -> Iterator[None]:
    """
    Keeps others from training into `folder`, or pushing from it, within the block, which may delete it.

    The main process has the lock, for it alone writes; it is gone with the process, however that ends.

    Raises:
        ValueError: another process has it, or there can be none; every process of this run raises then.
    """
    lock, told = None, [""]
    if accelerator.is_main_process:
        try:
            lock = _lock(folder)
        except BlockingIOError:
            told = [f"another process trains this run in {folder}, or pushes it; wait for it or stop it."]
        except OSError as error:
            told = [f"cannot lock {folder} ({error}); a run needs a folder that it may write, on a disk with locks."]
    try:
        if reason := broadcast_object_list(told)[0]:
            raise ValueError(reason)
        yield
    finally:
        if lock is not None:
            lock.close()


def _lock(folder: Path) -> TextIO:
    """The open lock of `folder`; BlockingIOError if another process has it."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        # Who had it may delete the folder meanwhile, and what was opened is a lock of nothing
        with suppress(FileNotFoundError), ExitStack() as stack:
            lock = stack.enter_context((folder / LOCK).open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(lock.fileno()), (folder / LOCK).stat()):
                stack.pop_all()
                return lock


def agreed(said: bool, accelerator: Accelerator) -> bool:
    """Whether any process says so, the same for all; all of them must call this."""
    if accelerator.num_processes == 1:
        return said
    return bool(accelerator.reduce(torch.tensor(float(said), device=accelerator.device), reduction="sum") > 0)


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor, put together from all processes where they share it: then all of them must call this."""
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach()


def path_of(folder: Path, step: int) -> Path:
    """Where `save` writes the checkpoint of `step`."""
    return folder / f"step-{step:07d}"


def save(
    folder: Path,
    step: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    log: Mapping[str, Any],
    accelerator: Accelerator,
    run: str = "",
    spare: Path | None = None,
) -> Path:
    """
    Writes `folder/step-N`, whole or not at all, and drops all but it and the one before (and `spare`).

    Only the main process writes; the others wait, so that none runs ahead of a checkpoint that may fail.

    Raises:
        RuntimeError: moments would be missing in it.
    """
    tensors, numbers = {}, {}
    if strangers := len(set(optimizer.state) - set(model.parameters())):
        raise RuntimeError(f"the optimiser has moments of {strangers} tensors that are none of the model's weights.")
    for name, parameter in model.named_parameters():
        found = {"weight": parameter, **optimizer.state.get(parameter, {})}
        for key, value in sorted(found.items()):  # processes that share a tensor must ask for the same one at a time
            if isinstance(value, torch.Tensor):
                value = whole(value)
                if accelerator.is_main_process:
                    tensors[f"{key}.{name}"] = value.cpu().contiguous()
            else:
                numbers.setdefault(name, {})[key] = value
    final = path_of(folder, step)
    if accelerator.is_main_process:
        partial = folder / "partial"
        shutil.rmtree(partial, ignore_errors=True)  # what a killed run left
        partial.mkdir(parents=True)
        save_file(tensors, partial / STATE)
        (partial / LOG).write_text(json.dumps({"log": log, "numbers": numbers}), encoding="utf-8")
        record = {"step": step, "run": run, "sha256": {name: _sha256(partial / name) for name in (STATE, LOG)}}
        (partial / RECORD).write_text(json.dumps(record), encoding="utf-8")
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
        _drop_all_but(folder, final, spare)
    accelerator.wait_for_everyone()
    return final


def _drop_all_but(folder: Path, newest: Path, spare: Path | None) -> None:
    """Keeps `newest` and the one before it; one of a later step is a damaged one that was passed over."""
    earlier = sorted(path for path in folder.glob("step-*") if path.name < newest.name)
    for path in folder.glob("step-*"):
        if path not in (newest, spare, *earlier[-1:]):
            shutil.rmtree(path, ignore_errors=True)


def newest(folder: Path, run: str = "") -> Checkpoint | None:
    """
    The newest undamaged checkpoint of `folder`.

    Raises:
        ValueError: it is of another run.
    """
    for path in sorted(folder.glob("step-*"), reverse=True) if folder.is_dir() else []:
        try:
            return _read(path, run)
        except (OSError, *UNREADABLE_JSON, SafetensorError, Damaged) as error:
            logger.warning("%s is damaged and passed over (%s: %s).", path, type(error).__name__, error)
    return None


class Damaged(Exception):
    """A checkpoint that is not as it was written."""


def _read(path: Path, run: str) -> Checkpoint:
    record = json.loads((path / RECORD).read_text(encoding="utf-8"))
    if record["run"] != run:
        raise ValueError(
            f"{path} is of another run ({record['run'][:12] or 'without a digest'}, not {run[:12] or 'without one'}): "
            "the settings, the corpus or the student differ. Give this run a folder of its own, or delete that one."
        )
    if path.name != f"step-{record['step']:07d}":
        raise Damaged(f"its {RECORD} speaks of step {record['step']}")
    for name in (STATE, LOG):
        if _sha256(path / name) != record["sha256"][name]:
            raise Damaged(f"{name} is not as it was written")
    rest = json.loads((path / LOG).read_text(encoding="utf-8"))
    return Checkpoint(record["step"], rest["log"], rest["numbers"], load_file(path / STATE))


def find(folder: Path, accelerator: Accelerator, run: str = "", remote: Remote | None = None) -> Checkpoint | None:
    """
    The newest checkpoint in `folder`, or of `remote` if that has a newer one, the same for all processes.

    The main process reads and the others are told, for on several machines only one of them has the folder.

    Raises:
        ValueError: what is there is of another run.
        RuntimeError: there is none in `folder`, and `remote` cannot be asked.
    """
    checkpoint = None
    if accelerator.is_main_process:
        checkpoint = newest(folder, run)
        if remote is not None and _is_newer(remote, folder, checkpoint.step if checkpoint else None):
            checkpoint = None  # there may be no room for two
            checkpoint = newest(folder, run)
    if accelerator.num_processes == 1:
        return checkpoint
    told: list[Any] = [None]
    if checkpoint is not None:
        shapes = {name: (tensor.shape, tensor.dtype) for name, tensor in checkpoint.tensors.items()}
        told = [(checkpoint.step, checkpoint.log, checkpoint.numbers, shapes)]
    broadcast_object_list(told)
    if told[0] is None:
        return None
    step, log, numbers, shapes = told[0]
    tensors = {}
    for name, (shape, dtype) in shapes.items():
        mine = checkpoint.tensors[name] if checkpoint else torch.empty(shape, dtype=dtype)
        mine = mine.to(accelerator.device)
        torch.distributed.broadcast(mine, src=0)
        tensors[name] = mine.cpu()
    return Checkpoint(step, log, numbers, tensors)


def _is_newer(remote: Remote, folder: Path, here: int | None) -> bool:
    """Whether `remote` had a checkpoint of a later step than `here`, which now lies in `folder`."""
    try:
        there = remote.newest()
        newer = there is not None and (here is None or there > here)
        return newer and remote.fetch(folder) is not None
    except RuntimeError as error:
        if here is None:  # the run would begin anew, and replace what it could not see
            raise
        logger.warning("Going on from step %d in %s, though there may be a newer checkpoint: %s", here, folder, error)
        return False


@torch.no_grad()
def load_weights(checkpoint: Checkpoint, model: nn.Module) -> None:
    """
    Gives `model`, not yet shared by processes, the checkpoint's weights.

    Raises:
        ValueError: it has other weights than the model that was trained.
    """
    for name, parameter in model.named_parameters():
        found = checkpoint.tensors.get(f"weight.{name}")
        if found is None or found.shape != parameter.shape:
            shape = "none" if found is None else tuple(found.shape)
            raise ValueError(
                f"the checkpoint of step {checkpoint.step} does not fit the student: {name} should be "
                f"{tuple(parameter.shape)}, found {shape}. Give this run a folder of its own."
            )
        parameter.copy_(found)


def load_optimizer(checkpoint: Checkpoint, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Gives `optimizer` the checkpoint's moments, cut as `model`'s parameters are where processes share them."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    kinds = sorted({key.partition(".")[0] for key in checkpoint.tensors} - {"weight"})
    packed = optimizer.state_dict()
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    numbers = [index for group in packed["param_groups"] for index in group["params"]]
    packed["state"] = {}
    for index, parameter in zip(numbers, parameters, strict=True):
        name = names[parameter]
        state: dict[str, Any] = dict(checkpoint.numbers.get(name, {}))
        for kind in kinds:
            tensor = checkpoint.tensors.get(f"{kind}.{name}")
            if tensor is not None and isinstance(parameter, DTensor) and tensor.shape == parameter.shape:
                tensor = distribute_tensor(
                    tensor.to(parameter.device), parameter.device_mesh, parameter.placements, src_data_rank=None
                )
            if tensor is not None:
                state[kind] = tensor.clone()  # what was read is the file's own memory
        if state:
            packed["state"][index] = state
    optimizer.load_state_dict(packed)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
