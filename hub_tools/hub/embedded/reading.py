"""The calls that read: who am I, repo info and lists, trees, references, commits, and file contents."""

from typing import Any

from starlette.responses import JSONResponse, Response

from hub_tools.hub.embedded import info
from hub_tools.hub.embedded.calls import USER, Answer, BlobResponse, Call, page
from hub_tools.hub.embedded.errors import HubError, entry_not_found
from hub_tools.hub.embedded.names import file_path
from hub_tools.hub.embedded.repo import MAIN, Repo, folders_of


TREE_PAGE = 1000
COMMITS_PAGE = 100
LIST_PAGE = 500
SORT_KEYS = {"createdAt", "lastModified", "downloads", "likes", "trendingScore"}


def whoami(call: Call) -> Answer:
    """Say who the token belongs to."""
    call.require_token()
    token = {"displayName": "embedded Hub", "role": "write", "createdAt": "2025-01-01T00:00:00.000Z"}
    return {
        "type": "user",
        "id": USER,
        "name": USER,
        "fullname": "Local user of the embedded Hub",
        "email": None,
        "isPro": False,
        "orgs": [],
        "auth": {"type": "access_token", "accessToken": token},
    }


def validate_yaml(call: Call) -> Answer:
    """Check a card. Errors come with status 400, as the clients expect."""
    errors, warnings = info.check_card(call.text("content"), call.text("repoType", "model"))
    content = {
        key: [{"message": message} for message in found] for key, found in (("errors", errors), ("warnings", warnings))
    }
    return JSONResponse(content, status_code=400 if errors else 200)


def list_repos(call: Call) -> Answer:
    """List the repos of a type that the caller may see, filtered and sorted, in pages."""
    found = []
    for repo in call.repos.all(call.parts["type"]):
        if (repo.private and not call.authenticated) or not _named(repo, call):
            continue
        item = info.repo_info(repo, call.repos.blobs, repo.settings["refs"][MAIN])
        if _tagged(item, call):
            if not (call.flag("full") or "siblings" in call.query.get("expand", [])):
                item.pop("siblings")
            found.append(item)
    sort = call.first("sort", "lastModified")
    found.sort(key=lambda item: item.get(sort if sort in SORT_KEYS else "lastModified") or "", reverse=True)
    size = call.number("limit", LIST_PAGE, LIST_PAGE) or LIST_PAGE
    items, headers = page(call, found, size)
    return JSONResponse(items, headers=headers)


def _named(repo: Repo, call: Call) -> bool:
    author = call.first("author")
    if author and author.lower() != repo.key.namespace.lower():
        return False
    return all(text.lower() in repo.key.id.lower() for text in call.query.get("search", []))


def _tagged(item: dict[str, Any], call: Call) -> bool:
    gated = call.first("gated").lower()
    if gated and (gated == "true") != bool(item["gated"]):
        return False
    pipeline = call.first("pipeline_tag")
    if pipeline and item.get("pipeline_tag") != pipeline:
        return False
    wanted = [tag for value in call.query.get("filter", []) for tag in value.split(",")]
    return all(tag in item["tags"] for tag in wanted)


def repo_info(call: Call) -> Answer:
    """Describe a repo at a revision (main if none is named)."""
    repo = call.repo()
    commit_id = repo.resolve(call.parts.get("revision", "main"))
    result = info.repo_info(repo, call.repos.blobs, commit_id, with_blobs=call.flag("blobs"))
    if "evalResults" in call.query.get("expand", []) + call.query.get("expand[]", []):
        result["evalResults"] = info.eval_results(repo, call.repos.blobs, commit_id)
    return result


def auth_check(call: Call) -> Answer:
    """Say whether the caller may read the files of a repo."""
    call.repo(content=True)
    return None


def auth_check_write(call: Call) -> Answer:
    """Say whether the caller may write to a repo."""
    call.repo()
    call.require_token()
    return None


def tree(call: Call) -> Answer:
    """List a folder, with all below it if `recursive`, in pages."""
    repo = call.repo(content=True)
    commit_id = repo.resolve(call.parts["revision"])
    files = repo.tree(commit_id)
    folder = call.parts.get("path", "").strip("/")
    prefix = f"{file_path(folder)}/" if folder else ""
    inside = [path for path in files if path.startswith(prefix)]
    if prefix and not inside:
        raise entry_not_found(folder, commit_id)
    recursive = call.flag("recursive")
    paths: dict[str, None] = {}
    for path in inside:
        below = path[len(prefix) :]
        folders = [prefix + name for name in folders_of(below)]
        paths |= dict.fromkeys(folders if recursive else folders[:1])
        if recursive or not folders:
            paths[path] = None
    expand = call.flag("expand")
    items, headers = page(call, list(paths), TREE_PAGE)
    return JSONResponse([_item(repo, commit_id, path, expand) for path in items], headers=headers)


