"""The gates of the corpus: what a teacher's text must be to enter it. Each may be left out.

Paper 1 (arXiv 2412.18552) does not filter; all of this is ours. No gate asks a model. The first gate that a text fails
gives the reason why it is rejected; what the gate saw goes with it.

How much each rejects of the 234 analyses and 266 rewritings of Mixtral that are public, and how many of its rejects a
reader would reject too, is in `recipes/README.md`; `tests/corpus/test_gates.py` holds the numbers.
Bounds and word lists were set with these 500 replies in view, and one person judged the rejects: there is no second
sample of real replies to confirm them on, so expect other rates, and likely more false rejects, with another teacher.
"""

import re
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import NamedTuple

from hub_tools.prompts.analysis import AnalysisReply
from hub_tools.prompts.rewriting import RewritingReply

from .intensity import shouts, strong_words, valence
from .language import foreign
from .words import normalise, overlap, quotations, quoted_from, stands_in


class Candidate(NamedTuple):
    """What the gates look at.

    Attributes:
        review, rating: what the teacher was asked about; 1 to 5 stars, or None.
        text: what a student would learn to write: the reply as far as its reader kept it.
        reply: the reply as it came.
        read: what the reader made of it; an analysis or a rewriting.
        finish_reason: "length" where the teacher was cut off.
    """

    review: str
    rating: float | None
    text: str
    reply: str
    read: AnalysisReply | RewritingReply
    finish_reason: str = "unknown"


class Gate(NamedTuple):
    """A gate: which prompt's texts it looks at ("" for all), what it asks of them, and the question itself.

    `fails` returns what is wrong with the text, "" where nothing is, and None where the question does not apply.
    """

    prompt: str
    asks: str
    fails: Callable[[Candidate], str | None]


_TASK = r"(?:assist|fulfil|provide|rewrite|analy[sz]e|help (?:with|you))"
_REFUSAL = re.compile(
    r"\bas an? (?:ai|artificial|language model)\b|"
    rf"\bi(?:'m| am) (?:sorry|unable to)\b[^.]{{0,40}}\b{_TASK}|\bi (?:cannot|can't|can not) {_TASK}|"
    r"\b(?:please|you (?:did not|didn't)) (?:provide|share|include)[^.]{0,20} review\b",
    re.IGNORECASE,
)
# A teacher that talks about its work instead of doing it, or leaves a form's blanks empty.
_BOILERPLATE = re.compile(
    r"\b(?:rewritten|rewriting|revised|updated|original) (?:user |customer )?(?:review|version|text)\b|"
    r"\bfine-grained sentiment\b|\byour (?:own )?(?:analysis|answer|response)\b|\bthe above (?:analysis|review)\b|"
    r"\[(?:product|restaurant|company|brand|service|location|item)\b[^\]\n]{0,30}\]|\bplaceholder\b",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?…:)\]][\"”'’)\]*}]*$|[\"”*]$")
# Words of a text allowed for a review of n words: from `least` * n, at most `base` + `most` * n. The real rewritings
# have 0.9 to 10 times the words of their reviews, and none is too long or too short to a reader.
_LENGTHS = {AnalysisReply: (0.0, 250, 12.0), RewritingReply: (0.3, 150, 6.0)}
_LEAST_WORDS = 4
MOST_COPIED = 0.6  # share of a rewriting's runs of four words; the real ones copy 13 % at most
RUN_ON_CUT = 0.5  # share of the reply's words
DRIFT = 4  # strong words beyond the review's; at 3 half of what more is rejected reads as fair
_FELT = 0.05  # VADER's own bound of a text that leans to one side
_SIGNS = {"very negative": -2, "negative": -1, "neutral": 0, "positive": 1, "very positive": 2}


def _refusal(candidate: Candidate) -> str:
    found = _REFUSAL.search(candidate.text)
    return found.group() if found and not _REFUSAL.search(candidate.review) else ""


def _boilerplate(candidate: Candidate) -> str:
    found = _BOILERPLATE.search(candidate.text)
    return found.group() if found and found.group().lower() not in candidate.review.lower() else ""


def _run_on(candidate: Candidate) -> str:
    kept, came = len(candidate.text.split()), len(candidate.reply.split())
    return f"{came - kept} of {came} words" if candidate.read.cut == "run-on" and kept < RUN_ON_CUT * came else ""


def _truncated(candidate: Candidate) -> str:
    if isinstance(candidate.read, RewritingReply) and candidate.read.cut == "half":
        return "the last sentence was cut off"
    return "" if _SENTENCE_END.search(candidate.text) else f"ends in {candidate.text[-30:]!r}"


