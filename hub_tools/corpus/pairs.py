"""Raw replies → training pairs, and rejected pairs with the reason.

Reads: reply rows, each with the review row that it is about.  Makes: pair rows `{pair_id, review_id, domain, rating,
prompt, teacher, input, target, source, licence}`; rejected rows have a `reason` and its `detail` more. Nothing is lost
on the way: every reply becomes one or the other.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hub_tools.prompts import READERS
from hub_tools.prompts.analysis import AnalysisReply
from hub_tools.prompts.rewriting import RewritingReply

from .contamination import BenchmarkSentences, Finding
from .gates import DEFAULT, Candidate, chosen, looks_at


# What is asked of every reply, before and after the gates that can be left out.
READABLE = "the reader of the prompt's replies can read it"
CLEAN = "neither review nor reply contains a sentence that the benchmark validates or tests on"
NEW = "the same pair did not come before"
_STRICTEST = ("exact", "normalised", "n-gram")
_MOST_IDS = 3


class Judged(NamedTuple):
    """A pair and, if it was rejected, why: `reason` is "" when it was not."""

    pair: dict
    reason: str
    detail: str
    read: AnalysisReply | RewritingReply


class Judge:
    """Turns replies into pairs, one at a time and in one order, and counts what was asked of them.

    Args:
        gates: names of the gates, of `hub_tools.corpus.gates.GATES`.
        sentences: when given, pairs that contain one are rejected.
        whole: the training target is the reply as the teacher wrote it, as in paper 1, even where it runs on.

    Attributes:
        sentences: as given.
        asked: what was asked → [replies looked at, rejected].
        asks: what was asked → in words.

    Raises:
        ValueError: an unknown gate.
    """

    def __init__(
        self, gates: Sequence[str] = DEFAULT, sentences: BenchmarkSentences | None = None, whole: bool = False
    ) -> None:
        self._gates, self.sentences, self._whole = chosen(gates), sentences, whole
        self._seen: set[bytes] = set()  # 16 bytes a pair
        self._review: tuple[str, list[Finding]] = ("", [])  # every review is asked about more than once
        self.asks = {
            "readable": READABLE,
            **({"clean": CLEAN} if sentences else {}),
            **{name: gate.asks for name, gate in self._gates.items()},
            "new": NEW,
        }
        self.asked: dict[str, list[int]] = {name: [0, 0] for name in self.asks}

    def judge(self, reply: Mapping, review: Mapping) -> Judged:
        """One reply and the review that it is about; `prompt` is "analysis" or "rewriting".

        The training target is what the teacher wrote, up to where the reader sees it run on into something else or
        break off, unless replies are learned whole.
        """
        read = READERS[reply["prompt"]](reply["reply"])
        pair = _pair(reply, review, reply["reply"].strip() if read.problem or self._whole else read.text)
        reason, detail = self._first_objection(reply, review, pair, read)
        if not reason:
            self._seen.add(bytes.fromhex(pair["pair_id"]))
        return Judged(pair, reason, detail, read)

    def _first_objection(self, reply: Mapping, review: Mapping, pair: dict, read) -> tuple[str, str]:
        if self._count("readable", bool(read.problem)):
            return ("empty", "") if read.problem == "empty" else ("unreadable", read.problem)
        if self.sentences:
            found = self._contained(pair)
            if self._count("clean", bool(found)):
                how = min((finding.how for finding in found), key=_STRICTEST.index)
                ids = [key for finding in found for key in finding.ids]
                return f"contaminated: {how}", " ".join(dict.fromkeys(ids[:_MOST_IDS]))
        candidate = Candidate(
            review["text"], review["rating"], pair["target"], reply["reply"], read, reply.get("finish_reason") or ""
        )
        for name, gate in self._gates.items():
            if looks_at(gate, pair["prompt"]):
                detail = gate.fails(candidate)
                if detail is not None and self._count(name, bool(detail)):
                    return name, detail
        if self._count("new", bytes.fromhex(pair["pair_id"]) in self._seen):
            return "repeated", ""
        return "", ""

    def _count(self, name: str, rejected: bool) -> bool:
        self.asked[name][0] += 1
        self.asked[name][1] += rejected
        return rejected

    def _contained(self, pair: Mapping) -> list[Finding]:
        if self._review[0] != pair["input"]:
            self._review = pair["input"], self.sentences.find(pair["input"])
        return [*self._review[1], *self.sentences.find(pair["target"])]


def _pair(reply: Mapping, review: Mapping, target: str) -> dict:
    return {
        "pair_id": pair_id(reply["teacher"], reply["prompt"], review["text"], target),
        "review_id": review["review_id"],
        "domain": review["domain"],
        "rating": review["rating"],
        "prompt": reply["prompt"],
        "teacher": reply["teacher"],
        "input": review["text"],
        "target": target,
        "source": review["source"],
        "licence": review.get("licence") or "",
    }


def pair_id(teacher: str, prompt: str, review: str, target: str) -> str:
    """A digest of what makes a pair, 32 hexadecimal digits: it tells whether a review is the one it was made of."""
    return hashlib.sha256(json.dumps([teacher, prompt, review, target]).encode()).hexdigest()[:32]
