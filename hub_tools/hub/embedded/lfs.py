"""Uploads of large files: the LFS batch call and the signed addresses that it gives out."""

import hashlib
import hmac
import os
import shutil
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from hub_tools.hub.embedded.blobs import CHUNK, Blobs, checked_sha256
from hub_tools.hub.embedded.calls import Answer, Call
from hub_tools.hub.embedded.errors import HubError, bad_request


PART_BYTES = 16 << 20
VALID_SECONDS = 24 * 3600
MAX_BYTES = 1 << 40


def signature(secret: bytes, oid: str, size: int, part: int, expires: int) -> str:
    """Sign one upload address; `part` is 0 for a whole file, 1… for parts, -1 for the completion of a multipart."""
    return hmac.new(secret, f"{oid}:{size}:{part}:{expires}".encode(), hashlib.sha256).hexdigest()


def _address(call: Call, oid: str, size: int, part: int) -> str:
    expires = int(time.time()) + VALID_SECONDS
    query = {"size": size, "part": part, "expires": expires}
    query["signature"] = signature(call.secret, oid, size, part, expires)
    return f"{call.base_url}/lfs/{oid}?{urlencode(query)}"


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
    if size <= PART_BYTES:
        return {"href": _address(call, oid, size, 0), "header": {}}
    parts = range(1, -(-size // PART_BYTES) + 1)
    header = {"chunk_size": str(PART_BYTES)} | {str(part): _address(call, oid, size, part) for part in parts}
    return {"href": _address(call, oid, size, -1), "header": header}


def verify(call: Call) -> Answer:
    """Confirm that an object is here with the size that the client knows."""
    call.repo()
    oid = checked_sha256(call.json().get("oid"))
    size = call.repos.blobs.size(oid)
    if size is None or size != call.json().get("size"):
        raise HubError(404, f"The object {oid} is not here with that size (found: {size}).")
    return None


def _signed(call: Call) -> tuple[str, int, int]:
    oid = checked_sha256(call.parts["oid"])
    size, expires = call.number("size", 0, MAX_BYTES), call.number("expires", 0, 1 << 40)
    text = call.first("part")
    part = int(text) if text.removeprefix("-").isdecimal() and len(text) < 10 else 0
    expected = signature(call.secret, oid, size, part, expires)
    if not hmac.compare_digest(expected.encode(), call.first("signature").encode()) or expires < time.time():
        raise HubError(
            403, "The upload address is not signed by this Hub, or has expired: ask the batch endpoint again."
        )
    return oid, size, part


def check_upload(call: Call) -> int:
    """Return how many bytes may come to a signed address; raises HubError 403 if it is not signed."""
    _, size, part = _signed(call)
    if part < 1:
        return size
    return min(PART_BYTES, size - (part - 1) * PART_BYTES)


def upload(call: Call) -> Answer:
    """Take a whole file, or a part of one, that has just come in; its size and SHA-256 must be those announced."""
    oid, size, part = _signed(call)
    blobs, incoming = call.repos.blobs, call.incoming
    assert incoming is not None
    wanted = check_upload(call)
    if incoming.size != wanted:
        raise bad_request(f"{incoming.size} bytes came, {wanted} were announced.")
    if part == 0:
        if incoming.sha256 != oid:
            raise bad_request(f"The content that came has the sha256 {incoming.sha256}, not {oid}.")
        blobs.keep(incoming)
    else:
        incoming.close()
        with blobs.lock(oid):
            if blobs.size(oid) != size:  # else another client has sent it all meanwhile
                folder = _parts_folder(blobs, oid)
                folder.mkdir(exist_ok=True)
                os.replace(incoming.path, folder / str(part))
    return Response(headers={"ETag": f'"{incoming.sha256}"'})


def _parts_folder(blobs: Blobs, oid: str) -> Path:
    return blobs.incoming_folder / f"parts-{oid}"


def complete(call: Call) -> Answer:
    """Join the parts of a multipart upload, checking the whole."""
    oid, size, _ = _signed(call)
    blobs = call.repos.blobs
    with blobs.lock(oid):
        # It may be here already: the call is repeated when its answer was lost, or two clients send the same file.
        if blobs.size(oid) != size:
            _join(blobs, oid, size)
    return None


def _join(blobs: Blobs, oid: str, size: int) -> None:
    folder = _parts_folder(blobs, oid)
    parts = [folder / str(part) for part in range(1, -(-size // PART_BYTES) + 1)]
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        raise bad_request(f"Parts of {oid} have not come: {', '.join(missing[:10])}. Upload the file again.")
    digest = hashlib.sha256()
    whole = parts[0]  # the first part grows; each further part is gone once it is copied
    with whole.open("r+b") as target:
        while piece := target.read(CHUNK):
            digest.update(piece)
        for part in parts[1:]:
            with part.open("rb") as source:
                while piece := source.read(CHUNK):
                    digest.update(piece)
                    target.write(piece)
            part.unlink()
        target.flush()
        os.fsync(target.fileno())
    if digest.hexdigest() == oid:
        blobs.adopt(whole, oid)
    shutil.rmtree(folder, ignore_errors=True)
    if digest.hexdigest() != oid:
        raise bad_request(f"The content that came has the sha256 {digest.hexdigest()}, not {oid}.")