def _length(candidate: Candidate) -> str:
    least, base, most = _LENGTHS[type(candidate.read)]
    words, asked = len(candidate.text.split()), len(candidate.review.split())
    within = max(_LEAST_WORDS, least * asked) <= words <= base + most * asked
    return "" if within else f"{words} words for {asked}"


def _language(candidate: Candidate) -> str:
    return foreign(candidate.text) or foreign(candidate.review)


def _targets(candidate: Candidate) -> str:
    """An analysis of something else: a target may be implied ("case", "server"), but then the quotations show it."""
    words = normalise(candidate.review)
    opinions = candidate.read.opinions
    if any(stands_in(normalise(opinion["target"]), words) for opinion in opinions):
        return ""
    quoted = [found for opinion in opinions for found in quotations(opinion["reasoning"])]
    if any(quoted_from(quotation, words) for quotation in quoted):
        return ""
    return ", ".join(repr(opinion["target"]) for opinion in opinions[:3])


def _quotations(candidate: Candidate) -> str:
    """Most of what it quotes was never said. Its own labels ("very positive") are not quotations."""
    words = normalise(candidate.review)
    own = {name for opinion in candidate.read.opinions for name in (opinion["sentiment"], opinion["aspect"].lower())}
    quoted = [
        found
        for opinion in candidate.read.opinions
        for found in quotations(opinion["reasoning"])
        if found.strip(" .,").lower() not in own
    ]
    invented = [quotation for quotation in quoted if not quoted_from(quotation, words)]
    return repr(invented[0]) if invented and 2 * len(invented) > len(quoted) else ""


def _stars(candidate: Candidate) -> str | None:
    """An analysis all against one or five stars, where the review's words are not against its stars as well.

    Reviewers do give four stars and complain, and some give five and only complain: of 85 real analyses of 1- and
    5-star reviews none is rejected, and 60 would be with their sentiments turned round.
    """
    signs = [_SIGNS[opinion["sentiment"]] for opinion in candidate.read.opinions if opinion["sentiment"] in _SIGNS]
    if candidate.rating not in (1.0, 5.0) or not signs:
        return None
    side = 1 if candidate.rating == 5.0 else -1
    against = all(side * sign < 0 for sign in signs) and side * valence(candidate.review) > -_FELT
    return f"{candidate.rating:g} stars, mean sentiment {fmean(signs):+.1f} of ±2" if against else ""


def _drift(candidate: Candidate) -> str:
    """Strong words that are new, less those of the review that they stand for; one that is repeated counts once."""
    strong, carried = (dict.fromkeys(strong_words(text)) for text in (candidate.text, candidate.review))
    new = [word for word in strong if word not in carried]
    replaced = sum(word not in strong for word in carried)
    return ", ".join(new) if len(new) - replaced - shouts(candidate.review) >= DRIFT else ""


def _copy(candidate: Candidate) -> str:
    text, review = normalise(candidate.text), normalise(candidate.review)
    if text == review:
        return "word by word"
    share = overlap(text, review)
    return f"{share:.0%} of its runs of four words" if share > MOST_COPIED else ""


GATES = {
    "refusal": Gate("", "the teacher does not refuse or speak about itself", _refusal),
    "boilerplate": Gate("", "it does not talk about the task, and leaves no blanks", _boilerplate),
    "run-on": Gate("", "not over half of the reply was something else, which the reader cut off", _run_on),
    "truncated": Gate("", "it ends where a sentence does", _truncated),
    "length": Gate("", "it is not far shorter or longer than the review calls for", _length),
    "language": Gate("", "review and text are English", _language),
    "targets": Gate("analysis", "a target or a quotation stands in the review, typing errors allowed", _targets),
    "quotations": Gate("analysis", "at least half of the quotations are the review's", _quotations),
    "stars": Gate(
        "analysis",
        "it is not all negative about five stars, nor all positive about one, against the review's words",
        _stars,
    ),
    "intensity": Gate("rewriting", f"it has fewer than {DRIFT} strong words beyond the review's", _drift),
    "copy": Gate("rewriting", f"at most {MOST_COPIED:.0%} of it is the review's, in runs of four words", _copy),
}
# What the reader kept of a reply that ran on is as good as any other: cut, not rejected.
DEFAULT = tuple(name for name in GATES if name != "run-on")


def chosen(names: Sequence[str]) -> dict[str, Gate]:
    """The gates named, in the order in which they are asked.

    Raises:
        ValueError: a name that is none of a gate.
    """
    if unknown := [name for name in names if name not in GATES]:
        raise ValueError(f"unknown gate {', '.join(map(repr, unknown))}; allowed: {', '.join(GATES)}")
    return {name: gate for name, gate in GATES.items() if name in names}


def looks_at(gate: Gate, prompt: str) -> bool:
    """Whether a gate has something to say about this prompt's texts."""
    return gate.prompt in ("", prompt)
