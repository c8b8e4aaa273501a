"""The module that writes to a Hub. Each push is one commit: data or weights, card and `run.json` together.

It works on whatever HF_ENDPOINT names: the embedded Hub, or https://huggingface.co. Repos are private unless asked
otherwise. In a run of several processes only the main one may call it.
"""

from __future__ import annotations

import logging
import random
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as parquet
from datasets import Dataset
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    DatasetCard,
    HfApi,
    constants,
    hf_hub_download,
    metadata_load,
)
from huggingface_hub.errors import HfHubHTTPError, RemoteEntryNotFoundError, RepositoryNotFoundError

from .errors import PushConflict, PushError, explained
from .eval_results import FOLDER as RESULTS_FOLDER
from .eval_results import Result, Scores, eval_files, with_model_index
from .guards import is_loopback, matches, refuse_pickles, refuse_tokens
from .runs import RUN_FILE, Run


__all__ = [
    "PushConflict", "PushError", "keep_replaced", "push_dataset", "push_model", "push_parts", "push_report",
    "push_scores", "push_space", "tag_revision",
]  # fmt: skip

logger = logging.getLogger(__name__)

ATTEMPTS = 6
WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
REPORT = "<!-- report -->"  # what follows in a card is `push_report`'s
TABLES = ("*.parquet", "*.jsonl", "*.csv", "*.arrow")


def push_dataset(
    configs: Mapping[str, Mapping[str, Dataset | Path]],
    repo_id: str,
    card: str,
    *,
    private: bool = True,
    run: Run | None = None,
    revision: str | None = None,
    unions: Mapping[str, Sequence[str]] | None = None,
    pictures: Mapping[str, bytes] | None = None,
    onto: str | None = None,
) -> str:
    """Replace the tables of a dataset repo by `configs` (config → split → rows), and return the commit.

    Files are `<config>/<split>.parquet`; the card's metadata gets the matching `configs`, so that
    `load_dataset(repo_id, config)` works for anyone, with the features given here. `load_dataset` cannot load a split
    without rows ("corresponds to no data"), so such splits, and configs of nothing else, are left out.

    Args:
        configs: rows, or the Parquet file that holds them.
        unions: config → configs whose files it is made of, in that order; no row is stored twice. It may have the name
            of no other config.
        pictures: path in the repo → what goes there, for the card to show.
        onto: the commit whose rows are among `configs`; rows that somebody added since would be lost.

    Raises:
        PushConflict: the repo is no longer at the commit `onto`.
        PushError: as `push_model`, and if there is no row to push.
    """
    configs = _with_rows(configs, repo_id)
    with tempfile.TemporaryDirectory(prefix="fsa-push-") as temporary:
        files: dict[str, Path | bytes] = dict(pictures or {})
        for config, splits in configs.items():
            for split, rows in splits.items():
                path = rows if isinstance(rows, Path) else Path(temporary) / config / f"{split}.parquet"
                if not isinstance(rows, Path):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    rows.to_parquet(path)
                files[f"{config}/{split}.parquet"] = path
        with explained(f"read the card for {repo_id}"):
            files["README.md"] = _with_configs(card, configs, unions or {}).encode()
        return _push(repo_id, "dataset", files, run, _is_old_table, private=private, revision=revision, onto=onto)


def push_parts(
    files: Mapping[str, Path | bytes],
    repo_id: str,
    card: str,
    data_files: Mapping[str, str],
    *,
    private: bool = True,
    run: Run | None = None,
    keep: Callable[[str], bool] = lambda name: True,
) -> str:
    """Add files to a dataset repo that grows part by part, with a card that says how far it is; return the commit.

    Tables in the repo that are not among `files` stay where `keep` says so of their path. `data_files` are the repo's
    configs: config → pattern of the files of its split `train`. Without `run` it holds no finished run afterwards.

    Raises:
        PushError: as `push_model`.
    """

    def is_stale(name: str) -> bool:
        return matches(name, TABLES) and not keep(name)

    with explained(f"read the card for {repo_id}"):
        parsed = DatasetCard(card, ignore_metadata_errors=False)
    parsed.data.configs = [{"config_name": name, "data_files": pattern} for name, pattern in data_files.items()]
    return _push(repo_id, "dataset", {**files, "README.md": str(parsed).encode()}, run, is_stale, private=private)


