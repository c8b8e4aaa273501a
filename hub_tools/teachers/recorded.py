"""Replies that someone already paid for: the published sample of Mixtral's replies as reviews and reply rows.

Reads JSON lines `{ID, Text, Overall, mixtral_response}` (the data of paper 1, arXiv 2412.18552). What the file does
not say is not made up: the prompts' wording and the sampling are unknown, and tokens are counted as words.
"""

import hashlib
import json
from pathlib import Path

from .request import request_id


TEACHER = "mixtral-8x7b"
REVISION = "recorded"
SAMPLING: dict[str, str] = {"source": "published sample; parameters unknown"}
_FIELDS = {"ID": (int, str), "Text": (str,), "Overall": (int, float, type(None)), "mixtral_response": (str,)}


def read_recorded(path: Path) -> tuple[list[dict], list[dict]]:
    """Read a file of recorded replies.

    The domain is told by the text (this corpus has its Amazon laptop reviews entirely in lower case), the prompt by
    the form of the reply. An ID that comes again with another text gets its text's digest appended.

    Returns:
        Review rows and reply rows; a review that has several replies is one row.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a broken line or field, named `file:line`.
    """
    path = Path(path)
    reviews: dict[str, dict] = {}
    replies: dict[str, dict] = {}
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        if not line.strip():
            continue
        row = _row(line, f"{path}:{number}")
        review = _review(row, path.stem)
        known = reviews.get(review["review_id"])
        if known and known["text"] != review["text"]:
            review["review_id"] += "-" + hashlib.sha256(review["text"].encode()).hexdigest()[:8]
        reviews.setdefault(review["review_id"], review)
        reply = _reply(row["mixtral_response"], review)
        replies.setdefault(reply["request_id"], reply)
    return list(reviews.values()), list(replies.values())


def _row(line: bytes, where: str) -> dict:
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: not a JSON object in UTF-8 ({error})") from None
    if not isinstance(row, dict):
        raise ValueError(f"{where}: found {type(row).__name__}, expected an object with {', '.join(_FIELDS)}")
    for field, kinds in _FIELDS.items():
        if not isinstance(row.get(field), kinds) or isinstance(row.get(field), bool):
            allowed = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
            raise ValueError(f"{where}: field {field!r} is {row.get(field)!r}, expected {allowed}")
    if not row["Text"].strip():
        raise ValueError(f"{where}: field 'Text' is empty")
    return row


def _review(row: dict, source: str) -> dict:
    text = row["Text"].strip()
    return {
        "review_id": f"{TEACHER}-{row['ID']}",
        "domain": "laptop" if text == text.lower() else "restaurant",
        "text": text,
        "rating": None if row["Overall"] is None else float(row["Overall"]),
        "source": source,
    }


def _reply(reply: str, review: dict) -> dict:
    prompt = "analysis" if "opinion target" in reply.lower() else "rewriting"
    messages = [{"role": "user", "content": f"{prompt} of: {review['text']}"}]
    return {
        # The reply stands in for the unknown prompt, so that two replies to one review stay two.
        "request_id": request_id(messages, review["text"], TEACHER, REVISION, {**SAMPLING, "reply": reply}),
        "review_id": review["review_id"],
        "prompt": prompt,
        "teacher": TEACHER,
        "teacher_revision": REVISION,
        "sampling": json.dumps(SAMPLING, sort_keys=True),
        "reply": reply,
        "finish_reason": "unknown",
        "prompt_tokens": len(review["text"].split()),
        "completion_tokens": len(reply.split()),
    }
