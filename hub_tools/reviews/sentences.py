"""Sentences with known opinions, composed from a hand-written lexicon: what the shipped sample is made of.

Reads `restaurant.json` and `laptop.json` beside this file (targets, opinion expressions and whole implicit
constructions per category).  Makes `Sentence`s: text plus opinions with character offsets.

In a construction, `<...>` marks the opinion target (a category, whose targets are meant, or alternatives) and
`{...}` a slot that is no target.
"""

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path


DOMAINS = ("restaurant", "laptop")
KINDS = {
    "explicit": 0.34,
    "same": 0.12,
    "opposite": 0.14,
    "implicit": 0.16,
    "explicit+implicit": 0.08,
    "mention": 0.06,
    "plain": 0.07,
    "conflict": 0.03,
}
HARD_KINDS = {"implicit": 0.4, "opposite": 0.3, "explicit+implicit": 0.3}

_EXPLICIT = (
    "the <t> {was} {very}{o}",
    "the <t> {is} {very}{o}",
    "{i} thought the <t> {was} {very}{o}",
    "{i} found the <t> {very}{o}",
    "the <t> turned out {very}{o}",
    "{who} said the <t> {was} {o}",
)
_VERBAL = ("{i} {o} the <t>", "{i} really {o} the <t>", "{i} {o} this <t>")
_CONFLICT = ("the <t> {was} {o} but also {o2}", "the <t> {was} {o} at first and {o2} later")
_OPENERS = ("", "", "", "", "honestly, ", "this time ", "in the end ", "to be fair, ", "overall ", "again ")
_SAME = (" and ", ", and ", " and also ")
_OPPOSITE = (" but ", ", but ", ", although ", ", while ", ", yet ")
_VERY = ("", "", "", "really ", "so ", "quite ")


@dataclass(frozen=True)
class Opinion:
    """One gold opinion; offsets are characters in the sentence; no target when it is only implied."""

    target: str | None
    start: int
    end: int
    category: str
    polarity: str
    words: tuple[tuple[int, int, str], ...] = ()

    def moved(self, by: int) -> "Opinion":
        words = tuple((start + by, end + by, text) for start, end, text in self.words)
        return Opinion(self.target, self.start + by, self.end + by, self.category, self.polarity, words)


@dataclass(frozen=True)
class Sentence:
    """A sentence and its opinions; `mentions` are targets that are named without any feeling."""

    text: str
    opinions: tuple[Opinion, ...] = ()
    mentions: tuple[Opinion, ...] = ()


@cache
def lexicon(domain: str) -> dict:
    """The word lists of one domain, as written in its JSON file."""
    if domain not in DOMAINS:
        raise ValueError(f"domain {domain!r} has no word lists; allowed: {', '.join(DOMAINS)}")
    return json.loads((Path(__file__).parent / f"{domain}.json").read_text(encoding="utf-8"))