def push_model(
    folder: Path,
    repo_id: str,
    *,
    card: str,
    private: bool = True,
    run: Run | None = None,
    revision: str | None = None,
    tag: str | None = None,
    scores: Scores | None = None,
) -> str:
    """Push a folder that `save_pretrained` wrote (model and tokenizer) with its card, and return the commit.

    With `scores` the card's metadata gets them as `model-index` and the repo as `.eval_results/<benchmark>.yaml`, as
    `push_scores` would write them later; results of the weights that were there before go in any case.

    Raises:
        PushError: if the folder holds no safetensors, or holds pickles or what looks like a token; if the Hub cannot
            be reached, or does not let this user write.
    """
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    files: dict[str, Path | bytes] = {path.relative_to(folder).as_posix(): path for path in paths}
    refuse_pickles(files, folder)
    if not any(matches(name, ("*.safetensors",)) for name in files):
        raise PushError(f"{folder} holds no *.safetensors, found: {', '.join(files) or 'nothing'}")
    with explained(f"read the card for {repo_id}"):
        files["README.md"] = (with_model_index(card, scores, repo_id) if scores else card).encode()
    files |= eval_files(scores) if scores else {}

    def is_stale(name: str) -> bool:  # other folders (a trainer's checkpoints, an adapter) are not ours to delete
        return ("/" not in name and matches(name, WEIGHTS)) or name.startswith(f"{RESULTS_FOLDER}/")

    commit = _push(repo_id, "model", files, run, is_stale, private=private, revision=revision)
    if tag is not None:
        tag_revision(repo_id, tag, commit, "model")
    return commit


def push_scores(
    repo_id: str,
    results: Sequence[Result],
    benchmark: str,
    *,
    task_id: Callable[[str, str, str, str], str] | None = None,
    benchmark_revision: str | None = None,
    source: str | None = None,
    date: str | None = None,
) -> str:
    """Put scores on a model repo that exists: `model-index` of its card and `.eval_results/<benchmark>.yaml`.

    It is one commit, or none where the repo says the same already. The card's text and the rest of its metadata,
    results on other datasets among it, stay as they are, and so do weights and `run.json`. Results with a `system` are
    of other models and not told. A student with instructions or another share of the data needs a repo of its own.

    Args:
        results: of this model, one per config and subset, with a value per seed.
        benchmark: Hub id of the dataset, and `benchmark_revision` its commit.
        task_id: `hub_tools.benchmarks.registration.task_id`, or another (config, subset, rule, split) → id in the
            benchmark's `eval.yaml`; without it only the card is written.
        source: URL of the repo that holds the scores of every seed.
        date: ISO 8601, when it was measured. Not the time of the push, or each push would be a change.

    Returns:
        The commit that holds the scores: the new one, or the one that the repo was at.

    Raises:
        PushError: there is no such repo or it has no card; or as `push_model`.
        ValueError: as `task_id` raises it.
    """
    scores = Scores(results, benchmark, task_id, benchmark_revision, source, date)
    files = eval_files(scores)
    api = HfApi()

    def commit() -> str:
        head = api.model_info(repo_id).sha
        present = api.list_repo_files(repo_id, revision=head)
        if "README.md" not in present:
            raise PushError(f"model {repo_id} has no README.md to put scores into; push the model first")

        def content(name: str) -> bytes:
            return Path(hf_hub_download(repo_id, name, revision=head)).read_bytes() if name in present else b""

        new = {
            **files,
            "README.md": with_model_index(content("README.md").decode("utf-8-sig"), scores, repo_id).encode(),
        }
        operations = [CommitOperationAdd(name, text) for name, text in new.items() if text != content(name)]
        if not operations:
            return head
        refuse_tokens(new)
        message = f"Scores on {benchmark}"
        return api.create_commit(repo_id, operations, commit_message=message, parent_commit=head).oid

    with explained(f"push scores of {repo_id}"):
        return _retried(commit)


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


def push_report(folder: Path, repo_id: str, section: str, *, private: bool = True) -> str:
    """Put a folder, as it is, under `report/` of a dataset repo and `section` at the end of its card.

    The tables of the repo, its run and the rest of its card stay as they are; an earlier report goes.

    Raises:
        PushError: as `push_model`, and if the repo has no card yet.
    """
    with explained(f"read the card of dataset {repo_id}"):
        card, _, _ = (
            Path(hf_hub_download(repo_id, "README.md", repo_type="dataset")).read_text("utf-8").partition(REPORT)
        )
        files: dict[str, Path | bytes] = {RUN_FILE: Path(hf_hub_download(repo_id, RUN_FILE, repo_type="dataset"))}
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    files |= {f"report/{path.relative_to(folder).as_posix()}": path for path in paths}
    files["README.md"] = f"{card.rstrip()}\n\n{REPORT}\n\n{section.strip()}\n".encode()
    return _push(repo_id, "dataset", files, None, lambda name: name.startswith("report/"), private=private)


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


