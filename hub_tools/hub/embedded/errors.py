"""The errors a Hub client understands: a status, the `X-Error-Code` that picks the Python class, and a message."""

from dataclasses import dataclass, field


@dataclass
class HubError(Exception):
    """An answer that refuses a call.

    Over `http://` the clients recognise errors by `code` alone (their fallback rules look for `https://`), so every
    missing repo, revision or file carries one.
    """

    status: int
    message: str
    code: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__(self.message)


def bad_request(message: str) -> HubError:
    """Return the error for a call that no retry can mend (400)."""
    return HubError(400, message)


def repo_not_found(repo_id: str, authenticated: bool) -> HubError:
    """Return the error for a repo that is missing or hidden: 401 to strangers, 404 to the owner, as the Hub does."""
    message = f"Repository not found: {repo_id}" if authenticated else "Invalid username or password."
    return HubError(404 if authenticated else 401, message, "RepoNotFound")


def revision_not_found(revision: str) -> HubError:
    """Return the error for a branch, tag or commit that the repo does not have."""
    return HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")


def entry_not_found(path: str, commit: str) -> HubError:
    """Return the error for a path that `commit` does not have; clients cache the absence under `X-Repo-Commit`."""
    return HubError(404, f"{path} does not exist at {commit}", "EntryNotFound", {"X-Repo-Commit": commit})


def gated(repo_id: str) -> HubError:
    """Return the error for the content of a gated repo asked by a stranger."""
    return HubError(401, f"Access to {repo_id} is restricted: you must be authenticated to read it.", "GatedRepo")
