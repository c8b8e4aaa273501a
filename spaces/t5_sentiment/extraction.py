# Copy of hub_tools/students/extraction.py, made by `make copies`; edit the original  # ruff: noqa: I001
"""Opinions out of reviews, with a fine-tuned student: each with its polarity, its place and its sentence.

    >>> student = load_student("me/t5-sentiment-tsa-rest14")                                      # doctest: +SKIP
    >>> extract(student, ["The Pad Thai was great."])                                             # doctest: +SKIP
    [[{'target': 'Pad Thai', 'start': 4, 'end': 12, 'category': None, 'polarity': 'positive', 'opinion_words': None}]]

Students are trained on single sentences, so a review is split into sentences first, and every offset is one of
characters in the review as it was given. A copy of this file travels with the Space.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import torch
from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from opinions import TASKS, locate, parse


MAX_OUTPUT_TOKENS = 100  # as in fine-tuning (the reference code of paper 1, arXiv 2412.18552)
MAX_SENTENCE = (
    600  # characters; no benchmark sentence is longer, and a review without full stops must not be one batch
)
NEWLINE = "[NL]"


class StudentError(RuntimeError):
    """A student that cannot be loaded, or is none: the message says why and what to do."""


@dataclass(frozen=True)
class Student:
    """A fine-tuned model, ready to read: `task` says whether it writes targets ("tsa") or categories ("asa")."""

    name: str
    task: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase

    @property
    def reads_newlines(self) -> bool:
        """Whether the vocabulary has a sign for line breaks; without one they are read as spaces."""
        return NEWLINE in self.tokenizer.get_vocab()


class Sentence(NamedTuple):
    """A piece of a review, `review[start:end]`, and the opinion rows read from it (offsets into the review)."""

    text: str
    start: int
    end: int
    opinions: list[dict[str, Any]]


def load_student(repo_or_folder: str, revision: str | None = None) -> Student:
    """Load a student that fine-tuning saved, from a Hub repo or a folder, onto the GPU if there is one.

    Raises:
        StudentError: there is no such repo or folder, it holds no seq2seq model in safetensors, or its config.json
            does not say in `fsa_task` how to read what the model writes.
    """
    where = f"{repo_or_folder}@{revision}" if revision else repo_or_folder
    try:
        config = AutoConfig.from_pretrained(repo_or_folder, revision=revision)
        task = getattr(config, "fsa_task", None)
        if task not in TASKS:
            raise StudentError(
                f"config.json of {where} says `fsa_task` = {task!r}; allowed: {', '.join(TASKS)}. A student fine-tuned"
                " with recipes/finetune.py has it; a distilled T5 that was not fine-tuned cannot extract opinions"
            )
        model = AutoModelForSeq2SeqLM.from_pretrained(repo_or_folder, revision=revision, use_safetensors=True)
        tokenizer = AutoTokenizer.from_pretrained(repo_or_folder, revision=revision)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise StudentError(
            f"could not load the student {where}: {reason} Check the name, HF_ENDPOINT, and HF_TOKEN if it is private"
        ) from error
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return Student(repo_or_folder, task, model.eval().to(device), tokenizer)


def extract(student: Student, texts: Sequence[str], batch_size: int = 64) -> list[list[dict[str, Any]]]:
    """Opinion rows of each text, in reading order: `target, start, end, category, polarity, opinion_words`.

    `start` and `end` are characters of the text: `text[start:end] == target`. They are None for "asa" students, whose
    opinions are about the whole sentence (`extract_sentences` tells which).
    """
    return [
        [opinion for sentence in sentences for opinion in sentence.opinions]
        for sentences in extract_sentences(student, texts, batch_size)
    ]


def extract_sentences(student: Student, texts: Sequence[str], batch_size: int = 64) -> list[list[Sentence]]:
    """The sentences of each text with the opinions found in each; sentences without opinions are included."""
    spans = [(index, start, end) for index, text in enumerate(texts) for start, end in split_sentences(text)]
    squeezed = [_squeeze(texts[index][start:end]) for index, start, end in spans]
    written = _write(student, [text for text, _ in squeezed], batch_size)
    found: list[list[Sentence]] = [[] for _ in texts]
    for (index, start, end), (sentence, offsets), output in zip(spans, squeezed, written, strict=True):
        opinions = _opinions(output, student.task, sentence)
        for opinion in opinions:
            if opinion["start"] is not None:
                first, last = offsets[opinion["start"]], offsets[opinion["end"] - 1]
                opinion |= {"start": start + first, "end": start + last + 1}
                opinion["target"] = texts[index][opinion["start"] : opinion["end"]]
        found[index].append(Sentence(texts[index][start:end], start, end, opinions))
    return found


def extract_table(student: Student, texts: Iterable[str], batch_size: int = 64) -> Iterator[dict[str, Any]]:
    """One row per opinion: `row` (1 for the first text), `sentence`, `target` or `category`, `polarity`, `start, end`.

    `start` and `end` tell where the target ("tsa") or the sentence ("asa") stands in the text. Texts are read a few
    batches ahead, so that a file of any length takes the same memory.
    """
    name = "target" if student.task == "tsa" else "category"
    remaining = iter(texts)
    row = 0
    while chunk := list(islice(remaining, 8 * batch_size)):
        for sentences in extract_sentences(student, chunk, batch_size):
            row += 1
            for sentence in sentences:
                for opinion in sentence.opinions:
                    place = opinion if opinion["start"] is not None else sentence._asdict()
                    yield {
                        "row": row,
                        "sentence": sentence.text,
                        name: opinion[name],
                        "polarity": opinion["polarity"],
                        "start": place["start"],
                        "end": place["end"],
                    }


# A sentence ends after . ! ? … (with quotes or brackets that close there) before white space; at a full stop that a
# writer in haste put between two words ("great.The"); or where a line ends, unless the next one goes on in lower case.
_BOUNDARY = re.compile(
    r"""(?P<stop>[.!?…。！？]+)[\"'”’»)\]]*(?=\s)"""
    r"""|(?<=[^\W\d_]{2})[.!?]+(?=[A-Z][a-z])"""
    r"""|[。！？]+"""
    r"""|(?<=\S)(?=\s*\n\s*\n)|(?<=\S)(?=\s*\n\s*[^\sa-z])"""
)
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\"'“])(?:[A-Za-z]|mr|mrs|ms|dr|st|jr|sr|vs|e\.g|i\.e|a\.m|p\.m|u\.s|etc|approx|no|inc|ft|oz|lbs?|min|max)\.$",
    re.IGNORECASE,
)
# After these a new sentence may begin all the same, if it begins like one.
_MAY_END = re.compile(r"(?:etc|a\.m|p\.m|u\.s|inc|oz|lbs?|no)\.$", re.IGNORECASE)


