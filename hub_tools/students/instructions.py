"""InstructABSA as a baseline: what a T5 reads is an instruction, a few examples, and only then the sentence.

After kevinscaria/InstructABSA (arXiv 2302.08624), whose inputs are a definition of the task, two examples each of
positive, negative and neutral opinions (its "instruction set 2"), and the sentence to be done. The words are ours.
What differs from the original:

- The output is our text form (`hub_tools.opinions`), so that every rule can score it, where the original writes
  "term:polarity, term:polarity", and "noaspectterm:none" for a sentence without terms (here: nothing at all). The
  original's own way of counting is the scorer's rule "instructabsa".
- The examples are drawn from the train split under the run's seed; the original has the same ones in every run. Every
  polarity that occurs has its examples ("conflict" too), and so has the sentence without opinions.
- Aspect categories and quads have definitions of their own; the original does targets only.
- Any T5 can be fine-tuned so. The original starts from Tk-Instruct, a T5 that has followed instructions before.

    >>> template = instruction("tsa", [{"sentence": "Great tea.", "text": "tea | positive"}])
    >>> fill(template, "The soup was cold.").endswith("Positive example 1: sentence: Great tea. opinions: tea |"
    ...     " positive Now do this one: sentence: The soup was cold. opinions:")
    True

A student that learned this way keeps the template in its config.json as `fsa_instruction` (absent or null: it reads
the sentence alone), so that whoever loads it can ask it in the same words; `fsa_task` says how to read the answer.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from hub_tools.opinions import POLARITIES


SENTENCE = "{sentence}"  # where the sentence goes; filled with str.replace, never format(): reviews hold braces

# An example's sentence and text together, in characters. With nine examples (two of each polarity, one without
# opinions) an input stays below about 1,600 characters, or 400 pieces of T5's vocabulary.
MAX_EXAMPLE = 130
MIN_SENTENCE = 25  # shorter ones ("Great food.") show little

ORDER = ("positive", "negative", "neutral", "conflict")  # of the examples, as in the original

_QUADS = (
    "Find every opinion in the sentence. For each one write: aspect category | polarity | target | opinion words. The"
    " target and the opinion words are copied from the sentence, or none where it does not say them."
)
_DEFINITIONS = {
    "tsa": "Find each thing that the sentence has an opinion about, in the sentence's own words. For each one write:"
    " target | polarity.",
    "asa": "Find each aspect category that the sentence has an opinion about. For each one write: aspect category |"
    " polarity.",
    "acos": _QUADS,
    "asqp": _QUADS,
}


def choose_examples(
    train_rows: Sequence[Mapping[str, Any]], task: str, seed: int, per_polarity: int = 2
) -> list[Mapping[str, Any]]:
    """Rows to show in the instruction: `per_polarity` of each polarity that occurs, and one without opinions if any.

    A row stands for a polarity if its text has no other; where too few do, one that has it among others is taken. Rows
    of moderate length are drawn under the seed, and the shortest of the others only where there are too few. The same
    rows in any order give the same examples.

    Args:
        train_rows: benchmark rows (`sentence`, `text`) of the train split, and of what of it is trained on: with a
            smaller `train_share` pass that share only. A benchmark row does not say which split it is of:
            the caller answers for that, and only what is certainly no train row is refused.
        task: "tsa", "asa", "acos" or "asqp".

    Raises:
        ValueError: unknown task; no rows; or a row that shows itself to be of a test set: it is `hard`, or its `split`
            is not "train".
    """
    _check(task)
    for row in train_rows:
        _refuse_test_row(row)
    shown = {(row["sentence"], row["text"]): row for row in train_rows if SENTENCE not in row["sentence"]}
    if not shown:
        raise ValueError("no train rows to choose examples from")
    found = {key: polarities_of(key[1]) for key in sorted(shown)}
    draw = random.Random(seed)
    chosen = {}
    for polarity in ORDER:
        for candidates in (
            [key for key, polarities in found.items() if polarities == {polarity}],
            [key for key, polarities in found.items() if polarity in polarities],
        ):
            wanted = per_polarity - sum(polarity in polarities_of(text) for _, text in chosen)
            chosen |= dict.fromkeys(_draw([key for key in candidates if key not in chosen], wanted, draw))
    chosen |= dict.fromkeys(_draw([key for key, polarities in found.items() if not polarities], 1, draw))
    return [shown[key] for key in chosen]


def instruction(task: str, examples: Sequence[Mapping[str, Any]]) -> str:
    """The template: definition, examples and `{sentence}`, in one line, since T5's vocabulary has no line break.

    Raises:
        ValueError: unknown task, or an example that holds the place holder itself.
    """
    _check(task)
    parts = [
        f"Definition: {_DEFINITIONS[task]} The polarity is {_polarity_names(task)}. Put a ; between two. If there"
        " are no opinions, write nothing."
    ]
    for number, row in enumerate(examples, 1):
        if SENTENCE in row["sentence"] or SENTENCE in row["text"]:
            raise ValueError(
                f"example {number} holds {SENTENCE}, which is the template's own sign: {row['sentence']!r}"
            )
        parts.append(f"{_name(row['text'])} {number}: sentence: {row['sentence']} opinions: {row['text']}")
    parts.append(f"Now do this one: sentence: {SENTENCE} opinions:")
    return " ".join(" ".join(parts).split())


def fill(template: str | None, sentence: str) -> str:
    """The sentence within its instruction; alone where there is no template."""
    return sentence if template is None else template.replace(SENTENCE, sentence)


def instruct(sentence: str, task: str, examples: Sequence[Mapping[str, Any]]) -> str:
    """What the student reads for a sentence. Line breaks in the sentence stay: fine-tuning writes them as `[NL]`."""
    return fill(instruction(task, examples), sentence)


def polarities_of(text: str) -> set[str]:
    """The polarities in a gold text; the polarity is the second field of every task's items."""
    return {item.split("|")[1].strip() for item in text.split(";") if "|" in item}


