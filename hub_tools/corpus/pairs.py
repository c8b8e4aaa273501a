"""Raw replies → training pairs, and rejected pairs with the reason.

Reads: reply rows and the review rows that they are about.  Makes: pair rows
`{pair_id, review_id, domain, rating, prompt, teacher, input, target}`; rejected rows have a `reason` more. Nothing is
lost on the way: every reply becomes one or the other. Paper 1 (arXiv 2412.18552) does not filter; the gates are ours.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence

from hub_tools.prompts import READERS
from hub_tools.prompts.analysis import AnalysisReply

from .contamination import BenchmarkSentences, normalise


REASONS = {
    "empty": "the teacher wrote nothing",
    "unreadable": "the reader of the prompt's replies could not read it",
    "refusal": "the teacher refused or spoke about itself",
    "too short": "far fewer words than the review calls for",
    "too long": "far more words than the review calls for",
    "ungrounded": "an analysis none of whose opinion targets stands in the review",
    "contradicts stars": "an analysis all negative of a 5-star review, or all positive of a 1-star one",
    "copy": "a rewriting that repeats the review",
    "contaminated": "the review or the reply contains a benchmark test sentence",
    "repeated": "the same pair came before",
}
_TASK = r"(?:assist|fulfil|provide|rewrite|analy[sz]e|help (?:with|you))"
_REFUSAL = re.compile(
    r"\bas an? (?:ai|artificial|language model)\b|"
    rf"\bi(?:'m| am) (?:sorry|unable to)\b[^.]{{0,40}}\b{_TASK}|\bi (?:cannot|can't|can not) {_TASK}|"
    r"\b(?:please|you (?:did not|didn't)) (?:provide|share|include)[^.]{0,20} review\b",
    re.IGNORECASE,
)
# Words of a reply allowed to a review of n words: from `least` * n, at most `base` + `most` * n. Set so wide that
# they meet only replies which a reader would call broken: the real Mixtral sample loses none of its 500 to the upper.
_LENGTHS = {"analysis": (0.0, 250, 12.0), "rewriting": (0.2, 150, 6.0)}
_LEAST_WORDS = 4


def to_pairs(
    replies: Iterable[Mapping],
    reviews: Iterable[Mapping],
    test_sentences: BenchmarkSentences | None = None,
) -> tuple[list[dict], list[dict]]:
    """Turn replies into pairs.

    The training target is what the teacher wrote, up to where the reader sees it run on into something else.

    Args:
        replies: rows of the replies contract, `prompt` being "analysis" or "rewriting".
        reviews: rows of the reviews contract; every reply's review_id is among them.
        test_sentences: when given, pairs that contain one are rejected.

    Returns:
        (pairs, rejected), both in the order of the replies.

    Raises:
        ValueError: a reply about an unknown review or of an unknown prompt.
    """
    known = {review["review_id"]: review for review in reviews}
    leaks: dict[str, bool] = {}  # per text: every review is asked about more than once
    seen: set[str] = set()
    pairs: list[dict] = []
    rejected: list[dict] = []
    for reply in replies:
        review = known.get(reply["review_id"])
        if review is None:
            raise ValueError(
                f"reply {reply['request_id']}: review {reply['review_id']!r} is not among the {len(known)} reviews; "
                "give the reviews that were labelled"
            )
        if reply["prompt"] not in READERS:
            raise ValueError(f"reply {reply['request_id']}: prompt {reply['prompt']!r}; known: {', '.join(READERS)}")
        pair, reason = _pair(reply, review)
        if not reason and test_sentences and _leaks(pair, test_sentences, leaks):
            reason = "contaminated"
        if not reason and pair["pair_id"] in seen:
            reason = "repeated"
        if reason:
            rejected.append({**pair, "reason": reason})
        else:
            seen.add(pair["pair_id"])
            pairs.append(pair)
    return pairs, rejected


def _pair(reply: Mapping, review: Mapping) -> tuple[dict, str]:
    """The pair and why it is rejected ("" when it is not)."""
    read = READERS[reply["prompt"]](reply["reply"])
    target = reply["reply"].strip() if read.problem else read.text
    pair = {
        "review_id": review["review_id"],
        "domain": review["domain"],
        "rating": review["rating"],
        "prompt": reply["prompt"],
        "teacher": reply["teacher"],
        "input": review["text"],
        "target": target,
    }
    digest = hashlib.sha256(json.dumps([pair["teacher"], pair["prompt"], pair["input"], target]).encode())
    pair = {"pair_id": digest.hexdigest()[:32], **pair}
    if not target:
        return pair, "empty"
    if _REFUSAL.search(target) and not _REFUSAL.search(review["text"]):
        return pair, "refusal"
    if read.problem:
        return pair, "unreadable"
    if isinstance(read, AnalysisReply):
        return pair, _length(pair) or _ground(read, review) or _stars(read, review)
    return pair, _length(pair) or ("copy" if normalise(target) == normalise(review["text"]) else "")


def _length(pair: Mapping) -> str:
    least, base, most = _LENGTHS[pair["prompt"]]
    words, asked = len(pair["target"].split()), len(pair["input"].split())
    if words < max(_LEAST_WORDS, least * asked):
        return "too short"
    return "too long" if words > base + most * asked else ""


def grounded(targets: Sequence[str], review: str) -> int:
    """How many targets stand in the review: as whole words, or in another order or with words between.

    >>> grounded(["battery life", "screen"], "The life of this battery is short.")
    1
    """
    words = set(normalise(review))
    return sum(bool(parts) and set(parts) <= words for parts in map(normalise, targets))


def _ground(read: AnalysisReply, review: Mapping) -> str:
    return "" if grounded([opinion["target"] for opinion in read.opinions], review["text"]) else "ungrounded"


def _stars(read: AnalysisReply, review: Mapping) -> str:
    against = {5.0: "negative", 1.0: "positive"}.get(review["rating"] or 0.0)
    contradicts = against and all(opinion["sentiment"].endswith(against) for opinion in read.opinions)
    return "contradicts stars" if contradicts else ""


def _leaks(pair: Mapping, test_sentences: BenchmarkSentences, leaks: dict[str, bool]) -> bool:
    if pair["input"] not in leaks:
        leaks[pair["input"]] = bool(test_sentences.find(pair["input"]))
    return leaks[pair["input"]] or bool(test_sentences.find(pair["target"]))


def config_name(teacher: str, domain: str, prompt: str) -> str:
    """The Hub config of a part of the corpus.

    >>> config_name("Mixtral 8x7B", "restaurant", "analysis")
    'mixtral-8x7b-restaurant-analysis'
    """
    return re.sub(r"[^a-z0-9.]+", "-", f"{teacher}-{domain}-{prompt}".lower()).strip("-.")
