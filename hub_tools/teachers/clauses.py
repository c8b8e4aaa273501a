"""Opinions by rule: clauses, the nouns they speak of, and the words that judge these.

Reads the text of a review; makes `Finding`s, each with a target that stands in the text word for word. Used by the
lexicon teacher.
"""

import re
from dataclasses import dataclass

from . import wordlists as words


_TOKEN = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_SENTENCE = re.compile(r"[^.!?\n]+(?:\.(?=\d)[^.!?\n]*)*[.!?]*")
_CLAUSE = re.compile(
    r"\s*(?:;|\s--?\s|[,]?\s+(?:but|although|though|while|whereas|yet|however|except)\s|"
    r",?\s+and(?:\s+also)?\s+(?=(?:the|my|our|their|his|her|it|they|we|i|he|she|this|these)\s)|"
    r",\s+(?=(?:the|my|our|we|i|they|it|he|she|this|so|which|because)\s)|:\s|\s\()",
    re.IGNORECASE,
)
_TOGETHER = re.compile(r"\s*(?:,|,?\s*(?:and|&|or))\s*(?:(?:the|my|our|their|a|an|some)\s+)?", re.IGNORECASE)
_PRONOUNS = frozenset("it they he she this that these those which both them everything".split())
_BE = frozenset("was is were are looks looked tastes tasted came comes feels felt seems works worked sounds".split())

Token = tuple[str, int, int]  # lower-cased word, start, end


@dataclass
class Finding:
    """One judged (or, with a score of 0, merely mentioned) thing.

    Attributes:
        target: as it stands in the review.
        aspect: what is judged, in words such as "food quality".
        score: strength from about -4 to 4.
        clause: the words of the review that say so.
        judging: the judging words; empty when only an event implies the judgement.
        reason: why the event implies it.
    """

    target: str
    aspect: str
    score: float
    clause: str
    start: int
    judging: tuple[str, ...] = ()
    reason: str = ""


def find_opinions(text: str) -> list[Finding]:
    """All findings, in the order of the text."""
    parts = [(clause, _tokens(clause, start)) for start, clause in _clauses(text)]
    nouns = [_nouns(tokens, text) for _, tokens in parts]
    is_laptop = _is_laptop([aspect for found in nouns for *_, aspect in found])
    findings: list[Finding] = []
    last: list[tuple[int, int, str]] = []
    for (clause, tokens), targets in zip(parts, nouns, strict=True):
        hits = _hits(tokens, clause)
        named = [target for target in targets if target[2] or (hits and _stands_out(target, tokens))]
        found = _judged(text, clause, tokens, named, hits, last)
        if not any(finding.score for finding in found):
            found = _implied(text, clause, tokens, named, last) or found
        findings += found
        last = named or last
    for finding in findings:
        finding.aspect = _in_domain(finding, is_laptop)
    return findings


def _clauses(text: str) -> list[tuple[int, str]]:
    """Clauses with their start, white space and joining words cut away."""
    clauses = []
    for sentence in _SENTENCE.finditer(text):
        cuts = [cut.span() for cut in _CLAUSE.finditer(text, sentence.start(), sentence.end())]
        start = sentence.start()
        for place, (cut, resume) in enumerate([*cuts, (sentence.end(), sentence.end())]):
            after = cuts[place + 1][0] if place + 1 < len(cuts) else sentence.end()
            joins = resume < sentence.end() and text[cut:resume].strip(" ,").lower() in ("", "and", "and also")
            if joins and not (_says_something(text[start:cut]) and _says_something(text[resume:after])):
                continue  # "the pasta and the wine were great" is one clause
            clause = text[start:cut]
            if any(character.isalnum() for character in clause):
                clauses.append((start + len(clause) - len(clause.lstrip()), clause.strip()))
            start = resume
    return clauses


def _says_something(part: str) -> bool:
    return any(match.group().lower() in words.PREDICATES for match in _TOKEN.finditer(part))


def _tokens(clause: str, start: int) -> list[Token]:
    return [
        (match.group().lower().replace("’", "'"), start + match.start(), start + match.end())
        for match in _TOKEN.finditer(clause)
    ]


def _phrase(tokens: list[Token], index: int, table: dict) -> int:
    """How many tokens from here make the longest phrase of the table; 0 for none."""
    first = tokens[index][0]
    if first in words.PHRASE_STARTS:
        phrase = " ".join(token[0] for token in tokens[index : index + words.LONGEST])
        while " " in phrase:
            if phrase in table:
                return phrase.count(" ") + 1
            phrase = phrase.rsplit(" ", 1)[0]
    return int(first in table)


