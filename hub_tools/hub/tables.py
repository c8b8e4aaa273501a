"""The tables that a dataset repo holds now, for a stage that adds to them."""

from pathlib import PurePosixPath
from typing import Any

from datasets import Dataset
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import RepositoryNotFoundError


def head_of(repo_id: str) -> str | None:
    """The commit that a dataset repo is at; `None` if there is no such repo."""
    try:
        return HfApi().dataset_info(repo_id).sha
    except RepositoryNotFoundError:
        return None


def pushed_rows(repo_id: str, commit: str | None = None) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """
    config → split → rows of what `push_dataset` put into a repo, as of `commit` or now; nothing if there is no such
    repo yet.

    Reads the files, not the card's metadata, so that rows of different columns never meet in one `load_dataset`.
    """
    commit = commit or head_of(repo_id)
    if commit is None:
        return {}
    tables: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for name in HfApi().list_repo_files(repo_id, repo_type="dataset", revision=commit):
        path = PurePosixPath(name)
        if len(path.parts) == 2 and path.suffix == ".parquet":
            local = hf_hub_download(repo_id, name, repo_type="dataset", revision=commit)
            tables.setdefault(path.parts[0], {})[path.stem] = Dataset.from_parquet(local).to_list()
    return tables
