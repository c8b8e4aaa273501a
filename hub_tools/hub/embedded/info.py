"""What the Hub says about a repo: card data, tags, files, and the checks of a card's YAML."""

import hashlib
import json
import math
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from hub_tools.hub.embedded.blobs import Blobs, lfs_pointer
from hub_tools.hub.embedded.repo import MAIN, Entry, Repo


FRONT_MATTER = re.compile(r"^\s*---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|$)", re.DOTALL)
SMALL = 4 << 20

# Card fields whose values become tags, with the prefix that the Hub gives them.
TAG_FIELDS = {
    "models": (("tags", ""), ("language", ""), ("datasets", "dataset:"), ("license", "license:")),
    "datasets": (
        ("task_categories", "task_categories:"),
        ("task_ids", "task_ids:"),
        ("annotations_creators", "annotations_creators:"),
        ("language_creators", "language_creators:"),
        ("multilinguality", "multilinguality:"),
        ("language", "language:"),
        ("license", "license:"),
        ("size_categories", "size_categories:"),
        ("tags", ""),
    ),
    "spaces": (("sdk", ""), ("tags", "")),
}
SPACE_COLORS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
SPACE_SDKS = ("gradio", "docker", "static", "streamlit")


def plain(value: Any) -> Any:
    """Return a YAML value as JSON can carry it: dates as text, NaN and infinities as null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def front_matter(text: str) -> str | None:
    """Return the YAML at the top of a card, or None if it has none."""
    found = FRONT_MATTER.match(text.removeprefix("\ufeff"))
    return found.group(1) if found else None


@lru_cache(maxsize=512)
def _parsed(path: Path, name: str) -> Any:
    text = path.read_text(errors="replace")
    try:
        if name.endswith(".json"):
            return plain(json.loads(text))
        return plain(yaml.safe_load(front_matter(text) or "" if name.endswith(".md") else text))
    except (yaml.YAMLError, ValueError, RecursionError):
        return None


def parsed(blobs: Blobs, entry: Entry | None, name: str) -> Any:
    """Return a JSON or YAML file, or a card's YAML, as plain values; None if it is missing, too large or broken."""
    if entry is None or entry["size"] > SMALL:
        return None
    return _parsed(blobs.path(entry["sha256"]), name)


def card_data(repo: Repo, blobs: Blobs, commit_id: str) -> dict[str, Any]:
    """Return the YAML of README.md at a commit, or {}."""
    data = parsed(blobs, repo.tree(commit_id).get("README.md"), "README.md")
    return data if isinstance(data, dict) else {}


def _listed(value: Any) -> list[str]:
    if value is None:
        return []
    return [str(item) for item in (value if isinstance(value, list) else [value])]


def tags(repo: Repo, card: dict[str, Any]) -> list[str]:
    """Return the tags by which a repo can be filtered."""
    found = [str(card[key]) for key in ("library_name", "pipeline_tag") if card.get(key)]
    if repo.key.type == "spaces" and repo.settings.get("sdk"):
        found.append(str(repo.settings["sdk"]))
    for field, prefix in TAG_FIELDS[repo.key.type]:
        found += [item if item.startswith(prefix) else prefix + item for item in _listed(card.get(field))]
    return list(dict.fromkeys([*found, "region:local"]))


def siblings(repo: Repo, commit_id: str, blobs: bool) -> list[dict[str, Any]]:
    """Return the files of a commit in the form of repo info; `blobs` adds sizes and ids."""
    result = []
    for path, entry in repo.tree(commit_id).items():
        item: dict[str, Any] = {"rfilename": path}
        if blobs:
            item |= {"size": entry["size"], "blobId": entry["oid"]}
            if entry["lfs"]:
                item["lfs"] = {"sha256": entry["sha256"]} | _lfs_sizes(entry)
        result.append(item)
    return result


def _lfs_sizes(entry: Entry) -> dict[str, int]:
    return {"size": entry["size"], "pointerSize": len(lfs_pointer(entry["sha256"], entry["size"]))}


def file_item(repo: Repo, path: str, entry: Entry, expand: bool) -> dict[str, Any]:
    """Return one file in the form of tree and paths-info."""
    item: dict[str, Any] = {"type": "file", "path": path, "size": entry["size"], "oid": entry["oid"]}
    if entry["lfs"]:
        item["lfs"] = {"oid": entry["sha256"]} | _lfs_sizes(entry)
    if expand:
        item["lastCommit"] = last_commit(repo, entry["commit"])
    return item


def folder_item(repo: Repo, commit_id: str, path: str, expand: bool) -> dict[str, Any]:
    """Return one folder in the form of tree and paths-info."""
    below = {name: entry for name, entry in repo.tree(commit_id).items() if name.startswith(f"{path}/")}
    content = json.dumps([(name, entry["oid"]) for name, entry in sorted(below.items())])
    oid = hashlib.sha1(content.encode(), usedforsecurity=False).hexdigest()
    item: dict[str, Any] = {"type": "directory", "path": path, "size": 0, "oid": oid}
    if expand:
        commits = [repo.commit(commit) for commit in {entry["commit"] for entry in below.values()}]
        item["lastCommit"] = last_commit(repo, max(commits, key=lambda commit: commit["date"])["id"])
    return item


