"""The rewriting prompt: say a review again in the first person, feelings and reasons outspoken; and its reader.

What is asked for is that of paper 1 (arXiv 2412.18552, section 2.1); the wording and the demonstration are ours.
"""

import re
from dataclasses import dataclass


_SYSTEM = """\
You rewrite customer reviews so that nobody can miss what their writers felt. Write in the first person, as the
writer. Name every thing that was judged in the review's own words, say which side of it you mean, state openly whether
and how strongly you liked or disliked it, and give the reason the review gives. Where the review only tells what
happened, say the feeling that lies behind it. Add no facts, leave none out, and reply with the rewritten review
only."""

_DEMONSTRATION = (
    "Review: Took the noise-cancelling headset back after four days. The left ear kept dropping out. Gorgeous colour "
    "though, and the girl at the returns desk had my money back before I finished explaining.",
    "I was so disappointed with the reliability of the noise-cancelling headset that I returned it after only four "
    "days, because the left ear kept dropping out. I did adore its gorgeous colour. And I was delighted with the "
    "service of the girl at the returns desk, who was so quick and understanding that I had my money back before I "
    "finished explaining.",
)

_LABEL = re.compile(
    r"^[\s*#>\"]*(?:rewritten|rewrite|revised|output)(?: (?:user )?review)?\b[^:\n]{0,20}:\**[ \t]*", re.I | re.M
)
_RUN_ON = re.compile(
    r"^[\s*#>]*(?:(?:original|new|user|next|example)?\s*review\s*\d*:|rewritten\b.{0,20}:|note\b|confidence\b|explanation\b|"
    r"instructions?\b|sentiment\b.{0,20}:|aspect\b.{0,20}:|reasoning\b.{0,20}:|opinion target|---|===|```|[{\[|]|"
    r"(?:this|the|my|in this) (?:rewritten|revised|rewrite|rewriting)\b|please\b|in the (?:rewritten|revised)\b)",
    re.IGNORECASE | re.MULTILINE,
)
_SENTENCE_END = re.compile(r"[.!?…](?:[\"”'’)\]]+)?(?=\s|$)")


@dataclass(frozen=True)
class RewritingReply:
    """The rewritten review, up to where the reply runs on; `problem` says why there is none.

    `cut` says what `text` leaves out: "run-on", "half" a sentence at the end, or "" for nothing.
    """

    text: str
    problem: str | None = None
    cut: str = ""


def build(review: str) -> list[dict[str, str]]:
    """Chat messages that ask for the rewriting of one review, with one demonstration."""
    return [
        {"role": "system", "content": _SYSTEM},
        {"role": "user", "content": _DEMONSTRATION[0]},
        {"role": "assistant", "content": _DEMONSTRATION[1]},
        {"role": "user", "content": f"Review: {review}"},
    ]


def read(reply: str) -> RewritingReply:
    """Read a reply: drop a label before it and a note, a further review or a broken-off sentence after it.

    >>> read(" Rewritten: I loved the soup. It was hot.\\n\\nConfidence: 90%").text
    'I loved the soup. It was hot.'
    """
    text = reply.strip()
    if not text:
        return RewritingReply("", "empty")
    label = _LABEL.search(text)
    if label and label.start() < len(text) / 2:
        text = text[label.end() :].strip()
    run_on = _RUN_ON.search(text)
    text = (text[: run_on.start()] if run_on else text).strip()
    if not text:
        return RewritingReply("", f"no rewritten review: the reply starts with {reply.strip()[:40]!r}")
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    if ends and text[ends[-1] :].strip():  # the reply met its length limit inside a sentence
        return RewritingReply(text[: ends[-1]], cut="run-on" if run_on else "half")
    return RewritingReply(text, cut="run-on" if run_on else "")
