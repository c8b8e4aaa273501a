"""Uploads of large files: the LFS batch call and the signed addresses that it gives out."""

import hashlib
import hmac
import os
import re
import threading
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from starlette.responses import Response

from hub_tools.hub.embedded.blobs import Blobs, Incoming, checked_sha256
from hub_tools.hub.embedded.calls import Answer, Call
from hub_tools.hub.embedded.errors import HubError, bad_request


PART_BYTES = 16 << 20
VALID_SECONDS = 24 * 3600
MAX_BYTES = 1 << 40
COMPLETING = threading.Lock()
PART, NONCE = re.compile(r"-1|[0-9]{1,8}"), re.compile(r"[0-9a-f]{16}")


class Upload(NamedTuple):
    """What an upload address is signed for.

    `part` is 0 for a whole file, 1… for parts, -1 for the completion of a multipart. `nonce` keeps the parts of
    clients that send the same file at the same time apart.
    """

    oid: str
    size: int
    part: int
    nonce: str
    expires: int

    def signature(self, secret: bytes) -> str:
        """Return what proves that this Hub gave the address out."""
        return hmac.new(secret, ":".join(map(str, self)).encode(), hashlib.sha256).hexdigest()

    def address(self, call: Call) -> str:
        """Return the address, which needs no token: clients send none with uploads."""
        query = self._asdict() | {"signature": self.signature(call.secret)}
        return f"{call.base_url}/lfs/{query.pop('oid')}?{urlencode(query)}"

    def parts_path(self, blobs: Blobs) -> Path:
        """Return where the parts of this upload come together."""
        return blobs.incoming_folder / f"parts-{self.oid}-{self.nonce}"


def batch(call: Call) -> Answer:
    """Say for each object whether it is here, and if not, where to send it."""
    repo = call.repo()
    payload = call.json()
    if payload.get("operation") != "upload" or payload.get("hash_algo", "sha256") != "sha256":
        raise bad_request("Only the operation 'upload' with sha256 is known; files are read through resolve.")
    objects = []
    for item in payload.get("objects") or []:
        oid, size = checked_sha256(item.get("oid")), item.get("size")
        if not isinstance(size, int) or not 0 <= size <= MAX_BYTES:
            raise bad_request(f"Invalid size {size!r} of {oid}.")
        answer: dict[str, Any] = {"oid": oid, "size": size}
        if call.repos.blobs.size(oid) != size:
            verify = f"{call.base_url}/{repo.key.web_path}.git/info/lfs/objects/verify"
            answer["actions"] = {"upload": _upload_action(call, oid, size), "verify": {"href": verify}}
        objects.append(answer)
    multipart = any("chunk_size" in item.get("actions", {}).get("upload", {}).get("header", {}) for item in objects)
    return {"transfer": "multipart" if multipart else "basic", "objects": objects}


def _upload_action(call: Call, oid: str, size: int) -> dict[str, Any]:
    whole = Upload(oid, size, 0, os.urandom(8).hex(), int(time.time()) + VALID_SECONDS)
    if size <= PART_BYTES:
        return {"href": whole.address(call), "header": {}}
    parts = range(1, -(-size // PART_BYTES) + 1)
    addresses = {str(part): whole._replace(part=part).address(call) for part in parts}
    return {"href": whole._replace(part=-1).address(call), "header": {"chunk_size": str(PART_BYTES)} | addresses}


def verify(call: Call) -> Answer:
    """Confirm that an object is here with the size that the client knows."""
    call.repo()
    oid = checked_sha256(call.json().get("oid"))
    size = call.repos.blobs.size(oid)
    if size is None or size != call.json().get("size"):
        raise HubError(404, f"The object {oid} is not here with that size (found: {size}).")
    return None


def _signed(call: Call) -> Upload:
    nonce, text = call.first("nonce"), call.first("part")
    found = Upload(
        checked_sha256(call.parts["oid"]),
        call.number("size", 0, MAX_BYTES),
        int(text) if PART.fullmatch(text) else 0,
        nonce if NONCE.fullmatch(nonce) else "",
        call.number("expires", 0, 1 << 40),
    )
    expected = found.signature(call.secret).encode()
    if not hmac.compare_digest(expected, call.first("signature").encode()) or found.expires < time.time():
        raise HubError(403, "The upload address is not signed by this Hub, or expired: ask the batch endpoint again.")
    return found


def receive(call: Call) -> AbstractContextManager[Incoming]:
    """Return the place for the body of a signed upload: a file of its own, or a part of one.

    Raises:
        HubError: 403, if the address is not signed.
    """
    upload = _signed(call)
    blobs = call.repos.blobs
    if upload.part < 1:
        return blobs.receive(upload.size)
    offset = (upload.part - 1) * PART_BYTES
    return blobs.receive_part(upload.parts_path(blobs), offset, min(PART_BYTES, upload.size - offset))


def upload(call: Call) -> Answer:
    """Take a whole file, or a part of one, that has just come in; a whole file must have the SHA-256 announced."""
    signed, incoming = _signed(call), call.incoming
    assert incoming is not None
    if incoming.size != incoming.limit:
        raise bad_request(f"{incoming.size} bytes came, {incoming.limit} were announced.")
    if signed.part < 1:
        if incoming.sha256 != signed.oid:
            raise bad_request(f"The content that came has the sha256 {incoming.sha256}, not {signed.oid}.")
        call.repos.blobs.keep(incoming)
    return Response(headers={"ETag": f'"{signed.oid[:32]}-{signed.part}"'})


def complete(call: Call) -> Answer:
    """Take a file whose parts have come, if the whole has the size and the SHA-256 announced."""
    signed = _signed(call)
    blobs, path = call.repos.blobs, signed.parts_path(call.repos.blobs)
    with COMPLETING:
        if blobs.size(signed.oid) == signed.size:  # another client sent it, or the answer to the first call was lost
            path.unlink(missing_ok=True)
        else:
            _check_and_adopt(blobs, path, signed)
    return None


def _check_and_adopt(blobs: Blobs, path: Path, signed: Upload) -> None:
    if not path.is_file():
        raise bad_request(f"No part of {signed.oid} has come: upload the file again.")
    with path.open("r+b") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    if found != signed.oid or path.stat().st_size != signed.size:
        path.unlink()
        raise bad_request(f"The parts that came have the sha256 {found}, not {signed.oid}: upload the file again.")
    blobs.adopt(path, signed.oid)
