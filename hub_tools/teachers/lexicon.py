"""The offline teacher: no model, but rules and a sentiment lexicon. A stand-in, so that the whole way runs anywhere.

It writes analyses and rewritings in the form that an LLM is asked for. It knows words, not the world: irony, long
references and unlisted events escape it. Numbers made with it say nothing about LLM teachers.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from . import wordlists
from .clauses import Finding, find_opinions
from .request import Answers, Request, in_chunks, reply_row


CHUNK = 256  # replies
MOST_OPINIONS = 6  # a student reads at most 400 tokens of a reply; a block is 50 to 70
MOST_MENTIONS = 2
_LONGEST_QUOTE = 24  # words

_STRENGTHS = {
    "Very Positive": "is strong praise",
    "Positive": "is praise",
    "Neutral": "mentions it without judging it",
    "Negative": "is a complaint",
    "Very Negative": "is a strong complaint",
}
_FEELINGS = {
    "Very Positive": ("I absolutely loved the {target}", "I was thrilled with the {target}"),
    "Positive": ("I was happy with the {target}", "I liked the {target}"),
    "Neutral": ("I have no strong feelings about the {target}", "I can take or leave the {target}"),
    "Negative": ("I was unhappy with the {target}", "I was disappointed by the {target}"),
    "Very Negative": ("I absolutely hated the {target}", "I was really upset about the {target}"),
}


class LexiconTeacher:
    """Replies by rule; the same request always gets the same reply.

    `revision` changes with the rules and with the word lists. Token counts are words, and the prompt, which no rule
    reads, counts nothing.
    """

    name = "lexicon"
    revision = (
        "1-"
        + hashlib.sha256(
            b"".join((Path(__file__).parent / f"{module}.py").read_bytes() for module in ("clauses", "lexicon"))
            + wordlists.DIGEST.encode()
        ).hexdigest()[:12]
    )
    sampling: dict[str, float] = {}  # noqa: RUF012  nothing is sampled

    def replies(self, requests: Iterable[Request]) -> Iterator[Answers]:
        """A few hundred rows at a time, since each group is written to the disk."""
        return in_chunks(lambda chunk: Answers(self.reply(chunk)), requests, CHUNK)

    def reply(self, requests: Sequence[Request]) -> list[dict[str, str | int]]:
        """One reply row per request, in order.

        Raises:
            ValueError: a prompt other than "analysis" and "rewriting".
        """
        rows = []
        for request in requests:
            if request.prompt not in ("analysis", "rewriting"):
                raise ValueError(
                    f"request {request.request_id}: prompt {request.prompt!r}; the lexicon teacher knows analysis "
                    "and rewriting"
                )
            findings = _read(request.review)
            text = analyse(findings) if request.prompt == "analysis" else rewrite(findings, request.review)
            words = len(request.review.split())
            rows.append(
                reply_row(request, text, self.name, self.revision, self.sampling, "stop", words, len(text.split()))
            )
        return rows


@lru_cache(maxsize=8)  # both prompts ask about one review, one after the other
def _read(review: str) -> list[Finding]:
    return select(find_opinions(review))


def sentiment(score: float) -> str:
    """The five steps. The bounds are set so that "good" is Positive and "superb" Very Positive."""
    if abs(score) < 0.5:
        return "Neutral"
    side = "Positive" if score > 0 else "Negative"
    return f"Very {side}" if abs(score) >= 2.7 else side


def select(findings: list[Finding]) -> list[Finding]:
    """The strongest few in the order of the text, each target once per polarity; mere mentions come last."""
    best: dict[tuple[str, int], Finding] = {}
    judged = {finding.target.lower() for finding in findings if sentiment(finding.score) != "Neutral"}
    for finding in findings:
        neutral = sentiment(finding.score) == "Neutral"
        side = 0 if neutral else 1 if finding.score > 0 else -1
        key = (finding.target.lower(), side)
        if neutral and finding.target.lower() in judged:
            continue
        if key not in best or abs(finding.score) > abs(best[key].score):
            best[key] = finding
    ranked = sorted(best.values(), key=lambda finding: -abs(finding.score))
    mentions = [finding for finding in ranked if sentiment(finding.score) == "Neutral"][:MOST_MENTIONS]
    chosen = [*(finding for finding in ranked if sentiment(finding.score) != "Neutral"), *mentions][:MOST_OPINIONS]
    return sorted(chosen, key=lambda finding: finding.start)


def analyse(findings: list[Finding]) -> str:
    """The analysis of these findings in the form that the analysis prompt asks for; empty without findings."""
    blocks = []
    for number, finding in enumerate(findings, 1):
        strength = sentiment(finding.score)
        blocks.append(
            f'Opinion Target {number}: "{finding.target}"\nAspect: {finding.aspect}\nSentiment: {strength}\n'
            f"Reasoning: {_reasoning(finding, strength)}"
        )
    return "\n\n".join(blocks)


def _reasoning(finding: Finding, strength: str) -> str:
    said = f'The reviewer says "{_quote(finding)}", which'
    if strength == "Neutral":
        return f"{said} {_STRENGTHS[strength]}."
    if finding.reason:
        return f"{said} names no feeling, but {finding.reason}, so it implies a {strength.lower()} sentiment."
    words = " and ".join(f'"{word}"' for word in finding.judging[:2])
    if not words:
        return f"{said} {_STRENGTHS[strength]}."
    return f"{said} {_STRENGTHS[strength]}: the judgement lies in {words}."


def _quote(finding: Finding) -> str:
    """The clause, or the part of a long one around what it is about."""
    words = finding.clause.strip(" .!?,").replace("\n", " ").split(" ")
    if len(words) > _LONGEST_QUOTE:
        mark = (finding.judging or (finding.target,))[0].split()[0]
        place = next((index for index, word in enumerate(words) if mark in word), 0)
        start = max(0, min(place - _LONGEST_QUOTE // 2, len(words) - _LONGEST_QUOTE))
        words = words[start : start + _LONGEST_QUOTE]
    return " ".join(words).replace('"', "'")


def rewrite(findings: list[Finding], review: str) -> str:
    """The review once more in the first person, every feeling spoken out, with its aspect and its reason."""
    sentences = []
    for number, finding in enumerate(findings):
        strength = sentiment(finding.score)
        forms = _FEELINGS[strength]
        feeling = forms[number % len(forms)].format(target=finding.target)
        entity, _, side = finding.aspect.rpartition(" ")
        named = side == "general" or entity in finding.target.lower()
        about = "" if named else f" when it comes to the {finding.aspect}"
        sentences.append(f"{feeling}{about}: {_quote(finding)}.")
    if not sentences:
        return ""
    total = sum(finding.score for finding in findings)
    mixed = {finding.score > 0 for finding in findings if sentiment(finding.score) != "Neutral"} == {True, False}
    overall = "satisfied" if total > 0.5 else "dissatisfied" if total < -0.5 else "undecided"
    sentences.append(f"My feelings are mixed, but overall I am {overall}." if mixed else f"Overall I am {overall}.")
    return " ".join(sentences)