def last_commit(repo: Repo, commit_id: str) -> dict[str, str]:
    """Return the short form of a commit that tree and paths-info show."""
    commit = repo.commit(commit_id)
    return {"id": commit["id"], "title": commit["title"], "date": commit["date"]}


def eval_results(repo: Repo, blobs: Blobs, commit_id: str) -> list[dict[str, Any]]:
    """Return the files of `.eval_results/` as the Hub parses them: `[{"filename", "data"}]`, one per entry."""
    result = []
    for path, entry in repo.tree(commit_id).items():
        if path.startswith(".eval_results/") and path.endswith((".yaml", ".yml")):
            data = parsed(blobs, entry, path)
            result += [{"filename": path, "data": item} for item in (data if isinstance(data, list) else [])]
    return result


def repo_info(repo: Repo, blobs: Blobs, commit_id: str, with_blobs: bool = False) -> dict[str, Any]:
    """Return all that the Hub says about a repo at a commit."""
    card = card_data(repo, blobs, commit_id)
    info: dict[str, Any] = {
        "id": repo.key.id,
        "author": repo.key.namespace,
        "sha": commit_id,
        "createdAt": repo.settings["created"],
        "lastModified": repo.commit(repo.settings["refs"][MAIN])["date"],
        "private": repo.private,
        "gated": repo.settings["gated"],
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "trendingScore": 0,
        "tags": tags(repo, card),
        "cardData": card,
        "siblings": siblings(repo, commit_id, with_blobs),
        "usedStorage": sum({e["sha256"]: e["size"] for e in repo.tree(commit_id).values()}.values()),
    }
    if repo.key.type == "models":
        config = parsed(blobs, repo.tree(commit_id).get("config.json"), "config.json")
        kept = {key: config[key] for key in ("architectures", "model_type") if key in config} if config else None
        info |= {"modelId": repo.key.id, "pipeline_tag": card.get("pipeline_tag"), "config": kept}
        info |= {"library_name": card.get("library_name"), "model-index": card.get("model-index"), "spaces": []}
    if repo.key.type == "spaces":
        info |= {"sdk": card.get("sdk") or repo.settings.get("sdk"), "runtime": None}
        info |= {"models": _listed(card.get("models")), "datasets": _listed(card.get("datasets"))}
    return info


def check_card(content: str, type: str) -> tuple[list[str], list[str]]:
    """Return (errors, warnings) for a card's YAML, by the rules of the Hub that a stand-in can know."""
    source = front_matter(content)
    if source is None:
        return [], ["empty or missing yaml metadata in repo card"]
    try:
        data = yaml.safe_load(source)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return [f"YAML parsing error: {error}"], []
    if data is None:
        return [], ["empty or missing yaml metadata in repo card"]
    if not isinstance(data, dict):
        return ["the YAML metadata must be a mapping"], []
    return list(_card_errors(data, type)), []


def _card_errors(data: dict[str, Any], type: str) -> Iterator[str]:
    for key in ("tags", "datasets", "task_categories", "task_ids", "size_categories"):
        if data.get(key) is not None and not isinstance(data[key], list):
            yield f'"{key}" must be an array'
    for key in ("license", "language", "base_model", "metrics"):
        values = data.get(key)
        if values is not None and not all(
            isinstance(v, str) for v in (values if isinstance(values, list) else [values])
        ):
            yield f'"{key}" must be a string or an array of strings (quote `no`: YAML reads it as false)'
    if type == "space":
        for key, allowed in (("colorFrom", SPACE_COLORS), ("colorTo", SPACE_COLORS), ("sdk", SPACE_SDKS)):
            if key in data and data[key] not in allowed:
                yield f'"{key}" must be one of [{", ".join(allowed)}]'
        if len(str(data.get("short_description") or "")) > 60:
            yield '"short_description" must be less than or equal to 60 characters long'
    if data.get("model-index") is not None:
        yield from _model_index_errors(data["model-index"])


def _model_index_errors(index: Any) -> Iterator[str]:
    if not isinstance(index, list):
        yield '"model-index" must be an array'
        return
    for i, model in enumerate(index):
        if not isinstance(model, dict) or not model.get("name") or not isinstance(model.get("results"), list):
            yield f'"model-index[{i}]" needs "name" and an array "results"'
            continue
        for j, result in enumerate(model["results"]):
            where = f'"model-index[{i}].results[{j}]'
            result = result if isinstance(result, dict) else {}
            for key, fields in (("task", ("type",)), ("dataset", ("type", "name"))):
                part = result.get(key)
                for field in fields:
                    if not isinstance(part, dict) or not part.get(field):
                        yield f'{where}.{key}.{field}" is required'
            metrics = result.get("metrics")
            if not isinstance(metrics, list) or not all(
                isinstance(m, dict) and m.get("type") and m.get("value") is not None for m in metrics
            ):
                yield f'{where}.metrics" must be an array of "type" and "value"'