def _check(task: str) -> None:
    if task not in _DEFINITIONS:
        raise ValueError(f"there is no instruction for the task {task!r}; allowed: {', '.join(_DEFINITIONS)}")


def _polarity_names(task: str) -> str:
    """Nobody annotated conflict in quads, and no reader takes it there."""
    *names, last = POLARITIES if task in ("tsa", "asa") else POLARITIES[:3]
    return f"{', '.join(names)} or {last}"


def _name(text: str) -> str:
    found = polarities_of(text)
    if not found:
        return "Example without opinions"
    return f"{found.pop().capitalize()} example" if len(found) == 1 else "Mixed example"


def _draw(keys: Sequence[tuple[str, str]], wanted: int, draw: random.Random) -> list[tuple[str, str]]:
    """At most `wanted` of the (sentence, text) pairs: random ones of moderate length, then what is nearest to it."""
    fitting = [key for key in keys if len(key[0]) >= MIN_SENTENCE and len("".join(key)) <= MAX_EXAMPLE]
    if wanted <= len(fitting):
        return draw.sample(fitting, max(wanted, 0))
    others = sorted({*keys} - {*fitting}, key=lambda key: (max(len("".join(key)) - MAX_EXAMPLE, 0), -len(key[0]), key))
    return [*draw.sample(fitting, len(fitting)), *others[: wanted - len(fitting)]]


def _refuse_test_row(row: Mapping[str, Any]) -> None:
    reason = None
    if row.get("split", "train") != "train":
        reason = f"its split is {row['split']!r}"
    elif row.get("hard"):
        reason = "it is of the hard test set"
    if reason:
        raise ValueError(
            f"row {row.get('id', '?')!r} ({row['sentence']!r:.60}) is no train row: {reason}. Examples come from the"
            " train split only"
        )
