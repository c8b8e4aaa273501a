"""File contents, stored once each under their SHA-256, whichever repos and revisions hold them."""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hub_tools.hub.embedded.durable import sync_folder
from hub_tools.hub.embedded.errors import bad_request


SHA256 = re.compile(r"[0-9a-f]{64}")
CHUNK = 1 << 20


def git_blob_id(content: bytes) -> str:
    """Return git's id of `content`, which clients compare with their own files."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def lfs_pointer(sha256: str, size: int) -> bytes:
    """Return the text that git stores in place of a large file."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def checked_sha256(value: object) -> str:
    """Return `value` if it is a SHA-256 in hexadecimal.

    Raises:
        HubError: 400, if it is not; it would become a file name.
    """
    if not isinstance(value, str) or not SHA256.fullmatch(value):
        raise bad_request(f"Invalid sha256 {value!r}: 64 lowercase hexadecimal digits are needed.")
    return value


class Incoming:
    """A file on its way in: written piece by piece to a temporary place, hashed as it comes."""

    def __init__(self, path: Path, limit: int, offset: int | None = None) -> None:
        """Open `path` for up to `limit` bytes, or for a part of a larger file, which is not hashed, at `offset`."""
        self.path = path
        self.limit = limit
        self.size = 0
        self._hash = hashlib.sha256() if offset is None else None
        self._file = path.open("wb" if offset is None else "r+b")
        self._file.seek(offset or 0)

    def write(self, piece: bytes) -> None:
        """Append `piece`; raises HubError 413 beyond the limit."""
        self.size += len(piece)
        if self.size > self.limit:
            error = bad_request(f"The upload is larger than the {self.limit} bytes announced or allowed.")
            error.status = 413
            raise error
        if self._hash is not None:
            self._hash.update(piece)
        self._file.write(piece)

    def flush(self) -> None:
        """Let others read what came so far."""
        self._file.flush()

    def close(self, durable: bool = False) -> None:
        """Finish writing; `durable` waits until the disk has it."""
        if self._file.closed:
            return
        if durable:
            self._file.flush()
            os.fsync(self._file.fileno())
        self._file.close()

    @property
    def sha256(self) -> str:
        """The SHA-256 of what came so far."""
        assert self._hash is not None
        return self._hash.hexdigest()


class Blobs:
    """The content-addressed store in `<root>/blobs`, with `<root>/incoming` for what is not yet whole."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "blobs"
        self.incoming_folder = root / "incoming"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.incoming_folder.mkdir(parents=True, exist_ok=True)

    def path(self, sha256: str) -> Path:
        """Return where the blob lies, or would."""
        return self.folder / sha256[:2] / checked_sha256(sha256)

    def size(self, sha256: str) -> int | None:
        """Return the size of a blob in bytes, or None if it is not here."""
        try:
            return self.path(sha256).stat().st_size
        except FileNotFoundError:
            return None

    def read(self, sha256: str) -> bytes:
        """Return the content of a (small) blob."""
        return self.path(sha256).read_bytes()

    @contextmanager
    def receive(self, limit: int) -> Iterator[Incoming]:
        """Yield a file to write to; it is gone at the end unless `keep` has taken it."""
        descriptor, name = tempfile.mkstemp(dir=self.incoming_folder)
        os.close(descriptor)
        incoming = Incoming(Path(name), limit)
        try:
            yield incoming
        finally:
            incoming.close()
            incoming.path.unlink(missing_ok=True)

    @contextmanager
    def receive_part(self, path: Path, offset: int, limit: int) -> Iterator[Incoming]:
        """Yield a place to write a part of a large file to: all parts go to one file, so none is copied later."""
        path.touch()
        incoming = Incoming(path, limit, offset)
        try:
            yield incoming
        finally:
            incoming.close()

    def keep(self, incoming: Incoming) -> str:
        """Move a file that has come whole into the store and return its SHA-256."""
        incoming.close(durable=True)
        self.adopt(incoming.path, incoming.sha256)
        return incoming.sha256

    def adopt(self, path: Path, sha256: str) -> None:
        """Move a file whose SHA-256 was just computed, and whose bytes are on the disk, into the store."""
        target = self.path(sha256)
        target.parent.mkdir(exist_ok=True)
        os.replace(path, target)
        sync_folder(target.parent)

    def add(self, content: bytes) -> str:
        """Store `content` and return its SHA-256."""
        sha256 = hashlib.sha256(content).hexdigest()
        if self.size(sha256) is None:
            with self.receive(limit=len(content)) as incoming:
                incoming.write(content)
                self.keep(incoming)
        return sha256
