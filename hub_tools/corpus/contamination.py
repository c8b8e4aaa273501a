"""Which texts contain a benchmark's test sentence: such a text must not train anything."""

import re
from collections import defaultdict
from collections.abc import Iterable


LEAST_WORDS = 5  # shorter sentences ("The food was great.") turn up in reviews by chance

_WORD = re.compile(r"[^\W_]+")


def normalise(text: str) -> list[str]:
    """The words of a text: lower case, letters and digits only.

    >>> normalise("The pasta, too, wasn't GOOD!")
    ['the', 'pasta', 'too', 'wasn', 't', 'good']
    """
    return _WORD.findall(text.lower())


class BenchmarkSentences:
    """Finds benchmark sentences in texts, whatever their case, punctuation and spacing.

    Sentences are indexed by their first words, so that a text is read once, however many sentences there are.

    Args:
        sentences: test sentences; those of fewer than `LEAST_WORDS` words are left out and counted in `skipped`.

    >>> BenchmarkSentences(["The pasta was really not bad."]).find("Well... the PASTA was really not bad, but")
    ['The pasta was really not bad.']
    """

    def __init__(self, sentences: Iterable[str]) -> None:
        self._starting: dict[tuple[str, ...], list[tuple[list[str], str]]] = defaultdict(list)
        self.skipped = 0
        seen: set[tuple[str, ...]] = set()
        for sentence in sentences:
            words = normalise(sentence)
            if len(words) < LEAST_WORDS:
                self.skipped += 1
            elif tuple(words) not in seen:
                seen.add(tuple(words))
                self._starting[tuple(words[:LEAST_WORDS])].append((words, sentence))
        self.indexed = len(seen)

    def find(self, text: str) -> list[str]:
        """The sentences that stand in the text as a run of whole words, in the order in which they do."""
        words = normalise(text)
        found: dict[str, None] = {}
        shifted = [words[offset:] for offset in range(LEAST_WORDS)]
        for position, start in enumerate(zip(*shifted, strict=False)):
            for sentence, written in self._starting.get(start, ()):
                if words[position : position + len(sentence)] == sentence:
                    found[written] = None
        return list(found)
