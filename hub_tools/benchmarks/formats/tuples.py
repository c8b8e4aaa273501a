"""`sentence####[…]`, a line per sentence, as the text-to-text models of aspect-based sentiment have it.

    uabsa  The soup was cold .####[([1], 'NEG')]                       token numbers of the target
    aste   The soup was cold .####[([1], [3], 'NEG')]                  of the target, of the opinion words
    tasd   The soup was cold .####[('soup', 'food quality', 'negative')]
    asqp   The soup was cold .####[['soup', 'food quality', 'negative', 'cold']]

"NULL" is a target or an opinion that no words name. Tokens are what white space separates, numbered from 0.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial

from hub_tools.benchmarks.formats.fitting import BREAKS, Format, aligned_place
from hub_tools.benchmarks.formats.problems import Problems, decoded, numbered_lines, parsed_literal
from hub_tools.benchmarks.formats.rows import IMPLICIT, Draft, opinion
from hub_tools.benchmarks.records import Row


SIGN = "####"
LETTERS = {"POS": "positive", "NEG": "negative", "NEU": "neutral"}
_LETTERS = {polarity: letters for letters, polarity in LETTERS.items()}


class NotOne(ValueError):
    """An item that is none of the format's; says why."""


def read(data: bytes, problems: Problems, task: str, shape: str, item: Callable[[tuple, str], Row]) -> list[Draft]:
    """A draft a line; `item` makes an opinion of one tuple."""
    drafts = []
    for number, line in numbered_lines(decoded(data, problems)):
        sentence, sign, rest = line.rpartition(SIGN)
        found = parsed_literal(rest)
        if not sign or not isinstance(found, list):
            problems.add(number, f"expected a sentence, {SIGN} and a list like [{shape}], found {line[-80:]!r}")
            continue
        draft = Draft(number, None, sentence)
        for index, values in enumerate(found, 1):
            try:
                draft.opinions.append(item(tuple(values) if isinstance(values, list | tuple) else (), sentence))
            except NotOne as error:
                reason = f"item {index}, {values!r:.80}: {str(error) or f'expected {shape}'}"
                draft.wrong.append((number, reason))
        drafts.append(draft)
    return drafts


def write(rows: Sequence[Row], task: str, item: Callable[[Row, str], object]) -> str:
    """A line a sentence. Signs "#" in the list are escaped, so that the last #### is always the right one."""
    lines = []
    for row in rows:
        listed = repr([item(one, row["sentence"]) for one in row["opinions"]])
        lines.append(f"{row['sentence']}{SIGN}{listed.replace('#', chr(92) + 'x23')}\n")
    return "".join(lines)


def _read_uabsa(values: tuple, sentence: str) -> Row:
    if len(values) != 2:
        raise NotOne
    return opinion(*_words(values[0], sentence), polarity=_polarity(values[1]))


def _write_uabsa(item: Row, sentence: str) -> object:
    return _numbers(item["start"], item["end"], sentence), _LETTERS[item["polarity"]]


def _read_aste(values: tuple, sentence: str) -> Row:
    if len(values) != 3:
        raise NotOne
    words, _, _ = _words(values[1], sentence)
    return opinion(*_words(values[0], sentence), polarity=_polarity(values[2]), words=[words])


def _write_aste(item: Row, sentence: str) -> object:
    words = _numbers(*aligned_place(item["opinion_words"][0], sentence), sentence)
    return _numbers(item["start"], item["end"], sentence), words, _LETTERS[item["polarity"]]


def _read_tasd(values: tuple, sentence: str) -> Row:
    target, category, polarity = _strings(values, 3)
    return opinion(target, category=category, polarity=polarity)


def _write_tasd(item: Row, sentence: str) -> object:
    return item["target"] or IMPLICIT, item["category"], item["polarity"]


def _read_asqp(values: tuple, sentence: str) -> Row:
    target, category, polarity, words = _strings(values, 4)
    return opinion(target, category=category, polarity=polarity, words=[words])


def _write_asqp(item: Row, sentence: str) -> object:
    return [*_write_tasd(item, sentence), (item["opinion_words"] or [IMPLICIT])[0]]


def _strings(values: tuple, count: int) -> tuple[str, ...]:
    if len(values) != count or not all(isinstance(value, str) for value in values):
        raise NotOne
    return values


def _polarity(letters: object) -> str:
    if not isinstance(letters, str) or letters not in LETTERS:
        raise NotOne(f"unknown polarity {letters!r}; allowed: {', '.join(LETTERS)}")
    return LETTERS[letters]


def tokens(sentence: str) -> list[tuple[int, int]]:
    """Where the tokens of a sentence stand."""
    return [match.span() for match in re.finditer(r"\S+", sentence)]


def _words(numbers: object, sentence: str) -> tuple[str, int, int]:
    """The words that token numbers stand for, and their place."""
    if not isinstance(numbers, list) or not numbers or not all(type(number) is int for number in numbers):
        raise NotOne(f"expected a list of token numbers, found {numbers!r:.60}")
    spans = tokens(sentence)
    if numbers != list(range(numbers[0], numbers[-1] + 1)):
        raise NotOne(f"the tokens {numbers} do not follow one another")
    if not 0 <= numbers[0] <= numbers[-1] < len(spans):
        raise NotOne(f"the sentence has the tokens 0 to {len(spans) - 1}, not {numbers}")
    start, end = spans[numbers[0]][0], spans[numbers[-1]][1]
    return sentence[start:end], start, end


def _numbers(start: int, end: int, sentence: str) -> list[int]:
    return [number for number, span in enumerate(tokens(sentence)) if start <= span[0] < end]


_LINES = Format(
    about="",
    suffix=".txt",
    read=read,
    write=write,
    holds=frozenset({"target", "empty", "repeats", "overlaps", "order"}),
    needs=frozenset({"target"}),
    tasks=("tsa",),
    forbidden=BREAKS,
)
UABSA = _LINES._replace(
    about="sentence####[([target tokens], 'POS')], as GAS has it",
    read=partial(read, shape="([target tokens], 'POS')", item=_read_uabsa),
    write=partial(write, item=_write_uabsa),
    holds=_LINES.holds | {"span"},
    tokens=True,
)
ASTE = UABSA._replace(
    about="sentence####[([target tokens], [opinion tokens], 'POS')]: ASTE triplets",
    read=partial(read, shape="([target tokens], [opinion tokens], 'POS')", item=_read_aste),
    write=partial(write, item=_write_aste),
    holds=UABSA.holds | {"opinion"},
    needs=frozenset({"target", "opinion"}),
    tasks=("tsa", "target,opinion,polarity"),
)
TASD = _LINES._replace(
    about="sentence####[('target', 'category', 'polarity')], as TASD and GAS have it",
    read=partial(read, shape="('target', 'category', 'polarity')", item=_read_tasd),
    write=partial(write, item=_write_tasd),
    holds=_LINES.holds | {"category", "conflict"},
    needs=frozenset({"category"}),
    tasks=("tsa", "asa"),
)
ASQP = TASD._replace(
    about="sentence####[['target', 'category', 'polarity', 'opinion']]: ASQP quads",
    read=partial(read, shape="['target', 'category', 'polarity', 'opinion']", item=_read_asqp),
    write=partial(write, item=_write_asqp),
    holds=TASD.holds | {"opinion"},
    tasks=(),
)
