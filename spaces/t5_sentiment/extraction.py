# Copy of hub_tools/students/extraction.py, made by `make copies`; edit the original  # ruff: noqa: I001
"""Opinions out of reviews, with a fine-tuned student: each with its polarity, its place and its sentence.

    >>> student = load_student("me/t5-sentiment-tsa-rest14")                                      # doctest: +SKIP
    >>> extract(student, ["The Pad Thai was great."])                                             # doctest: +SKIP
    [[{'target': 'Pad Thai', 'start': 4, 'end': 12, 'category': None, 'polarity': 'positive', 'opinion_words': None}]]

Students are trained on single sentences, so a review is split into sentences first, and every offset is one of
characters in the review as it was given. A copy of this file travels with the Space.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import torch
from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import cached_file, extract_commit_hash

from opinions import IMPLICIT, TASKS, locate, parse
from splitting import split_sentences, squeeze


MAX_OUTPUT_TOKENS = 100  # as in fine-tuning (the reference code of paper 1, arXiv 2412.18552)
NEWLINE = "[NL]"
SENTENCE = "{sentence}"  # where `fsa_instruction` of config.json has the sentence


class StudentError(RuntimeError):
    """A student that cannot be loaded, or is none: the message says why and what to do."""


@dataclass(frozen=True)
class Student:
    """A fine-tuned model, ready to read.

    `task` says what it writes: targets ("tsa"), categories ("asa") or quads ("acos", "asqp"). `instruction` is the
    text around each sentence that it was fine-tuned with; None: it reads the sentence alone.
    """

    name: str
    task: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    instruction: str | None = None

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
            does not say in `fsa_task` how to read what the model writes, or has an `fsa_instruction` without a place
            for the sentence.
    """
    where = f"{repo_or_folder}@{revision}" if revision else repo_or_folder
    try:
        # One commit for all files. Asked for a commit, transformers does not have a repo without safetensors converted
        # either, for which it would send the token to a Space.
        revision = extract_commit_hash(cached_file(repo_or_folder, "config.json", revision=revision), None) or revision
        config = AutoConfig.from_pretrained(repo_or_folder, revision=revision, trust_remote_code=False)
        task = getattr(config, "fsa_task", None)
        if task not in TASKS:
            raise StudentError(
                f"config.json of {where} says `fsa_task` = {task!r}; allowed: {', '.join(TASKS)}. A student fine-tuned"
                " with recipes/finetune.py has it; a distilled T5 that was not fine-tuned cannot extract opinions"
            )
        instruction = getattr(config, "fsa_instruction", None)
        if instruction is not None and (not isinstance(instruction, str) or SENTENCE not in instruction):
            raise StudentError(
                f"config.json of {where} says `fsa_instruction` = {instruction!r:.80}; allowed: a text that holds"
                f" {SENTENCE}, or null"
            )
        model = AutoModelForSeq2SeqLM.from_pretrained(
            repo_or_folder, revision=revision, use_safetensors=True, trust_remote_code=False, dtype=torch.float32
        )
        tokenizer = AutoTokenizer.from_pretrained(repo_or_folder, revision=revision, trust_remote_code=False)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise StudentError(
            f"could not load the student {where}: {reason} Check the name, HF_ENDPOINT, and HF_TOKEN if it is private"
        ) from error
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return Student(repo_or_folder, task, model.eval().to(device), tokenizer, instruction)


def extract(student: Student, texts: Sequence[str], batch_size: int = 64) -> list[list[dict[str, Any]]]:
    """Opinion rows of each text, in reading order: `target, start, end, category, polarity, opinion_words`.

    `start` and `end` are characters of the text: `text[start:end] == target`. They are None for "asa" students, whose
    opinions are about the whole sentence (`extract_sentences` tells which), and for quads whose target is implied.
    `opinion_words` of a quad are one text, or [] where no word tells the opinion.
    """
    return [
        [opinion for sentence in sentences for opinion in sentence.opinions]
        for sentences in extract_sentences(student, texts, batch_size)
    ]


