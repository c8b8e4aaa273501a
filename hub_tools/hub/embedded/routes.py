"""Which address and method leads to which handler, who may call it, and how its body is taken."""

import re
from dataclasses import dataclass
from typing import Literal

from starlette.responses import PlainTextResponse

from hub_tools.hub.embedded import lfs, reading, talking, writing
from hub_tools.hub.embedded.calls import Answer, Call, Handler


Access = Literal["anyone", "token", "signed"]
Body = Literal["memory", "disk"]


@dataclass(frozen=True)
class Route:
    """One line of the table below; `pattern` matches the raw, still quoted path."""

    method: str
    pattern: re.Pattern[str]
    handler: Handler
    access: Access
    body: Body


WORDS = {
    # The type of a repo in `/api/…`, and in the addresses of its files, where models have no prefix.
    "{repo}": r"(?P<type>models|datasets|spaces)/(?P<namespace>[^/]+)/(?P<name>[^/]+)",
    "{web}": r"(?:(?P<web>datasets|spaces)/)?(?P<namespace>[^/]+)/(?P<name>[^/]+?)",
    "{one}": r"(?:(?P<web>datasets|spaces)/)?(?P<name>[^/]+)",
    "{type}": r"(?P<type>models|datasets|spaces)",
    "{path}": r"(?P<path>.+)",
}


def route(method: str, path: str, handler: Handler, access: Access = "anyone", body: Body = "memory") -> Route:
    """Return a route; `{word}` stands for one quoted part of the path unless `WORDS` says more."""
    pattern = "".join(
        WORDS.get(piece, f"(?P<{piece[1:-1]}>[^/]+)") if piece.startswith("{") else re.escape(piece)
        for piece in re.split(r"(\{\w+\})", path)
    )
    return Route(method, re.compile(pattern), handler, access, body)


def welcome(call: Call) -> Answer:
    """Say what this is to someone who opens the address in a browser."""
    return PlainTextResponse("The embedded Hub of FSA-Distill. Clients use it with what `fsa hub env` prints.\n")


def missing_one_part_id(call: Call) -> Answer:
    """Answer for ids without a namespace (`t5-small`): this Hub has none."""
    call.parts |= {"namespace": "", "type": call.parts.get("type", "models")}
    return reading.repo_info(call)


ROUTES = [
    route("GET", "/", welcome),
    route("GET", "/api/whoami-v2", reading.whoami),
    route("POST", "/api/validate-yaml", reading.validate_yaml),
    route("POST", "/api/repos/create", writing.create_repo, "token"),
    route("DELETE", "/api/repos/delete", writing.delete_repo, "token"),
    route("POST", "/api/repos/move", writing.move_repo, "token"),
    route("PUT", "/api/{repo}/settings", writing.settings, "token"),
    route("GET", "/api/{type}", reading.list_repos),
    route("GET", "/api/{repo}", reading.repo_info),
    route("GET", "/api/{repo}/revision/{revision}", reading.repo_info),
    route("GET", "/api/{repo}/auth-check", reading.auth_check),
    route("GET", "/api/{repo}/auth-check/write", reading.auth_check_write),
    route("GET", "/api/{repo}/tree/{revision}", reading.tree),
    route("GET", "/api/{repo}/tree/{revision}/{path}", reading.tree),
    route("POST", "/api/{repo}/paths-info/{revision}", reading.paths_info),
    route("GET", "/api/{repo}/refs", reading.refs),
    route("GET", "/api/{repo}/commits/{revision}", reading.commits),
    route("GET", "/api/{repo}/lfs-files", reading.lfs_files),
    route("GET", "/api/{repo}/leaderboard", reading.leaderboard),
    route("POST", "/api/{repo}/preupload/{revision}", writing.preupload, "token"),
    route("POST", "/api/{repo}/commit/{revision}", writing.commit, "token", "disk"),
    route("POST", "/api/{repo}/branch/{branch}", writing.create_branch, "token"),
    route("DELETE", "/api/{repo}/branch/{branch}", writing.delete_branch, "token"),
    route("POST", "/api/{repo}/tag/{revision}", writing.create_tag, "token"),
    route("DELETE", "/api/{repo}/tag/{revision}", writing.delete_tag, "token"),
    route("POST", "/api/{repo}/super-squash/{revision}", writing.super_squash, "token"),
    route("GET", "/api/{repo}/discussions", talking.list_discussions),
    route("POST", "/api/{repo}/discussions", talking.open_discussion, "token"),
    route("GET", "/api/{repo}/discussions/{num}", talking.details),
    route("POST", "/api/{repo}/discussions/{num}/comment", talking.comment, "token"),
    route("POST", "/api/{repo}/discussions/{num}/comment/{comment}/edit", talking.edit_comment, "token"),
    route("POST", "/api/{repo}/discussions/{num}/comment/{comment}/hide", talking.hide_comment, "token"),
    route("POST", "/api/{repo}/discussions/{num}/title", talking.rename, "token"),
    route("POST", "/api/{repo}/discussions/{num}/status", talking.set_status, "token"),
    route("POST", "/api/{repo}/discussions/{num}/merge", talking.merge, "token"),
    route("POST", "/{web}.git/info/lfs/objects/batch", lfs.batch, "token"),
    route("POST", "/{web}.git/info/lfs/objects/verify", lfs.verify, "token"),
    route("PUT", "/lfs/{oid}", lfs.upload, "signed", "disk"),
    route("POST", "/lfs/{oid}", lfs.complete, "signed"),
    route("GET", "/{web}/resolve/{revision}/{path}", reading.resolve),
    route("GET", "/{one}/resolve/{revision}/{path}", missing_one_part_id),
    route("GET", "/api/{type}/{name}", missing_one_part_id),
    route("GET", "/api/{type}/{name}/revision/{revision}", missing_one_part_id),
]