def _nouns(tokens: list[Token], text: str) -> list[tuple[int, int, str]]:
    """Runs of nouns as (start, end, aspect); the aspect is empty when the noun is unknown."""
    found: list[tuple[int, int, str]] = []
    run: list[tuple[int, int, str]] = []  # start, end, aspect of each noun of the run
    index = 0
    while index <= len(tokens):
        size, aspect = _noun(tokens, index) if index < len(tokens) else (1, None)
        start, end = (tokens[index][1], tokens[index + size - 1][2]) if index < len(tokens) else (0, 0)
        if run and (aspect is None or text[run[-1][1] : start].strip(" -")):
            found += _head(run)
            run = []
        if aspect is not None:
            run.append((start, end, aspect))
        index += size
    return found


def _noun(tokens: list[Token], index: int) -> tuple[int, str | None]:
    """(number of tokens, aspect), with an aspect of "" for an unknown noun and None for what is no noun."""
    word = tokens[index][0]
    size = _phrase(tokens, index, words.ASPECT_OF)
    if size:
        aspect = words.ASPECT_OF[" ".join(token[0] for token in tokens[index : index + size])]
        if size > 1 or word not in words.AMBIGUOUS:
            return size, aspect
        before = tokens[index - 1][0] if index else ""
        after = tokens[index + 1][0] if index + 1 < len(tokens) else ""
        modified = abs(words.VALENCE.get(before, 0.0)) >= 1 or before in words.ASPECT_OF
        shown = before in words.DETERMINERS or modified or after in ("is", "was", "are", "were")
        return 1, aspect if shown else None
    unknown = not (
        word in words.FUNCTION_WORDS
        or word in words.VERBS
        or word in words.EMPTY_NOUNS
        or abs(words.VALENCE.get(word, 0.0)) >= 0.5
        or len(word) < 3
        or word.isdigit()
        or "'" in word
        or (word.endswith(("ly", "ed", "ing")) and word not in words.MODIFIERS)
    )
    return 1, "" if unknown or word in words.MODIFIERS else None