def paths_info(call: Call) -> Answer:
    """Describe the files and folders asked for; what is missing is left out."""
    repo = call.repo(content=True)
    commit_id = repo.resolve(call.parts["revision"])
    form = call.form()
    expand = form.get("expand", ["false"])[0].lower() == "true"
    files = repo.tree(commit_id)
    folders = {folder for path in files for folder in folders_of(path)}
    names = dict.fromkeys(str(path).strip("/") for path in form.get("paths", []))
    return [_item(repo, commit_id, path, expand) for path in names if path in files or path in folders]


def _item(repo: Repo, commit_id: str, path: str, expand: bool) -> dict[str, Any]:
    files = repo.tree(commit_id)
    if path in files:
        return info.file_item(repo, path, files[path], expand)
    return info.folder_item(repo, commit_id, path, expand)


def refs(call: Call) -> Answer:
    """List branches, tags and, if asked, pull requests."""
    repo = call.repo()
    result: dict[str, list[dict[str, str]]] = {"branches": [], "converts": [], "tags": []}
    kinds = {"refs/heads/": "branches", "refs/tags/": "tags"}
    if call.flag("include_prs"):
        kinds["refs/pr/"] = "pullRequests"
        result["pullRequests"] = []
    for ref, commit_id in repo.settings["refs"].items():
        for prefix, kind in kinds.items():
            if ref.startswith(prefix):
                name = ref if kind == "pullRequests" else ref.removeprefix(prefix)
                result[kind].append({"name": name, "ref": ref, "targetCommit": commit_id})
    return result


def commits(call: Call) -> Answer:
    """List the history of a revision, newest first, in pages."""
    repo = call.repo(content=True)
    history = list(repo.history(repo.resolve(call.parts["revision"])))
    items, headers = page(call, history, COMMITS_PAGE)
    shown = [
        {key: commit[key] for key in ("id", "title", "message", "date")} | {"authors": [{"user": commit["author"]}]}
        for commit in items
    ]
    return JSONResponse(shown, headers={"X-Total-Count": str(len(history)), **headers})


def resolve(call: Call) -> Response:
    """Send a file, or a part of it, at a revision."""
    repo = call.repo(content=True)
    commit_id = repo.resolve(call.parts["revision"])
    entry = repo.entry(commit_id, call.parts["path"])
    size = call.repos.blobs.size(entry["sha256"])
    if size != entry["size"]:
        fault = "missing" if size is None else f"damaged ({size} bytes instead of {entry['size']})"
        raise HubError(410, f"The content of {call.parts['path']} is {fault} in {call.repos.blobs.folder}.")
    path = call.repos.blobs.path(entry["sha256"])
    headers = {"X-Repo-Commit": commit_id, "Accept-Ranges": "bytes", "Cache-Control": "no-cache"}
    if entry["lfs"]:
        headers |= {"X-Linked-Etag": f'"{entry["sha256"]}"', "X-Linked-Size": str(entry["size"])}
    return BlobResponse(path, entry["sha256"] if entry["lfs"] else entry["oid"], headers)


def lfs_files(call: Call) -> Answer:
    """List the large files of the main branch."""
    repo = call.repo(content=True)
    result = []
    for path, entry in repo.tree(repo.settings["refs"][MAIN]).items():
        if entry["lfs"]:
            pushed = repo.commit(entry["commit"])["date"]
            item = {"fileOid": entry["sha256"], "filename": path, "oid": entry["sha256"], "size": entry["size"]}
            result.append(item | {"pushedAt": pushed, "ref": "main", "pusher": {"user": USER}})
    return result


def leaderboard(call: Call) -> Answer:
    """Rank the results that models on this Hub report for a dataset in `.eval_results/`."""
    dataset = call.repo().key.id
    rows = []
    for repo in call.repos.all("models"):
        if repo.private and not call.authenticated:
            continue
        for result in info.eval_results(repo, call.repos.blobs, repo.settings["refs"][MAIN]):
            data = result["data"] if isinstance(result["data"], dict) else {}
            if (data.get("dataset") or {}).get("id") == dataset and isinstance(data.get("value"), int | float):
                extra = {key: data[key] for key in ("source", "notes") if key in data}
                row = {
                    "modelId": repo.key.id,
                    "value": data["value"],
                    "filename": result["filename"],
                    "verified": False,
                }
                rows.append(row | {"author": {"name": repo.key.namespace, "type": "user"}} | extra)
    rows.sort(key=lambda row: -row["value"])
    return [{"rank": rank, **row} for rank, row in enumerate(rows, start=1)]
