"""The calls that write: repos, settings, commits, branches and tags. All of them need the token."""

from typing import Any

from starlette.responses import JSONResponse

from hub_tools.hub.embedded import commits
from hub_tools.hub.embedded.calls import USER, Answer, Call, header_text
from hub_tools.hub.embedded.discussions import commit_event, open_discussion
from hub_tools.hub.embedded.errors import HubError, bad_request, repo_not_found, revision_not_found
from hub_tools.hub.embedded.names import RepoKey, ref_name, repo_key
from hub_tools.hub.embedded.repo import MAIN, Repo, Settings, now


VISIBILITIES = ("public", "private", "protected")
GATES = (False, "auto", "manual")


def _checked(value: Any, allowed: tuple[Any, ...], name: str) -> Any:
    if value not in allowed:
        raise bad_request(f"{name} is {value!r}: it must be one of {', '.join(map(repr, allowed))}.")
    return value


def _named_repo(call: Call) -> RepoKey:
    name = call.text("name")
    namespace = call.json().get("organization")
    if not namespace and "/" in name:
        namespace, name = name.split("/", 1)
    return repo_key(f"{call.json().get('type') or 'model'}s", str(namespace or USER), name)


def create_repo(call: Call) -> Answer:
    """Create a repo, in any namespace, with the `.gitattributes` that the Hub starts repos with."""
    payload = call.json()
    key = _named_repo(call)
    visibility = payload.get("visibility") or ("private" if payload.get("private") else "public")
    url = f"{call.base_url}/{key.web_path}"
    time = now()
    settings = Settings(
        created=time,
        updated=time,
        visibility=_checked(visibility, VISIBILITIES, "visibility"),
        gated=False,
        sdk=payload.get("sdk"),
        refs={},
        discussions=[],
    )
    tree = {".gitattributes": commits.regular_entry(call.repos.blobs, commits.GIT_ATTRIBUTES)}
    try:
        call.repos.create(key, settings, tree, USER)
    except HubError as error:
        if error.status != 409:
            raise
        # `create_repo(exist_ok=True)` reads the address from this very answer.
        headers = {"X-Error-Message": header_text(error.message)}
        return JSONResponse({"error": error.message, "url": url}, status_code=409, headers=headers)
    return {"url": url, "name": key.id, "id": key.id}


def _existing(call: Call, key: RepoKey) -> Repo:
    repo = call.repos.find(key)
    if repo is None:
        raise repo_not_found(key.id, call.authenticated)
    return repo


def delete_repo(call: Call) -> Answer:
    """Delete a repo."""
    call.repos.delete(_existing(call, _named_repo(call)))
    return None


def move_repo(call: Call) -> Answer:
    """Rename a repo or give it another namespace."""
    type = f"{call.json().get('type') or 'model'}s"
    old, new = (repo_key(type, *_two_parts(call.text(field))) for field in ("fromRepo", "toRepo"))
    call.repos.move(_existing(call, old), new)
    return {"url": f"{call.base_url}/{new.web_path}"}


def _two_parts(repo_id: str) -> tuple[str, str]:
    namespace, slash, name = repo_id.partition("/")
    if not slash:
        raise bad_request(f"Invalid repo id {repo_id!r}: it must be namespace/name.")
    return namespace, name


def settings(call: Call) -> Answer:
    """Change who may see a repo, or read its files."""
    payload = call.json()
    if "private" in payload:
        payload.setdefault("visibility", "private" if payload["private"] else "public")
    with call.repo().change() as changed:
        if "visibility" in payload:
            changed["visibility"] = _checked(payload["visibility"], VISIBILITIES, "visibility")
        if "gated" in payload:
            changed["gated"] = _checked(payload["gated"], GATES, "gated")
        return {"visibility": changed["visibility"], "gated": changed["gated"]}


def preupload(call: Call) -> Answer:
    """Say how each file of a coming commit is to be sent."""
    repo = call.repo()
    payload = call.json()
    if not isinstance(payload.get("files"), list):
        raise bad_request("The body must hold a list of files.")
    return commits.preupload(repo, call.repos.blobs, repo.resolve(call.parts["revision"]), payload)