def split_sentences(text: str) -> list[tuple[int, int]]:
    """Where the sentences of a text stand, as (start, end) in characters; white space around them belongs to none.

    >>> text = "Loved it!! Dr. Who's\\ncafe. great fries..."
    >>> [text[start:end] for start, end in split_sentences(text)]
    ['Loved it!!', "Dr. Who's\\ncafe.", 'great fries...']
    """
    pieces: list[tuple[int, int]] = []
    start = 0
    for match in _BOUNDARY.finditer(text):
        if match["stop"] != "." or not _is_abbreviation(text, start, match.end()):
            pieces.append((start, match.end()))
            start = match.end()
    pieces.append((start, len(text)))
    return [part for piece in pieces for part in _short_parts(text, *_strip(text, *piece))]


def _is_abbreviation(text: str, start: int, stop: int) -> bool:
    before = text[max(start, stop - 12) : stop].rstrip("\"'”’»)]")
    if not _ABBREVIATION.search(before):
        return False
    goes_on = text[stop : stop + 40].lstrip()[:1].islower()
    return goes_on or not _MAY_END.search(before)


def _strip(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end


def _short_parts(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The span itself, or parts of at most `MAX_SENTENCE` characters, cut at white space where there is any."""
    while end - start > MAX_SENTENCE:
        cut = next((i for i in range(start + MAX_SENTENCE, start, -1) if text[i].isspace()), start + MAX_SENTENCE)
        while cut < end and _continues(text, cut):  # not inside an accented letter or a composed emoji
            cut += 1
        yield _strip(text, start, cut)
        start, end = _strip(text, cut, end)
    if start < end:
        yield start, end


def _continues(text: str, index: int) -> bool:
    joiner = "\u200d"
    return (
        text[index] == joiner
        or text[index - 1] == joiner
        or unicodedata.category(text[index]).startswith("M")
        or unicodedata.category(text[index]) == "Sk"  # skin tones
    )


def _squeeze(text: str) -> tuple[str, list[int]]:
    """The text with each run of white space as one space, or one line break, and where each character comes from.

    T5's vocabulary does so on its own, and then writes targets that would not be found in the text.
    """
    characters: list[str] = []
    offsets: list[int] = []
    for match in re.finditer(r"\s+|\S", text):
        run = match[0]
        characters.append(run if not run.isspace() else "\n" if "\n" in run else " ")
        offsets.append(match.start())
    return "".join(characters), offsets


def _opinions(output: str, task: str, sentence: str) -> list[dict[str, Any]]:
    """Opinion rows of one sentence (offsets into it); what is malformed, invented or repeated is left out."""
    readable = sentence.replace("\n", " ")
    pairs = parse(" ".join(output.replace(NEWLINE, " ").split()), task, readable).pairs
    if task == "tsa":
        # An empty target is a substring of every sentence, so `parse` lets it pass; there is nothing to show.
        rows = locate([pair for pair in pairs if pair[0]], readable)
        distinct = {(row["start"], row["end"], row["polarity"]): row for row in reversed(rows)}
        return sorted(distinct.values(), key=lambda row: (row["start"], row["end"]))
    return [
        {"target": None, "start": None, "end": None, "category": name, "polarity": polarity, "opinion_words": None}
        for name, polarity in dict.fromkeys(pairs)
        if name
    ]


@torch.inference_mode()
def _write(student: Student, sentences: Sequence[str], batch_size: int) -> list[str]:
    """What the student writes for each sentence, greedily; sentences of like length share a batch."""
    newline = NEWLINE if student.reads_newlines else " "
    inputs = [sentence.replace("\n", newline) for sentence in sentences]
    order = sorted(range(len(inputs)), key=lambda index: len(inputs[index]))
    written = [""] * len(inputs)
    for first in range(0, len(order), batch_size):
        chosen = order[first : first + batch_size]
        batch = student.tokenizer([inputs[index] for index in chosen], padding=True, return_tensors="pt")
        ids = student.model.generate(
            **batch.to(student.model.device), max_length=MAX_OUTPUT_TOKENS, num_beams=1, do_sample=False
        )
        texts = student.tokenizer.batch_decode(ids, skip_special_tokens=True)
        for index, text in zip(chosen, texts, strict=True):
            written[index] = text
    return written