def keep_replaced(repo_id: str, repo_type: str, run: Run) -> str:
    """Tag what another finished run has left on `main`, so that a push of `run` does not lose it; return the tag.

    The tag is `run-` and the first 12 digits of that run's digest; "" where there is no such run.

    Raises:
        PushError: as `tag_revision`.
    """
    with explained(f"look for an earlier run in {repo_type} {repo_id}"):
        try:
            head = HfApi().repo_info(repo_id, repo_type=repo_type).sha
            path = hf_hub_download(repo_id, RUN_FILE, repo_type=repo_type, revision=head)
        except (RepositoryNotFoundError, RemoteEntryNotFoundError):  # not what a Hub gone meanwhile raises
            return ""
    try:
        found = Run.from_json(Path(path).read_text(encoding="utf-8"))
    except ValueError:
        return ""
    if not found.finished or found.digest == run.digest:
        return ""
    tag = f"run-{found.digest[:12]}"
    tag_revision(repo_id, tag, head, repo_type)
    return tag


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
    onto: str | None = None,
) -> str:
    """Commit `files`, deleting in the same commit what is stale and not among them; on the commit `onto`, if given."""
    if run is not None:
        files[RUN_FILE] = run.to_json().encode()
    refuse_tokens(files)
    api = HfApi()
    message = f"{run.stage}: {run.digest[:12]}" if run is not None else "Upload"

    def commit() -> str:
        head = api.repo_info(repo_id, repo_type=repo_type, revision=revision).sha
        if onto not in (None, head):
            raise PushConflict(f"{repo_type} {repo_id} went on from {onto[:12]} to {head[:12]} meanwhile")
        present = api.list_repo_files(repo_id, repo_type=repo_type, revision=head)
        # A run.json that is not replaced would speak of other files than those beside it.
        gone = [name for name in present if name not in files and (name == RUN_FILE or is_stale(name))]
        operations = [CommitOperationAdd(name, source) for name, source in files.items()]
        operations += [CommitOperationDelete(name) for name in gone]
        return api.create_commit(
            repo_id,
            operations,
            commit_message=message,
            repo_type=repo_type,
            revision=revision,
            parent_commit=head,  # what is deleted was chosen from the files of this commit
        ).oid

    with explained(f"push {repo_type} {repo_id}"):
        api.create_repo(repo_id, repo_type=repo_type, private=private, exist_ok=True, space_sdk=space_sdk)
        if revision is not None:
            api.create_branch(repo_id, branch=revision, repo_type=repo_type, exist_ok=True)
        return _retried(commit)


def _retried(commit: Callable[[], str]) -> str:
    """What `commit` returns, which looks anew at what is there each time that someone else committed in between."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return commit()
        except HfHubHTTPError as error:
            if error.response.status_code not in (409, 412) or attempt == ATTEMPTS:
                raise
            time.sleep(random.uniform(0.1, 0.3) * 2**attempt)
    raise AssertionError("the last attempt returns or raises")


def _with_rows(
    configs: Mapping[str, Mapping[str, Dataset | Path]], repo_id: str
) -> dict[str, dict[str, Dataset | Path]]:
    empty = [
        f"{config}/{split}" for config, splits in configs.items() for split, rows in splits.items() if not _count(rows)
    ]
    if empty:
        logger.warning("not pushed to %s, for they hold no rows: %s", repo_id, ", ".join(empty))
    kept = {
        config: {name: rows for name, rows in splits.items() if _count(rows)} for config, splits in configs.items()
    }
    kept = {config: splits for config, splits in kept.items() if splits}
    if not kept:
        raise PushError(f"nothing to push to {repo_id}: there is no row in any of {', '.join(configs) or 'no config'}")
    return kept


def _count(rows: Dataset | Path) -> int:
    return parquet.read_metadata(rows).num_rows if isinstance(rows, Path) else len(rows)


def _with_configs(
    card: str, configs: Mapping[str, Mapping[str, Dataset | Path]], unions: Mapping[str, Sequence[str]]
) -> str:
    files = {config: {split: [f"{config}/{split}.parquet"] for split in splits} for config, splits in configs.items()}
    for union, parts in unions.items():
        parts = [part for part in parts if part in configs]
        splits = dict.fromkeys(split for part in parts for split in configs[part])
        files[union] = {split: [path for part in parts for path in files[part].get(split, [])] for split in splits}
    parsed = DatasetCard(card, ignore_metadata_errors=False)
    parsed.data.configs = [
        {
            "config_name": config,
            "data_files": [
                {"split": split, "path": paths[0] if len(paths) == 1 else paths} for split, paths in splits.items()
            ],
        }
        for config, splits in files.items()
        if splits
    ]
    return str(parsed)


def _is_old_table(name: str) -> bool:  # the tables under report/ are `push_report`'s
    return matches(name, TABLES) and not name.startswith("report/")


def _is_by_product(path: Path) -> bool:
    return "__pycache__" in path.parts or path.suffix == ".pyc" or path.name == ".DS_Store"
