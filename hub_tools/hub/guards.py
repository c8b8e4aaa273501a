"""What must never be pushed: checked before anything leaves this machine."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from .errors import PushError
from .runs import TOKEN


PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.pickle", "*.ckpt", "*.joblib")


def is_loopback(endpoint: str) -> bool:
    """Whether the URL names this machine only."""
    host = urlsplit(endpoint).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_pickles(names: Iterable[str], folder: Path) -> None:
    """Check that none of the files of `folder` is a pickle, by its name.

    Raises:
        PushError: naming those that are.
    """
    pickles = [name for name in names if matches(name, PICKLES)]
    if pickles:
        raise PushError(
            f"{folder} holds pickles, which may run code where they are loaded: {', '.join(pickles)}."
            " Push a folder that only `save_pretrained` wrote"
        )


def refuse_tokens(files: Mapping[str, Path | bytes]) -> None:
    """Check that no file (content, or where it lies) holds what looks like a Hugging Face token.

    Raises:
        PushError: naming the file, not the token.
    """
    pattern = re.compile(TOKEN.pattern.encode())
    for name, source in files.items():
        if not matches(name, ("*.safetensors", "*.parquet")):
            content = source if isinstance(source, bytes) else source.read_bytes()
            if pattern.search(content):
                raise PushError(f"{name} holds what looks like a Hugging Face token: remove it before pushing")


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a path in a repo fits one of the patterns; `*` stands for slashes too."""
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
