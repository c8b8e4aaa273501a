"""The analysis prompt: list what a review judges, how, and why; and the reader of such a list.

The four parts (opinion target, aspect, sentiment, reasoning) are those of paper 1 (arXiv 2412.18552, section 2.1);
the wording and the demonstration are ours.
"""

import re
from dataclasses import dataclass, field


SENTIMENTS = ("very negative", "negative", "neutral", "positive", "very positive")

_SYSTEM = """\
You are a careful analyst of customer reviews. For every review you list the opinions it holds, one block each:

Opinion Target N: "the thing that is judged, in the words of the review"
Aspect: which side of it is judged, in a few words
Sentiment: one of Very Negative, Negative, Neutral, Positive, Very Positive
Reasoning: how the review shows this sentiment, quoting its words

Leave one empty line between blocks. List an opinion also when it is only implied by what happened, and list the same
target again when several sides of it are judged. Use nothing but the review, and write nothing before or after the
blocks."""

_DEMONSTRATION = (
    "Review: The tasting menu looked promising and the scallops were the best I have had in years. Sadly our glasses "
    "stood empty for most of the evening.",
    """\
Opinion Target 1: "scallops"
Aspect: food quality
Sentiment: Very Positive
Reasoning: The reviewer calls the scallops "the best I have had in years", which ranks them above all others and \
shows delight.

Opinion Target 2: "tasting menu"
Aspect: food choice
Sentiment: Positive
Reasoning: The menu "looked promising", so it raised the reviewer's hopes.

Opinion Target 3: "glasses"
Aspect: service attentiveness
Sentiment: Negative
Reasoning: No word of judgement is used, but that the glasses "stood empty for most of the evening", introduced by \
"sadly", means that nobody took care of the table.""",
)

