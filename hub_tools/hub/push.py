"""The only module that writes to a Hub. Each push is one commit: data or weights, card and `run.json` together.

It works on whatever HF_ENDPOINT names: the embedded Hub, or https://huggingface.co. Repos are private unless asked
otherwise. In a run of several processes only the main one may call it.
"""

from __future__ import annotations

import fnmatch
import logging
import random
import re
import tempfile
import time
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from datasets import Dataset
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, DatasetCard, HfApi, constants, metadata_load
from huggingface_hub.errors import HfHubHTTPError

from .errors import PushError, explained
from .runs import RUN_FILE, TOKEN, Run


logger = logging.getLogger(__name__)

ATTEMPTS = 6
PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.pickle", "*.ckpt", "*.joblib")
WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
TABLES = ("*.parquet", "*.jsonl", "*.csv", "*.arrow")


def refuse_accidental_push(hub: str) -> None:
    """Check that the Hub the clients talk to is the one the recipe names.

    Args:
        hub: "embedded" (any Hub on loopback), or the URL of a Hub.

    Raises:
        PushError: if HF_ENDPOINT points elsewhere.
    """
    endpoint = constants.ENDPOINT
    if hub == "embedded" and not is_loopback(endpoint):
        raise PushError(
            f"this run is meant for the embedded Hub, but the clients talk to {endpoint}. Either run it on the"
            " embedded Hub with `fsa hub run -- <command>`, or say that you mean the real one with"
            " `--hub https://huggingface.co`"
        )
    if hub != "embedded" and hub.rstrip("/") != endpoint.rstrip("/"):
        raise PushError(
            f"this run is meant for {hub}, but the clients talk to {endpoint}. Set HF_ENDPOINT={hub.rstrip('/')}"
            " before Python starts (or unset it for https://huggingface.co); for the embedded Hub use"
            " `fsa hub run -- <command>` with `--hub embedded`"
        )


def is_loopback(endpoint: str) -> bool:
    """Whether the URL names this machine only."""
    host = urlsplit(endpoint).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def push_dataset(
    configs: Mapping[str, Mapping[str, Dataset]],
    repo_id: str,
    card: str,
    *,
    private: bool = True,
    run: Run | None = None,
    revision: str | None = None,
) -> str:
    """Replace the tables of a dataset repo by `configs` (config → split → rows), and return the commit.

    Files are `<config>/<split>.parquet`; the card's metadata gets the matching `configs`, so that
    `load_dataset(repo_id, config)` works for anyone. Features, also of empty splits, are kept.

    Raises:
        PushError: as `push_model`, and if there is nothing to push.
    """
    if not configs or not all(configs.values()):
        raise PushError(f"nothing to push to {repo_id}: every config needs at least one split, found {dict(configs)}")
    with tempfile.TemporaryDirectory(prefix="fsa-push-") as temporary:
        files: dict[str, Path | bytes] = {}
        for config, splits in configs.items():
            for split, rows in splits.items():
                path = Path(temporary) / config / f"{split}.parquet"
                path.parent.mkdir(parents=True, exist_ok=True)
                rows.to_parquet(path)
                files[f"{config}/{split}.parquet"] = path
        files["README.md"] = _with_configs(card, configs).encode()
        return _push(
            repo_id, "dataset", files, run, lambda name: _matches(name, TABLES), private=private, revision=revision
        )


def push_model(
    folder: Path,
    repo_id: str,
    *,
    card: str,
    private: bool = True,
    run: Run | None = None,
    revision: str | None = None,
    tag: str | None = None,
) -> str:
    """Push a folder that `save_pretrained` wrote (model and tokenizer) with its card, and return the commit.

    Raises:
        PushError: if the folder holds no safetensors, or holds pickles or what looks like a token; if the Hub cannot
            be reached, or does not let this user write.
    """
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    files: dict[str, Path | bytes] = {path.relative_to(folder).as_posix(): path for path in paths}
    pickles = [name for name in files if _matches(name, PICKLES)]
    if pickles:
        raise PushError(
            f"{folder} holds pickles, which may run code where they are loaded: {', '.join(pickles)}."
            " Push a folder that only `save_pretrained` wrote"
        )
    if not any(_matches(name, ("*.safetensors",)) for name in files):
        raise PushError(f"{folder} holds no *.safetensors, found: {', '.join(files) or 'nothing'}")
    files["README.md"] = card.encode()

    def is_old_weights(name: str) -> bool:  # folders (a trainer's checkpoints, an adapter) are not ours to delete
        return "/" not in name and _matches(name, WEIGHTS)

    commit = _push(repo_id, "model", files, run, is_old_weights, private=private, revision=revision)
    if tag is not None:
        tag_revision(repo_id, tag, commit, "model")
    return commit