class Composer:
    """Composes sentences of one domain.

    `common` is the chance to draw from the common half (every other entry) of a word list and of the implicit
    constructions: 0 draws evenly from everything. A small annotated set leans on common expressions, as real ones
    do, while reviews and test sentences use the whole language.
    """

    def __init__(self, domain: str, rng: random.Random, common: float = 0.0) -> None:
        self.domain, self.rng, self.common = domain, rng, common
        self.words = lexicon(domain)

    def sentence(self, kind: str, polarity: str | None = None) -> Sentence:
        """Compose one sentence of a kind in `KINDS`; without a polarity it is drawn."""
        polarity = polarity or self.rng.choices(("positive", "negative", "neutral"), (0.47, 0.43, 0.1))[0]
        other = {"positive": "negative", "negative": "positive", "neutral": "positive"}[polarity]
        if kind == "explicit":
            clauses = [self._explicit(polarity)]
        elif kind == "same":
            clauses = [self._explicit(polarity), self._explicit(polarity)]
        elif kind == "opposite":
            clauses = [self._explicit(polarity), self._explicit(other)]
        elif kind == "implicit":
            clauses = [self._implicit(polarity)]
        elif kind == "explicit+implicit":
            clauses = [self._explicit(polarity), self._implicit(other)]
            self.rng.shuffle(clauses)
        elif kind == "mention":
            clauses = [self._mention()]
        elif kind == "conflict":
            clauses = [self._conflict()]
        else:
            clauses = [Sentence(self._fill(self._pick(self.words["plain"]), self._slot)[0])]
        return self._join(clauses, _OPPOSITE if kind in ("opposite", "explicit+implicit") else _SAME)

    def _pick(self, options: list | tuple) -> str:
        common = options[::2] if self.rng.random() < self.common else options
        return self.rng.choice(common)

    def _slot(self, name: str) -> str:
        return self.rng.choice(self.words["slots"][name])

    def _targets(self, category: str) -> list[str]:
        targets = self.words["categories"][category]["targets"]
        return self._targets(targets) if isinstance(targets, str) else targets

    def _fill(self, template: str, choose: Callable[[str], str]) -> tuple[str, dict[str, list[tuple[int, int, str]]]]:
        """Fill a template; also say where its targets (`<`) and each named slot ended up."""
        text, spans = "", {"<": []}
        for part in re.split(r"(<[^>]+>|\{[^}]+\})", template):
            name = part[1:-1]
            if part.startswith("<"):
                filled = choose(name) if name == "t" else self._pick(self._alternatives(name))
                spans["<"].append((len(text), len(text) + len(filled), filled))
            elif part.startswith("{"):
                filled = choose(name)
                spans.setdefault(name, []).append((len(text), len(text) + len(filled), filled))
            else:
                filled = part
            text += filled
        return text, spans

    def _alternatives(self, name: str) -> list[str]:
        return self._targets(name) if name in self.words["categories"] else name.split("|")

    def _explicit(self, polarity: str) -> Sentence:
        category = self._category()
        verbal = self.rng.random() < 0.15
        expression = self._expression(category, polarity, verbal)
        return self._about(self._pick(_VERBAL if verbal else _EXPLICIT), category, polarity, {"o": expression})

    def _conflict(self) -> Sentence:
        category = self._category()
        words = {"o": self._expression(category, "positive"), "o2": self._expression(category, "negative")}
        return self._about(self.rng.choice(_CONFLICT), category, "conflict", words)

    def _category(self) -> str:
        """A category, weighted by how much can be said about it."""
        names = list(self.words["categories"])
        return self.rng.choices(names, [len(self._targets(name)) ** 0.5 for name in names])[0]

    def _expression(self, category: str, polarity: str, verbal: bool = False) -> str:
        if verbal:
            return self._pick(self.words["verbs"][polarity])
        own, shared = self.words["categories"][category][polarity], self.words["any"][polarity]
        return self._pick(own if self.rng.random() < len(own) / (len(own) + 2) else shared)

    def _about(self, template: str, category: str, polarity: str, expressions: dict[str, str]) -> Sentence:
        target = self._pick(self._targets(category))
        plural = target.endswith("s") and not target.endswith("ss")
        fixed = {
            "t": target,
            "was": "were" if plural else "was",
            "is": "are" if plural else "is",
            "i": "we" if self.domain == "restaurant" else "i",
            "very": self.rng.choice(_VERY) if " " not in expressions["o"] else "",
            **expressions,
        }
        if plural:
            template = template.replace("this <t>", "these <t>")
        text, spans = self._fill(template, lambda name: fixed.get(name) or ("" if name in fixed else self._slot(name)))
        words = tuple(spans.get("o", []) + spans.get("o2", []))
        start, end, _ = spans["<"][0]
        return Sentence(text, (Opinion(target, start, end, category, polarity, words),))

    def _implicit(self, polarity: str) -> Sentence:
        """An implicit construction; none is neutral, so a neutral one becomes a plain mention."""
        options = [entry for entry in self.words["implicit"] if entry[2] == polarity]
        if not options:
            return self._mention()
        template, category, polarity = self._pick(options)
        text, spans = self._fill(template, self._slot)
        start, end, target = spans["<"][0] if spans["<"] else (0, 0, None)
        return Sentence(text, (Opinion(target, start, end, category, polarity),))

    def _mention(self) -> Sentence:
        text, spans = self._fill(self._pick(self.words["mentions"]), self._slot)
        mentions = tuple(Opinion(target, *span, self._category_of(target), "neutral") for *span, target in spans["<"])
        return Sentence(text, (), mentions)

    def _category_of(self, target: str) -> str:
        return next(name for name in self.words["categories"] if target in self._targets(name))

    def _join(self, clauses: list[Sentence], connectors: tuple[str, ...]) -> Sentence:
        text = self.rng.choice(_OPENERS)
        opinions: list[Opinion] = []
        mentions: list[Opinion] = []
        for number, clause in enumerate(clauses):
            text += self.rng.choice(connectors) if number else ""
            opinions += [opinion.moved(len(text)) for opinion in clause.opinions]
            mentions += [mention.moved(len(text)) for mention in clause.mentions]
            text += clause.text
        text = text + "."
        if self.domain == "restaurant":  # as in the papers' corpus: laptop reviews are all lower case
            text = text[0].upper() + text[1:]
        return Sentence(text, tuple(opinions), tuple(mentions))