def extract_sentences(student: Student, texts: Sequence[str], batch_size: int = 64) -> list[list[Sentence]]:
    """The sentences of each text with the opinions found in each; sentences without opinions are included."""
    spans = [(index, start, end) for index, text in enumerate(texts) for start, end in split_sentences(text)]
    squeezed = [squeeze(texts[index][start:end]) for index, start, end in spans]
    written = _write(student, [text for text, _ in squeezed], batch_size)
    found: list[list[Sentence]] = [[] for _ in texts]
    for (index, start, end), (sentence, offsets), output in zip(spans, squeezed, written, strict=True):
        opinions = _opinions(output, student.task, sentence)
        for opinion in opinions:
            if opinion["start"] is not None:
                first, last = offsets[opinion["start"]], offsets[opinion["end"] - 1]
                opinion |= {"start": start + first, "end": start + last + 1}
                opinion["target"] = texts[index][opinion["start"] : opinion["end"]]
            for number, words in enumerate(opinion["opinion_words"] or []):
                first = sentence.replace("\n", " ").index(words)
                opinion["opinion_words"][number] = texts[index][
                    start + offsets[first] : start + offsets[first + len(words) - 1] + 1
                ]
        found[index].append(Sentence(texts[index][start:end], start, end, opinions))
    return found


def table_columns(task: str) -> tuple[str, ...]:
    """The columns of `extract_table`: what the opinion is on comes first, its sentence and place last."""
    what = {"tsa": ("target",), "asa": ("category",)}.get(task, ("category", "target", "opinion_words"))
    return ("row", *what, "polarity", "sentence", "start", "end")


def extract_table(student: Student, texts: Iterable[str], batch_size: int = 64) -> Iterator[dict[str, Any]]:
    """One row per opinion, with the columns of `table_columns`; `row` is 1 for the first text.

    `start` and `end` tell where the target stands in the text, or the sentence where there is no target ("asa", and
    quads that only imply theirs). Of quads, `target` and `opinion_words` are None where they are implied. Texts are
    read a few batches ahead, so that a file of any length takes the same memory.
    """
    what = table_columns(student.task)[1:-4]
    remaining = iter(texts)
    row = 0
    while chunk := list(islice(remaining, 8 * batch_size)):
        for sentences in extract_sentences(student, chunk, batch_size):
            row += 1
            for sentence in sentences:
                for opinion in sentence.opinions:
                    place = opinion if opinion["start"] is not None else sentence._asdict()
                    words = "; ".join(opinion["opinion_words"] or []) or None
                    yield {
                        "row": row,
                        **{name: {**opinion, "opinion_words": words}[name] for name in what},
                        "polarity": opinion["polarity"],
                        "sentence": sentence.text,
                        "start": place["start"],
                        "end": place["end"],
                    }


def _opinions(output: str, task: str, sentence: str) -> list[dict[str, Any]]:
    """Opinion rows of one sentence (offsets into it); what is malformed, invented or repeated is left out."""
    readable = sentence.replace("\n", " ")
    pairs = parse(" ".join(output.replace(NEWLINE, " ").split()), task, readable).pairs
    if task == "tsa":
        # An empty target is a substring of every sentence, so `parse` lets it pass; there is nothing to show.
        rows = locate([pair for pair in pairs if pair[0]], readable)
        distinct = {(row["start"], row["end"], row["polarity"]): row for row in reversed(rows)}
        return sorted(distinct.values(), key=lambda row: (row["start"], row["end"]))
    if task != "asa":
        return _quads(list(dict.fromkeys(pair for pair in pairs if all(pair))), readable)
    return [
        {"target": None, "start": None, "end": None, "category": name, "polarity": polarity, "opinion_words": None}
        for name, polarity in dict.fromkeys(pairs)
        if name
    ]


def _quads(quads: Sequence[tuple[str, ...]], sentence: str) -> list[dict[str, Any]]:
    """Opinion rows of (category, polarity, target, opinion words), by where target or words stand; the rest last."""
    targets = list(dict.fromkeys(target for _, _, target, _ in quads if target != IMPLICIT))
    # A target with several quads stands in one place, unlike one that is written several times in "tsa".
    places = {row["target"]: row for row in locate([(target, "") for target in targets], sentence)}
    rows = []
    for category, polarity, target, words in quads:
        place = places.get(target, {"target": None, "start": None, "end": None})
        told = [] if words == IMPLICIT else [words]
        rows.append({**place, "category": category, "polarity": polarity, "opinion_words": told})

    def first(row: dict[str, Any]) -> int:
        if row["start"] is not None:
            return row["start"]
        return sentence.index(row["opinion_words"][0]) if row["opinion_words"] else len(sentence)

    return sorted(rows, key=first)


@torch.inference_mode()
def _write(student: Student, sentences: Sequence[str], batch_size: int) -> list[str]:
    """What the student writes for each sentence, greedily; sentences of like length share a batch."""
    newline = NEWLINE if student.reads_newlines else " "
    inputs = [sentence.replace("\n", newline) for sentence in sentences]
    if student.instruction is not None:  # not format(): reviews hold braces
        inputs = [student.instruction.replace(SENTENCE, sentence) for sentence in inputs]
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