# `1. **Opinion Target (implicit) 2:** value`: models decorate the labels.
_FIELD = re.compile(
    r"^[\s\-*#>•]*(?P<before>\d+[.)]\s*)?\**"
    r"(?P<name>opinion targets?|aspects?|sentiments?|reasonings?|reasoin|reasons?)"
    r"\s*(?:\([^)\n]{0,40}\))?\s*#?(?P<after>\d+)?\s*\**\s*[:：]\**[ \t]*(?P<value>.*)$",
    re.IGNORECASE,
)
_FIELDS = {"opinion": "target", "aspect": "aspect", "sentiment": "sentiment", "reaso": "reasoning"}
_PART_IN_LINE = re.compile(r"(?<=\S)[ \t]*(?:,|-+|;|\|)[ \t]*(?=(?:Aspect|Sentiment|Reasoning):)")
# A fresh review, a note to the reader or a second answer in another form: what follows is no longer this analysis.
_RUN_ON = re.compile(
    r"^[\s*#>]*(?:review\b[^:]{0,20}:|response\b|note\b|confidence\b|example\b|output\b|answer\b|solution\b|---|===|```|"
    r"[\[{|]|https?:|consider the following|let'?s analy|please\b|submit\b|final answer)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class AnalysisReply:
    """What was read of one reply.

    Attributes:
        opinions: dicts of `target, aspect, sentiment, reasoning`; the sentiment is one of `SENTIMENTS` where it can
            be told, else what was written, in lower case.
        text: the reply as written, up to where it runs on into something else.
        incomplete: blocks that lack a part; they are not among the opinions.
        problem: why nothing could be read; None when something was.
        written: the same opinions with their parts as the teacher wrote them.
        cut: what `text` leaves out: "run-on", "half" a block at the end, or "" for nothing.
    """

    opinions: list[dict[str, str]]
    text: str
    incomplete: int = 0
    problem: str | None = None
    written: list[dict[str, str]] = field(default_factory=list)
    cut: str = ""


def build(review: str) -> list[dict[str, str]]:
    """Chat messages that ask for the analysis of one review, with one demonstration."""
    return [
        {"role": "system", "content": _SYSTEM},
        {"role": "user", "content": _DEMONSTRATION[0]},
        {"role": "assistant", "content": _DEMONSTRATION[1]},
        {"role": "user", "content": f"Review: {review}"},
    ]


def write(opinions: list[dict[str, str]]) -> str:
    """The reply that holds these opinions: what `read` reads.

    >>> print(write([{"target": "soup", "aspect": "taste", "sentiment": "negative", "reasoning": "It is cold."}]))
    Opinion Target 1: "soup"
    Aspect: taste
    Sentiment: Negative
    Reasoning: It is cold.
    """
    return "\n\n".join(
        f'Opinion Target {number}: "{opinion["target"]}"\nAspect: {opinion["aspect"]}\n'
        f"Sentiment: {opinion['sentiment'].title()}\nReasoning: {opinion['reasoning']}"
        for number, opinion in enumerate(opinions, 1)
    )


def read(reply: str) -> AnalysisReply:
    """Read a reply; what cannot be read comes back as a problem, never as an exception.

    >>> read('Opinion Target 1: "soup"\\nAspect: taste\\nSentiment: Mildly Negative\\nReasoning: It is cold.').opinions
    [{'target': 'soup', 'aspect': 'taste', 'sentiment': 'negative', 'reasoning': 'It is cold.'}]
    """
    if not reply.strip():
        return AnalysisReply([], "", problem="empty")
    # Some replies keep the parts of an opinion in one line.
    lines = _PART_IN_LINE.sub("\n", reply).split("\n")
    blocks, start, end = _blocks(lines)
    complete = [block for block in blocks if _is_complete(block)]
    incomplete = len(blocks) - len(complete)
    cut = "run-on" if end < len(lines) else ""
    while blocks and complete and not _is_complete(blocks[-1]):  # the reply met its length limit inside a block
        end = int(blocks.pop()["line"])
        cut = cut or "half"
    text = "\n".join(lines[start:end]).strip()
    if complete:
        written = [{part: block[part] for part in _FIELDS.values()} for block in complete]
        return AnalysisReply([_opinion(block) for block in complete], text, incomplete, written=written, cut=cut)
    if not blocks:
        return AnalysisReply([], text, problem="no opinion target found")
    missing = [part for part in _FIELDS.values() if not blocks[0].get(part)]
    return AnalysisReply([], text, incomplete, problem=f"no complete opinion: the first lacks {', '.join(missing)}")


def _is_complete(block: dict[str, str]) -> bool:
    return all(block.get(part, "").strip('"* ') for part in _FIELDS.values())


def _blocks(lines: list[str]) -> tuple[list[dict[str, str]], int, int]:
    """Blocks of fields (`line` says where each starts), and the lines at which the analysis starts and ends.

    It ends where the reply runs on into something else. What stands before without one whole opinion, as a mere list
    of targets, was not the analysis yet.
    """
    blocks: list[dict[str, str]] = []
    start, number, last, gap = 0, 0, "", False
    for index, line in enumerate(lines):
        field = _FIELD.match(line)
        name = next((part for key, part in _FIELDS.items() if field and field["name"].lower().startswith(key)), "")
        place = int(((field["after"] or field["before"] or "0").strip(" .)"))[:6]) if name == "target" else 0
        runs_on = bool(line.strip()) and (gap or bool(_RUN_ON.match(line))) if not field else 0 < place < number
        if blocks and runs_on:
            if any(_is_complete(block) for block in blocks):
                return blocks, start, index
            blocks, start, number, last = [], index, 0, ""
        gap = not line.strip()
        if not field:
            if last and line.strip():  # a value that goes on in the next line
                blocks[-1][last] = f"{blocks[-1].get(last, '')} {line.strip()}".strip()
            continue
        if name == "target":
            number = place or number
            blocks.append({"line": str(index)})
        elif not blocks:  # a part of nothing, before the first target
            continue
        elif name in blocks[-1]:  # another side of the same target, its name not repeated
            blocks.append({"line": str(index), "target": blocks[-1].get("target", "")})
        blocks[-1][name] = field["value"].strip()
        last = name
    return blocks, start, len(lines)


def _opinion(block: dict[str, str]) -> dict[str, str]:
    return {
        "target": _unquoted(block["target"]),
        "aspect": _unquoted(block["aspect"]),
        "sentiment": sentiment_of(block["sentiment"]),
        "reasoning": block["reasoning"],
    }


def _unquoted(value: str) -> str:
    """The words between quotation marks, when the value starts with one; marks around it go."""
    value = value.strip(" \t*")
    quoted = re.match(r"""["“'‘](.+?)["”'’](?:\s*\(.*\))?[.,]?$""", value)
    return quoted.group(1).strip() if quoted else value


def sentiment_of(written: str) -> str:
    """One of `SENTIMENTS` where the words tell, else the words in lower case.

    >>> sentiment_of("Strong Positive"), sentiment_of("Mild Negative"), sentiment_of("Mixed")
    ('very positive', 'negative', 'mixed')
    """
    words = written.lower().strip(' \t*."')
    signs = [sign for sign in ("negative", "positive") if sign in words]
    if len(signs) == 1 and not re.search(r"\b(?:not|non|neither)\b", words):
        strong = re.search(r"\b(?:very|strong\w*|extreme\w*|highly)\b", words)
        return f"very {signs[0]}" if strong else signs[0]
    if not signs and re.search(r"neutral", words):
        return "neutral"
    return words