def _head(run: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """The target of a run: its last known noun with up to two nouns before it, else its last two unknown ones."""
    known = [place for place, noun in enumerate(run) if noun[2]]
    if known:
        head = known[-1]
        return [(run[max(0, head - 2)][0], run[head][1], run[head][2])]
    return [(run[max(0, len(run) - 2)][0], run[-1][1], "")]


def _stands_out(target: tuple[int, int, str], tokens: list[Token]) -> bool:
    """An unknown noun counts when a word of praise or blame leads to it, or it is a subject with an article."""
    before = [token[0] for token in tokens if token[2] <= target[0]][-1:]
    after = [token[0] for token in tokens if token[1] >= target[1]][:1]
    led = before and before[0] in words.DETERMINERS - {"a", "an", "some", "that"}
    judged = before and before[0] in words.OWN_WORDS
    return bool((judged and not after) or (led and after and after[0] in _BE))


def _hits(tokens: list[Token], clause: str) -> list[tuple[int, int, float]]:
    """Judging words as (first token, token after the last, score)."""
    hits: list[tuple[int, int, float]] = []
    index = 0
    while index < len(tokens):
        size = _phrase(tokens, index, words.VALENCE)
        score = words.VALENCE[" ".join(token[0] for token in tokens[index : index + size])] if size else 0.0
        if abs(score) >= 0.7 and not (tokens[index][0] in words.ASPECT_OF and _noun(tokens, index)[1]):
            hits.append((index, index + size, _in_context(score, tokens, index, clause)))
        elif index and tokens[index - 1][0] == "too" and tokens[index][0] in words.EXCESSIVE:
            hits.append((index - 1, index + 1, -1.5))
        index += max(size, 1)
    return hits


def _in_context(score: float, tokens: list[Token], index: int, clause: str) -> float:
    before = [token[0] for token in tokens[max(0, index - 3) : index]]
    if before[-1:] == ["too"] and score > 0:  # "too sweet"
        return -1.5
    for distance, word in enumerate(reversed(before)):
        boost = words.BOOSTERS.get(word, 0.0)
        score += (boost if score > 0 else -boost) * (1 - 0.1 * distance)
    if any(word in words.NEGATIONS or word.endswith("n't") for word in before):
        score *= -0.74  # vaderSentiment's damping of a negated word
    return score + (0.3 if score > 0 else -0.3) * clause.endswith("!")


def _judged(
    text: str,
    clause: str,
    tokens: list[Token],
    targets: list[tuple[int, int, str]],
    hits: list[tuple[int, int, float]],
    last: list[tuple[int, int, str]],
) -> list[Finding]:
    """Give every judging word to a target: the noun it stands before, else the nearest (after a word of liking)."""
    said: dict[tuple[int, int, str], list[tuple[str, float]]] = {target: [] for target in targets}
    for first, stop, score in hits:
        spoken = text[tokens[first][1] : tokens[stop - 1][2]]
        target = _target_of(text, tokens, targets, first, stop)
        target = target or _antecedent(tokens, last)
        if target is not None:
            for one in _with_companions(text, targets, target):
                said.setdefault(one, []).append((spoken, score))
    findings = []
    for (start, end, aspect), spoken in said.items():
        strongest = max((score for _, score in spoken), key=abs, default=0.0)
        score = strongest + 0.25 * (sum(score for _, score in spoken) - strongest)
        judging = tuple(dict.fromkeys(word for word, value in spoken if value * score > 0))
        if aspect or score:
            findings.append(Finding(text[start:end], aspect, score, clause, start, judging))
    return findings


def _target_of(
    text: str, tokens: list[Token], targets: list[tuple[int, int, str]], first: int, stop: int
) -> tuple[int, int, str] | None:
    before = [target for target in targets if target[1] <= tokens[first][1]]
    after = [target for target in targets if target[0] >= tokens[stop - 1][2]]
    if after:
        between = [token[0] for token in tokens[stop:] if token[1] < after[0][0]]
        attributive = all(
            word == "and" or abs(words.VALENCE.get(word, 0.0)) >= 1 or word in words.MODIFIERS for word in between
        )
        liking = any(token[0] in words.LIKING for token in tokens[first:stop])
        if attributive or liking or not before:
            return after[0]
    # "The view from the patio was great" is about the view.
    free = [target for target in before if not _after_preposition(target, tokens)]
    return (free or before)[-1] if before else None


def _after_preposition(target: tuple[int, int, str], tokens: list[Token]) -> bool:
    before = [token[0] for token in tokens if token[2] <= target[0]][-2:]
    if before and before[-1] in words.DETERMINERS:
        before.pop()
    return bool(before) and before[-1] in words.PREPOSITIONS


def _antecedent(tokens: list[Token], last: list[tuple[int, int, str]]) -> tuple[int, int, str] | None:
    """The target that a clause's opening pronoun stands for: people for "he" and "they", else things."""
    pronoun = next((token[0] for token in tokens[:2] if token[0] in _PRONOUNS), "")
    if not pronoun:
        return None
    people = pronoun in ("he", "she", "they")
    fitting = [target for target in last if (target[2] in words.PERSONS) == people or pronoun in ("this", "which")]
    return fitting[-1] if fitting else None


def _with_companions(
    text: str, targets: list[tuple[int, int, str]], target: tuple[int, int, str]
) -> list[tuple[int, int, str]]:
    """The target and those joined to it by "and": "the pasta and the wine were great"."""
    if target not in targets:
        return [target]
    place = targets.index(target)
    first = last = place
    while first and _TOGETHER.fullmatch(text, targets[first - 1][1], targets[first][0]):
        first -= 1
    while last + 1 < len(targets) and _TOGETHER.fullmatch(text, targets[last][1], targets[last + 1][0]):
        last += 1
    return targets[first : last + 1]


def _implied(
    text: str,
    clause: str,
    tokens: list[Token],
    targets: list[tuple[int, int, str]],
    last: list[tuple[int, int, str]],
) -> list[Finding]:
    """A judgement that no word says but an event implies."""
    if not words.ANY_EVENT.search(clause):
        return []
    for pattern, aspect, polarity, reason in words.EVENTS:
        event = pattern.search(clause)
        if not event:
            continue
        if polarity == "return":
            denied = re.search(r"\b(?:not|never|won'?t|wouldn'?t|no)\b", clause, re.IGNORECASE)
            polarity = "negative" if denied else "positive"
        fitting = [target for target in targets if target[2] == aspect] or targets
        score = 1.6 if polarity == "positive" else -1.6
        one = fitting[0] if fitting else _antecedent(tokens, last)
        if one is None:  # nothing is named: the event itself is quoted
            return [Finding(event.group(), aspect, score, clause, tokens[0][1], (), reason)]
        return [Finding(text[one[0] : one[1]], one[2] or aspect, score, clause, one[0], (), reason)]
    return []


def _is_laptop(aspects: list[str]) -> bool:
    laptop = sum(aspect in words.LAPTOP_ASPECTS for aspect in aspects)
    return laptop > sum(bool(aspect) for aspect in aspects) - laptop


def _in_domain(finding: Finding, is_laptop: bool) -> str:
    """The same word names different aspects in the two domains, and a price word makes it a matter of price."""
    aspect = finding.aspect
    priced = any(word.lower() in words.PRICE_WORDS for word in finding.judging)
    if is_laptop:
        if priced or aspect.endswith(" prices"):
            return "laptop price"
        kept = aspect in words.LAPTOP_ASPECTS or aspect == "laptop price"
        return aspect if kept else "support quality" if aspect == "service general" else "laptop general"
    if aspect in words.LAPTOP_ASPECTS:
        aspect = "ambience general" if aspect.startswith("multimedia") else "restaurant general"
    aspect = aspect or "food quality"
    if priced and aspect in ("food quality", "drinks quality", "restaurant general"):
        return aspect.split()[0] + " prices"
    return aspect
