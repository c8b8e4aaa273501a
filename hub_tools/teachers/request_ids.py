"""A set of request ids that stays small: two million of them take 32 MB, where a Python set of strings takes 300."""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import islice

import numpy as np


KEY_BYTES = 16
_KEYS = np.dtype(f"S{KEY_BYTES}")
_UNSORTED = 65_536  # ids that wait in a Python set, some 8 MB, before they are sorted in among the others


class RequestIds:
    """Request ids as sorted 128-bit keys.

    The 32 hexadecimal digits of `request.request_id` are the key; of any other text it is a digest, so that two
    different ids share a key with a probability of 2 to the power of -128.

    >>> ids = RequestIds(["0123456789abcdef" * 2])
    >>> ids.contains(["0123456789abcdef" * 2, "another"])
    [True, False]
    """

    def __init__(self, ids: Iterable[str] = ()) -> None:
        ids, keys = iter(ids), bytearray()
        while chunk := list(islice(ids, _UNSORTED)):
            keys += keys_of(chunk)
        self._sorted = _sort(np.frombuffer(keys, _KEYS))
        self._recent: set[bytes] = set()

    @classmethod
    def from_keys(cls, keys: bytes | bytearray) -> "RequestIds":
        """The set of the ids whose keys, of `KEY_BYTES` bytes, stand one behind the other."""
        ids = cls()
        ids._sorted = _sort(np.frombuffer(keys, _KEYS))
        return ids

    def add(self, ids: Sequence[str]) -> None:
        """Add ids; those in it already change nothing."""
        keys = keys_of(ids)
        known = self._contains(keys)
        self._recent.update(key for key, old in zip(_split(keys), known, strict=True) if not old)
        if len(self._recent) >= _UNSORTED:
            recent = np.frombuffer(b"".join(self._recent), _KEYS)
            self._sorted = _sort(np.concatenate([self._sorted, recent]))
            self._recent.clear()

    def contains(self, ids: Sequence[str]) -> list[bool]:
        """Whether each id is in the set: for many ids far quicker than asking for one after the other."""
        return self._contains(keys_of(ids))

    def _contains(self, keys: bytes) -> list[bool]:
        wanted = np.frombuffer(keys, _KEYS)
        if len(self._sorted):
            places = np.searchsorted(self._sorted, wanted)
            found = (self._sorted.take(places, mode="clip") == wanted).tolist()
        else:
            found = [False] * len(wanted)
        if self._recent:
            found = [old or key in self._recent for old, key in zip(found, _split(keys), strict=True)]
        return found

    def __contains__(self, request_id: object) -> bool:
        return isinstance(request_id, str) and self.contains([request_id])[0]

    def __len__(self) -> int:
        return len(self._sorted) + len(self._recent)


def keys_of(ids: Sequence[str]) -> bytes:
    """The keys of the ids, `KEY_BYTES` bytes each, in their order."""
    if set(map(len, ids)) == {2 * KEY_BYTES}:
        digits = "".join(ids)
        try:
            keys = bytes.fromhex(digits)
        except ValueError:
            keys = b""
        # fromhex also takes capitals and skips blanks: what does not come back as it was is text of another kind.
        if keys.hex() == digits:
            return keys
    return b"".join(map(_key, ids))


def _key(request_id: str) -> bytes:
    if len(request_id) == 2 * KEY_BYTES and not set(request_id) - set("0123456789abcdef"):
        return bytes.fromhex(request_id)
    return blake2b(request_id.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES).digest()


def _split(keys: bytes) -> list[bytes]:
    return [keys[start : start + KEY_BYTES] for start in range(0, len(keys), KEY_BYTES)]


def _sort(keys: np.ndarray) -> np.ndarray:
    """The different keys in order (np.unique hashes byte strings, which takes ten times as long)."""
    keys = np.sort(keys, kind="stable")
    if len(keys) > 1 and not (new := keys[1:] != keys[:-1]).all():
        keys = keys[np.concatenate([[True], new])]
    return keys
