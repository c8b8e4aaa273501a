"""How a repo on the Hub came to be: the facts of one run, kept in the repo as `run.json`.

A stage asks `find_finished_run` before it starts: if the repo already holds the result of the same stage,
configuration, inputs and package version, there is nothing to do.

    run = start_run("pretrain", config=asdict(arguments), inputs={corpus: resolve_input(corpus, "dataset")})
    if find_finished_run(repo_id, "model", run.digest):
        ...                                    # reuse it
    push_model(folder, repo_id, card=card, private=True, run=run.finish())
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import httpx2
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import (
    HFValidationError,
    LocalEntryNotFoundError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import validate_repo_id


logger = logging.getLogger(__name__)

RUN_FILE = "run.json"
LIBRARIES = (
    "fsa-distill", "torch", "transformers", "datasets", "accelerate", "evaluate", "tokenizers", "huggingface_hub",
    "trl", "peft", "vllm",
)  # fmt: skip

# What a run writes to and how fast it goes does not decide what comes out of it.
INCIDENTAL = frozenset(
    "hub private data runs push_to_hub output_dir overwrite_output_dir resume num_proc num_workers "
    "dataloader_num_workers logging_steps report_to run_name disable_tqdm log_level show_progress "
    # of pretraining: where its pairs come from, where its checkpoints and its log go and when, which of several runs
    # are done, and how many pairs fit the memory at once, on which the gradient does not depend in expectation (only
    # what dropout draws does, as on the number of processes; the log tells where it changed)
    "streaming push_checkpoints track only checkpoint_every validate_every pairs_per_forward "
    # of labelling: what it may cost, who serves the teacher, and in what portions
    "push_every max_cost max_tokens max_hours price_input price_output price_gpu_hour gpus throughput endpoints "
    "api_key_env concurrency requests_per_minute tokens_per_minute timeout attempts poll_seconds chunk workers "
    "ray_address gpu_memory_utilization".split()
)
# `token` and `hub_token` are secrets; `max_new_tokens` and `tokenizer` are not.
_SECRET_KEY = re.compile(r"(^|[_-])(token|api[_-]?key|secret|password|credentials?)$", re.IGNORECASE)
_SECRET_FLAG = re.compile(r"(--?[\w-]*(?:token|api[_-]key|secret|password))(\s+|=)\S+", re.IGNORECASE)
LOCAL = (
    "Folders of this machine are not read: push yours to a Hub (the embedded one, `fsa hub serve`, is local) and give"
    " its id there"
)
TOKEN = re.compile(r"hf_[A-Za-z0-9]{30,}")


@dataclass(frozen=True)
class Run:
    """
    The facts of one run of one stage. `inputs` maps each Hub repo that was read to its commit.

    `started`, `seconds` and `hardware` are those of the session that finished it: what an earlier one did, before the
    stage was stopped and started again, is among the `facts` where the stage keeps count.
    """

    stage: str
    config: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    command: str = ""
    git_revision: str | None = None
    libraries: dict[str, str] = field(default_factory=dict)
    hardware: dict[str, Any] = field(default_factory=dict)
    started: str = ""
    finished: str | None = None
    seconds: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)  # what was measured on the way: tokens, cost, …

    @property
    def digest(self) -> str:
        """Sha256 over what decides the result: stage, configuration, inputs and package version."""
        deciding = {key: value for key, value in self.config.items() if key not in INCIDENTAL}
        facts = [self.stage, deciding, self.inputs, self.libraries.get("fsa-distill")]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def finish(self, **facts: Any) -> Run:
        """The same run with its end set to now, the seconds since it was last started, and what was measured."""
        now = datetime.now(UTC)
        seconds = (now - datetime.fromisoformat(self.started)).total_seconds()
        return replace(self, finished=now.isoformat(timespec="seconds"), seconds=round(seconds, 1), facts=facts)

    def to_json(self) -> str:
        """The run as JSON text, digest included."""
        return json.dumps({**asdict(self), "digest": self.digest}, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Run:
        """Read what `to_json` wrote; keys of newer versions are ignored.

        Raises:
            ValueError: if the text is not JSON, or not a run.
        """
        facts = json.loads(text)
        if not isinstance(facts, dict) or not isinstance(facts.get("stage"), str):
            raise ValueError(f"{RUN_FILE} should be a JSON object with a `stage`, found {text[:80]!r}")
        known = {item.name for item in fields(cls)}
        return cls(**{key: value for key, value in facts.items() if key in known})


def start_run(stage: str, config: Mapping[str, Any], inputs: Mapping[str, str], command: str | None = None) -> Run:
    """A run that starts now, on this machine. Secrets in `config` and `command` are dropped.

    `config` may hold paths, tuples and dataclass values: they are kept as JSON would keep them.
    """
    if command is None:
        command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
    return Run(
        stage=stage,
        config=_without_secrets(json.loads(json.dumps(dict(config), default=str))),
        inputs=dict(inputs),
        command=TOKEN.sub("hf_…", _SECRET_FLAG.sub(r"\1\2…", command)),
        git_revision=_git_revision(),
        libraries=_library_versions(),
        hardware=_hardware(),
        started=datetime.now(UTC).isoformat(timespec="milliseconds"),
    )


def check_repo_id(repo_id: str, repo_type: str, hint: str) -> None:
    """
    Passes if a Hub could have a repo of this id. The client says so too, but with an error that looks like a bug.

    Raises:
        ValueError: it could not; `hint`, a sentence, says what to do.
    """
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise ValueError(
            f"'{repo_id}' cannot be the id of a {repo_type} on a Hub, which is namespace/name, each of letters, digits"
            f" and single '-', '_' or '.' between them. {hint}"
        ) from error


def resolve_input(repo_id: str, repo_type: str, revision: str | None = None) -> str:
    """The commit that `revision` (default: main) of a repo stands for now; read the repo at this commit.

    Raises:
        ValueError: if the Hub has no such repo or revision, or could not have one of that id.
        ConnectionError: if it does not answer.
    """
    check_repo_id(repo_id, repo_type, LOCAL)
    try:
        return HfApi().repo_info(repo_id, repo_type=repo_type, revision=revision).sha
    except RevisionNotFoundError as error:
        raise ValueError(f"{repo_type} {repo_id} has no revision {revision!r} on {HfApi().endpoint}") from error
    except RepositoryNotFoundError as error:
        raise ValueError(
            f"{HfApi().endpoint} has no {repo_type} {repo_id}, or it is private and not yours."
            " Run the stage that writes it first, or check the name and HF_TOKEN"
        ) from error
    except httpx2.TransportError as error:
        raise _no_answer(repo_id, repo_type, error) from error


def find_finished_run(repo_id: str, repo_type: str, digest: str, revision: str | None = None) -> Run | None:
    """The run whose result the repo holds, if it is the run of `digest`; None if there is no such result.

    Raises:
        ValueError: if the Hub could not have a repo of that id, so that its result could not be pushed either.
        ConnectionError: if the Hub does not answer: there may be one.
    """
    check_repo_id(repo_id, repo_type, "Choose another namespace or name")
    try:
        commit = resolve_input(repo_id, repo_type, revision)
        path = hf_hub_download(repo_id, RUN_FILE, repo_type=repo_type, revision=commit)
        run = Run.from_json(Path(path).read_text(encoding="utf-8"))
    except RemoteEntryNotFoundError:
        return None
    except (LocalEntryNotFoundError, httpx2.TransportError) as error:  # it went between two questions
        raise _no_answer(repo_id, repo_type, error) from error
    except ValueError as error:
        logger.debug("no finished run in %s %s: %s", repo_type, repo_id, error)
        return None
    return run if run.finished and run.digest == digest else None


def _no_answer(repo_id: str, repo_type: str, error: Exception) -> ConnectionError:
    return ConnectionError(
        f"{HfApi().endpoint} does not answer when asked for {repo_type} {repo_id} ({type(error).__name__}). Is it"
        " down, or HF_ENDPOINT wrong? Start the embedded Hub with `fsa hub serve`, or run this by `fsa hub run -- …`"
    )


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_secrets(item) for key, item in value.items() if not _SECRET_KEY.search(key)}
    if isinstance(value, list):
        return [_without_secrets(item) for item in value]
    return TOKEN.sub("hf_…", value) if isinstance(value, str) else value


def _git_revision() -> str | None:
    """Commit of the checkout this file is tracked in, with `+dirty` if tracked files differ; None outside git."""

    def git(*arguments: str) -> str:
        folder = Path(__file__).parent
        return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # an installed copy may lie in a stranger's checkout
        dirty = "+dirty" if git("status", "--porcelain", "--untracked-files=no") else ""
        return git("rev-parse", "HEAD").strip() + dirty
    except (OSError, subprocess.CalledProcessError):
        return None


def _library_versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _hardware() -> dict[str, Any]:
    """This machine, whatever the run takes of it (`gpus`: all that it sees), and how many `machines`, if several."""
    facts: dict[str, Any] = {"cpu": _cpu_model(), "cores": os.cpu_count()}
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        facts["cores"] = len(os.sched_getaffinity(0))
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        facts["memory_gb"] = round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)
    torch = sys.modules.get("torch")  # a stage that never imported torch used no GPU
    if torch is not None and torch.cuda.is_available():
        facts["gpus"] = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    if (machines := _machines(os.environ)) > 1:
        facts["machines"] = machines
    return facts


def _machines(environment: Mapping[str, str]) -> int:
    """On how many machines torch's launcher, which `accelerate launch` uses, has started this run; 1 if it has not."""
    everywhere, here = (environment.get(name, "") for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    return -(-int(everywhere) // int(here)) if everywhere.isdigit() and here.isdigit() and int(here) else 1


def hardware_in_words(hardware: Mapping[str, Any]) -> str:
    """
    `Run.hardware` in a line, for a table.

    >>> hardware_in_words({"cpu": "Xeon", "cores": 2, "memory_gb": 23.5, "gpus": ["H200"]})
    'Xeon, 2 cores, 23.5 GiB of memory, H200'
    """
    memory = [f"{hardware['memory_gb']} GiB of memory"] if hardware.get("memory_gb") else []
    processor = [hardware.get("cpu") or "unknown processor", f"{hardware.get('cores')} cores"]
    return ", ".join([*processor, *memory, *hardware.get("gpus", [])])


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def digest_files(*paths: Path) -> str:
    """Sha256 over the names and contents of files, and of all files below folders: an input that lies on no Hub.

    Raises:
        ValueError: if a path does not exist.
    """
    digest = hashlib.sha256()
    for path in paths:
        if not path.exists():
            raise ValueError(f"{path} does not exist; the recipe's `data` should name the folder that holds it")
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                digest.update(f"{file.relative_to(path) if path.is_dir() else file.name}\0".encode())
                with file.open("rb") as content:
                    digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()
