"""Which texts contain a sentence that a benchmark validates or tests on: such a text must not train anything.

Three ways to contain one, the strictest that holds is told:

- `exact`: the sentence as it is written.
- `normalised`: all its words in a row, whatever the case, punctuation and spacing.
- `n-gram`: at least `SHARE` of its runs of eight words, and at least `LEAST_RUNS` of them: sentences that were edited,
  or cut in two. With one word replaced at random, 31 % of the official sentences of 8 to 14 words are found, 89 % of
  those of 15 to 24, and all longer ones.

False alarms, in 4,674 real reviews and 500 more with Mixtral's replies, looking for the 5,228 sentences: 93 texts are
found by the first two ways. Three hold hard test sentences of 24 to 32 words, which were taken from these very
reviews; 90 hold phrases of 5 to 7 words that many people write ("Can't wait to go back."). They go all the same: 1.6 %
of the texts is a fair price for being able to say that none is left. The n-gram way finds nothing more; runs of five
words instead of eight would find 69 more texts, all by chance. With the quadruple sets there are 6,870 sentences and
116 such texts (2.0 %), the further 23 by phrases of 5 to 7 words too ("I would highly recommend this!").
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .words import normalise


LEAST_WORDS = 5  # shorter sentences ("The food was great.") turn up in reviews by chance
RUN = 8  # words
SHARE = 0.3
LEAST_RUNS = 2


class Finding(NamedTuple):
    """A benchmark sentence that a text contains: `how` it does, and the `ids` under which the benchmark has it."""

    how: str
    ids: tuple[str, ...]


class BenchmarkSentences:
    """Finds benchmark sentences in texts. A text is read once, however many sentences there are.

    Args:
        sentences: (id, sentence). Those of fewer than `LEAST_WORDS` words are left out and counted in `skipped`;
            those of the same words are one sentence of several ids, counted once in `indexed`.

    >>> BenchmarkSentences([("7", "The pasta was really not bad.")]).find("Well... the PASTA was really not bad, but")
    [Finding(how='normalised', ids=('7',))]
    """

    def __init__(self, sentences: Iterable[tuple[str, str]]) -> None:
        ids: dict[tuple[str, ...], list[str]] = defaultdict(list)
        written: dict[tuple[str, ...], dict[str, None]] = defaultdict(dict)
        skipped = set()
        for key, sentence in sentences:
            words = normalise(sentence)
            if len(words) < LEAST_WORDS:
                skipped.add(words)
            else:
                ids[words].append(key)
                written[words][sentence.strip()] = None
        self.skipped, self.indexed = len(skipped), len(ids)
        self._sentences = list(ids)
        self._ids = [tuple(dict.fromkeys(found)) for found in ids.values()]
        self._written = [tuple(forms) for forms in written.values()]
        self._starts: dict[tuple[str, ...], list[int]] = defaultdict(list)
        self._runs: dict[tuple[str, ...], set[int]] = defaultdict(set)
        for number, words in enumerate(self._sentences):
            self._starts[words[:LEAST_WORDS]].append(number)
            for run in _runs(words, RUN):
                self._runs[run].add(number)

    def find(self, text: str) -> list[Finding]:
        """What the text contains: whole sentences in the order in which they stand there, then parts of others."""
        words = normalise(text)
        found: dict[int, str] = {}
        # Most texts share no start with any sentence; a set tells that at once.
        starts = {} if self._starts.keys().isdisjoint(_runs(words, LEAST_WORDS)) else self._starts
        for position, start in enumerate(_runs(words, LEAST_WORDS) if starts else ()):
            for number in starts.get(start, ()):
                sentence = self._sentences[number]
                if number not in found and words[position : position + len(sentence)] == sentence:
                    found[number] = "exact" if any(form in text for form in self._written[number]) else "normalised"
        shared = Counter(number for run in self._runs.keys() & set(_runs(words, RUN)) for number in self._runs[run])
        for number in sorted(shared):
            runs = len(set(_runs(self._sentences[number], RUN)))
            if number not in found and shared[number] >= LEAST_RUNS and shared[number] >= SHARE * runs:
                found[number] = "n-gram"
        return [Finding(how, self._ids[number]) for number, how in found.items()]


def _runs(words: Sequence[str], n: int) -> zip:
    """Every n words in a row.

    >>> list(_runs(["a", "b", "c"], 2))
    [('a', 'b'), ('b', 'c')]
    """
    return zip(*(words[offset:] for offset in range(n)), strict=False)
