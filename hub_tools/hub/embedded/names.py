"""What may be called what: repo ids, file paths, branches and tags. Everything that reaches the disk passes here."""

import re
from typing import NamedTuple

from hub_tools.hub.embedded.errors import bad_request


TYPES = ("models", "datasets", "spaces")
WEB_PREFIXES = {"models": "", "datasets": "datasets/", "spaces": "spaces/"}

# Namespaces that a URL could not tell from the Hub's own paths (`/datasets/x/resolve/…`: a model `datasets/x`?).
RESERVED_NAMESPACES = frozenset({*TYPES, "api", "lfs"})
PART_OF_ID = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?")
BAD_IN_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|$)")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class RepoKey(NamedTuple):
    """What identifies a repo: `type` is plural as in URLs (`models`, `datasets`, `spaces`)."""

    type: str
    namespace: str
    name: str

    @property
    def id(self) -> str:
        """The id that users write: `namespace/name`."""
        return f"{self.namespace}/{self.name}"

    @property
    def web_path(self) -> str:
        """The path of the repo's pages and files on the Hub."""
        return WEB_PREFIXES[self.type] + self.id


def repo_key(type: str, namespace: str, name: str) -> RepoKey:
    """Return the checked key of a repo.

    Raises:
        HubError: 400, if the type is unknown or a name breaks the Hub's rules (which also keep it from being a path).
    """
    if type not in TYPES:
        raise bad_request(f"Unknown repo type {type!r}: it must be one of model, dataset, space.")
    for part in (namespace, name):
        if not PART_OF_ID.fullmatch(part) or "--" in part or ".." in part or part.endswith(".git"):
            raise bad_request(
                f"Invalid repo name {part!r}: 1 to 96 letters, digits, '-', '_' and '.' are allowed; '--' and '..' are"
                " forbidden, and so are '-' and '.' at either end and '.git' at the end."
            )
    if namespace in RESERVED_NAMESPACES:
        raise bad_request(f"The namespace {namespace!r} is reserved: choose another one.")
    return RepoKey(type, namespace, name)


def file_path(path: object) -> str:
    """Return the path of a file in a repo, unchanged, if it is one that every client can write to its disk.

    Raises:
        HubError: 400, for absolute paths, `.`, `..`, `.git`, empty parts, backslashes and control characters.
    """
    if not isinstance(path, str) or not path:
        raise bad_request(f"Invalid path {path!r}: a path relative to the repo's root is needed.")
    parts = path.split("/")
    if any(
        part in ("", ".", "..") or part.lower() == ".git" or len(part.encode(errors="replace")) > 255 for part in parts
    ):
        raise bad_request(f"Invalid path {path!r}: empty parts, '.', '..', '.git' and absolute paths are forbidden.")
    if "\\" in path or CONTROL.search(path) or len(path) > 4000:
        raise bad_request(f"Invalid path {path!r}: backslashes and control characters are forbidden.")
    try:
        path.encode()
    except UnicodeEncodeError:
        raise bad_request(f"Invalid path {path!r}: it is not valid Unicode.") from None
    return path


def ref_name(name: object) -> str:
    """Return the name of a branch or tag, unchanged, if git would take it.

    Raises:
        HubError: 400, if it would not, or if it would be read as a full reference.
    """
    if (
        not isinstance(name, str)
        or not name
        or len(name) > 250
        or BAD_IN_REF.search(name)
        or name[0] in "/.-"
        or name[-1] in "/."
        or name.startswith("refs/")
    ):
        raise bad_request(f"Invalid name of a branch or tag: {name!r}.")
    return name