def commit(call: Call) -> Answer:
    """Add a commit to a branch, or with `create_pr` to a new pull request."""
    assert call.incoming is not None
    repo = call.repo()
    with call.incoming.path.open("rb") as lines:
        proposal = commits.read_proposal(lines, call.repos.blobs)
    if not proposal.summary.strip():
        raise bad_request("The commit has no summary.")
    revision = call.parts["revision"]
    pull_request = None
    if call.flag("create_pr"):
        pull_request, commit_id = _commit_to_pull_request(repo, revision, proposal)
    else:
        if repo.branch(revision).startswith("refs/pr/"):
            pull_request = int(repo.branch(revision).removeprefix("refs/pr/"))
        commit_id = commits.commit(repo, revision, proposal, USER)
    url = f"{call.base_url}/{repo.key.web_path}"
    answer: dict[str, Any] = {"success": True, "commitOid": commit_id, "commitUrl": f"{url}/commit/{commit_id}"}
    if pull_request is not None:
        answer["pullRequestUrl"] = f"{url}/discussions/{pull_request}"
    return answer


def _commit_to_pull_request(repo: Repo, revision: str, proposal: commits.Proposal) -> tuple[int, str]:
    with repo.change() as changed:
        base = repo.resolve(str(proposal.parent or revision))
        tree = commits.apply(repo.tree(base), proposal.operations)
        new = repo.write_commit(tree, [base], proposal.summary, proposal.description, USER)
        title = proposal.summary.strip()[:200].ljust(3, ".")
        num = open_discussion(changed, USER, title, proposal.description, base)
        changed["refs"][f"refs/pr/{num}"] = new
        changed["discussions"][-1]["events"].append(commit_event(USER, new, proposal.summary))
    return num, new


def create_branch(call: Call) -> Answer:
    """Create a branch from main, or from the revision or commit named `startingPoint`."""
    repo = call.repo()
    name = ref_name(call.parts["branch"])
    with repo.change() as changed:
        start = repo.resolve(str(call.json().get("startingPoint") or "main"))
        if f"refs/heads/{name}" in changed["refs"]:
            raise HubError(409, f"Reference already exists: the branch {name}")
        changed["refs"][f"refs/heads/{name}"] = start
    return None


def delete_branch(call: Call) -> Answer:
    """Delete a branch other than main."""
    ref = f"refs/heads/{ref_name(call.parts['branch'])}"
    if ref == MAIN:
        raise HubError(403, "The main branch cannot be deleted.")
    _delete_ref(call, ref)
    return None


def create_tag(call: Call) -> Answer:
    """Tag a revision."""
    repo = call.repo()
    name = ref_name(call.text("tag"))
    with repo.change() as changed:
        commit_id = repo.resolve(call.parts["revision"])
        if f"refs/tags/{name}" in changed["refs"]:
            raise HubError(409, f"Reference already exists: the tag {name}")
        changed["refs"][f"refs/tags/{name}"] = commit_id
    return None


def delete_tag(call: Call) -> Answer:
    """Delete a tag."""
    _delete_ref(call, f"refs/tags/{ref_name(call.parts['revision'])}")
    return None


def _delete_ref(call: Call, ref: str) -> None:
    with call.repo().change() as changed:
        if ref not in changed["refs"]:
            raise revision_not_found(ref.split("/", 2)[2])
        del changed["refs"][ref]


def super_squash(call: Call) -> Answer:
    """Replace the history of a branch by one commit with the same files."""
    repo = call.repo()
    with repo.change() as changed:
        branch = repo.branch(call.parts["revision"])
        head = changed["refs"][branch]
        message = call.text("message", f"Super-squash branch '{call.parts['revision']}'")
        tree = {path: {**entry, "commit": ""} for path, entry in repo.tree(head).items()}
        changed["refs"][branch] = repo.write_commit(tree, [], message.strip() or "Super-squash", "", USER)
    return None