def push_space(folder: Path, repo_id: str, *, private: bool = True, variables: Mapping[str, str] | None = None) -> str:
    """Make a Space the mirror of `folder` (its README.md says the `sdk`), and return the commit.

    `variables` become environment variables of the Space; a Hub on loopback runs no Spaces and is not told.

    Raises:
        PushError: as `push_model`, and if README.md names no `sdk`.
    """
    readme = folder / "README.md"
    sdk = ((metadata_load(readme) or {}) if readme.is_file() else {}).get("sdk")
    if not isinstance(sdk, str):
        raise PushError(f"{readme} should name the Space's `sdk` in its metadata, found {sdk!r}")
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and not _is_by_product(path)]
    files: dict[str, Path | bytes] = {path.relative_to(folder).as_posix(): path for path in paths}
    commit = _push(
        repo_id, "space", files, None, lambda name: name != ".gitattributes", private=private, space_sdk=sdk
    )
    if variables and is_loopback(constants.ENDPOINT):
        logger.info("the Hub at %s runs no Spaces: variables of %s not set", constants.ENDPOINT, repo_id)
    elif variables:
        with explained(f"set variables of space {repo_id}"):
            for key, value in variables.items():
                HfApi().add_space_variable(repo_id, key, value)
    return commit


def tag_revision(repo_id: str, tag: str, revision: str, repo_type: str) -> None:
    """Let `tag` stand for the commit `revision`; a tag of that name that stood for another commit is moved.

    Raises:
        PushError: if the Hub cannot be reached, or does not let this user write.
    """
    api = HfApi()
    with explained(f"tag {repo_type} {repo_id}"):
        tags = {ref.name: ref.target_commit for ref in api.list_repo_refs(repo_id, repo_type=repo_type).tags}
        if tags.get(tag) == revision:
            return
        if tag in tags:
            logger.info("tag %s of %s moves from %s to %s", tag, repo_id, tags[tag], revision)
            api.delete_tag(repo_id, tag=tag, repo_type=repo_type)
        api.create_tag(repo_id, tag=tag, revision=revision, repo_type=repo_type)


def _push(
    repo_id: str,
    repo_type: str,
    files: dict[str, Path | bytes],
    run: Run | None,
    is_stale: Callable[[str], bool],
    *,
    private: bool,
    revision: str | None = None,
    space_sdk: str | None = None,
) -> str:
    """Commit `files`, deleting in the same commit what is stale and not among them."""
    if run is not None:
        files[RUN_FILE] = run.to_json().encode()
    _refuse_tokens(files)
    api = HfApi()
    with explained(f"push {repo_type} {repo_id}"):
        api.create_repo(repo_id, repo_type=repo_type, private=private, exist_ok=True, space_sdk=space_sdk)
        if revision is not None:
            api.create_branch(repo_id, branch=revision, repo_type=repo_type, exist_ok=True)
        for attempt in range(1, ATTEMPTS + 1):
            present = api.list_repo_files(repo_id, repo_type=repo_type, revision=revision)
            # A run.json that is not replaced would speak of other files than those beside it.
            gone = [name for name in present if name not in files and (name == RUN_FILE or is_stale(name))]
            operations = [CommitOperationAdd(name, source) for name, source in files.items()]
            operations += [CommitOperationDelete(name) for name in gone]
            message = f"{run.stage}: {run.digest[:12]}" if run is not None else "Upload"
            try:
                commit = api.create_commit(
                    repo_id, operations, commit_message=message, repo_type=repo_type, revision=revision
                )
                return commit.oid
            except HfHubHTTPError as error:
                if error.response.status_code not in (409, 412) or attempt == ATTEMPTS:
                    raise
                # Someone else committed in between: look again at what is there.
                time.sleep(random.uniform(0.1, 0.3) * 2**attempt)
    raise AssertionError("the last attempt returns or raises")


def _with_configs(card: str, configs: Mapping[str, Mapping[str, Dataset]]) -> str:
    parsed = DatasetCard(card, ignore_metadata_errors=False)
    parsed.data.configs = [
        {
            "config_name": config,
            "data_files": [{"split": split, "path": f"{config}/{split}.parquet"} for split in splits],
        }
        for config, splits in configs.items()
    ]
    return str(parsed)


def _refuse_tokens(files: Mapping[str, Path | bytes]) -> None:
    pattern = re.compile(TOKEN.pattern.encode())
    for name, source in files.items():
        if not _matches(name, ("*.safetensors", "*.parquet")):
            content = source if isinstance(source, bytes) else source.read_bytes()
            if pattern.search(content):
                raise PushError(f"{name} holds what looks like a Hugging Face token: remove it before pushing")


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _is_by_product(path: Path) -> bool:
    return "__pycache__" in path.parts or path.suffix == ".pyc" or path.name == ".DS_Store"
