"""The calls of discussions and pull requests."""

from typing import Any

from hub_tools.hub.embedded import discussions
from hub_tools.hub.embedded.calls import USER, Answer, Call
from hub_tools.hub.embedded.errors import bad_request
from hub_tools.hub.embedded.repo import MAIN, now


PAGE = 50


def _number(call: Call) -> int:
    text = call.parts["num"]
    if not text.isdecimal() or len(text) > 9:
        raise bad_request(f"{text!r} is not the number of a discussion.")
    return int(text)


def list_discussions(call: Call) -> Answer:
    """List discussions and pull requests, newest first, in pages of 50."""
    repo = call.repo()
    found = sorted(repo.settings["discussions"], key=lambda discussion: -discussion["num"])
    kind, status, author = call.first("type"), call.first("status"), call.first("author")
    if kind in ("pull_request", "discussion"):
        found = [discussion for discussion in found if discussion["isPullRequest"] == (kind == "pull_request")]
    if status in ("open", "closed"):
        found = [item for item in found if (item["status"] in ("open", "draft")) == (status == "open")]
    if author:
        found = [discussion for discussion in found if discussion["author"]["name"] == author]
    start = call.number("p", 0, 1 << 20) * PAGE
    shown = [discussions.summary(repo, discussion) for discussion in found[start : start + PAGE]]
    return {"discussions": shown, "count": len(found), "start": start, "numClosedDiscussions": 0}


def open_discussion(call: Call) -> Answer:
    """Open a discussion, or a pull request (a draft until it is given commits or opened)."""
    repo = call.repo()
    pull_request = bool(call.json().get("pullRequest"))
    with repo.change() as settings:
        base = settings["refs"][MAIN] if pull_request else None
        status = "draft" if pull_request else "open"
        title, text = call.text("title"), call.text("description", "")
        num = discussions.open_discussion(settings, USER, title, text, base, status)
    return {"num": num, "pullRequest": pull_request, "url": f"{call.base_url}/{repo.key.web_path}/discussions/{num}"}


def details(call: Call) -> Answer:
    """Show a discussion with its events; for a pull request its diff and conflicts as well."""
    repo = call.repo(content=True)
    return discussions.details(repo, call.repos.blobs, discussions.find(repo.settings, _number(call)))


def comment(call: Call) -> Answer:
    """Add a comment."""
    with call.repo().change() as settings:
        added = discussions.comment_event(USER, call.text("comment"))
        discussions.find(settings, _number(call))["events"].append(added)
    return {"newMessage": added}


def _change_comment(call: Call, change: dict[str, Any]) -> Answer:
    with call.repo().change() as settings:
        found = discussions.find_comment(discussions.find(settings, _number(call)), call.parts["comment"])
        found["data"] |= change
    return {"updatedComment": found}


def edit_comment(call: Call) -> Answer:
    """Change the text of a comment."""
    latest = {"raw": call.text("content"), "html": "", "updatedAt": now()}
    return _change_comment(call, {"edited": True, "latest": latest})


def hide_comment(call: Call) -> Answer:
    """Hide a comment for good."""
    return _change_comment(call, {"hidden": True, "latest": {"raw": "", "html": "", "updatedAt": now()}})


def rename(call: Call) -> Answer:
    """Change the title."""
    title = call.text("title").strip()
    if not 3 <= len(title) <= 200:
        raise bad_request(f"The title has {len(title)} characters: 3 to 200 are needed.")
    with call.repo().change() as settings:
        discussion = discussions.find(settings, _number(call))
        added = discussions.event("title-change", USER, {"from": discussion["title"], "to": title})
        discussion["title"] = title
        discussion["events"].append(added)
    return {"newTitle": added}


def set_status(call: Call) -> Answer:
    """Open or close, with a comment if there is one."""
    status = call.text("status")
    if status not in discussions.STATUSES:
        raise bad_request(f"The status {status!r} cannot be set: it must be one of {', '.join(discussions.STATUSES)}.")
    with call.repo().change() as settings:
        discussion = discussions.find(settings, _number(call))
        if discussion["status"] == "merged":
            raise bad_request(f"Pull request {discussion['num']} is merged: its status cannot change.")
        discussion["status"] = status
        if call.json().get("comment"):
            discussion["events"].append(discussions.comment_event(USER, call.text("comment")))
        added = discussions.event("status-change", USER, {"status": status})
        discussion["events"].append(added)
    return {"newStatus": added}


def merge(call: Call) -> Answer:
    """Merge a pull request into main, with a comment if there is one."""
    repo = call.repo()
    commit_id = discussions.merge(repo, _number(call), USER)
    if call.json().get("comment"):
        comment(call)
    return {"mergeCommitId": commit_id}
