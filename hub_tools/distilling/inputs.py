"""What a pretraining run reads: its repos, each at one commit, and the pairs that its objective makes of them."""

import fcntl
import hashlib
import json
import logging
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import HfApi
from transformers import PreTrainedTokenizerBase

from hub_tools.corpus.baselines import instruction_pairs, rating_pairs, review_pairs
from hub_tools.corpus.contamination import BenchmarkSentences
from hub_tools.corpus.evaluated import benchmark_sentences
from hub_tools.corpus.reading import Rows, Tally, corpus_rows, instruction_rows, without_sentences
from hub_tools.corpus.refusals import checked
from hub_tools.distilling.arguments import Pretrain
from hub_tools.hub.runs import digest_files, resolve_input
from hub_tools.students.encoded import EncodedPairs, encode_corpus
from hub_tools.students.encoding import tokenizer_digest
from hub_tools.students.models import load_student, split_revision


logger = logging.getLogger(__name__)

READING = 2  # to be raised when pairs are made, or refused, otherwise than before: what lies there is then read again
OBJECTIVE_PAIRS = {"span-corruption": review_pairs, "rating": rating_pairs}


class Reading(NamedTuple):
    """The pairs of a run as token ids, the tally of all of them, and how many were left out, by reason."""

    encoded: EncodedPairs
    tally: Tally
    left_out: Counter[str]


def inputs_of(arguments: Pretrain) -> dict[str, str]:
    """Every repo that the run reads, and its commit. Models that help are named by what for: `repo@soft_teacher`."""
    corpus = arguments.instructions or corpus_of(arguments)
    inputs = {corpus: resolve_input(corpus, "dataset")}
    if arguments.instructions:
        inputs |= watched_benchmark(arguments)  # which decides what of them is learned
    for role in ("student", "soft_teacher", "difficulty_model"):
        if text := getattr(arguments, role):
            repo_id, revision = reference(text, arguments.namespace)
            inputs[input_name(repo_id, role)] = resolve_input(repo_id, "model", revision)
    return inputs


def corpus_of(arguments: Pretrain) -> str:
    return reference(arguments.corpus or "sentiment-understanding-corpus", arguments.namespace)[0]


def benchmark_of(arguments: Pretrain) -> str:
    return arguments.benchmark or f"{arguments.namespace}/fsa-benchmark"


def watched_benchmark(arguments: Pretrain) -> dict[str, str]:
    """The benchmark whose sentences may not be learned, and its commit; nothing where there is none."""
    benchmark = benchmark_of(arguments)
    if arguments.benchmark or HfApi().repo_exists(benchmark, repo_type="dataset"):
        return {benchmark: resolve_input(benchmark, "dataset")}
    logger.warning("There is no %s, so the training text is not checked for sentences of a benchmark.", benchmark)
    return {}


def reference(text: str, namespace: str) -> tuple[str, str | None]:
    """`"t5@step-0"` → (repo in `namespace`, revision); a repo that says whose it is stays as it is."""
    repo_id, revision = split_revision(text)
    return repo_id if "/" in repo_id else f"{namespace}/{repo_id}", revision


def input_name(repo_id: str, role: str) -> str:
    return repo_id if role == "student" else f"{repo_id}@{role}"


def load_model(arguments: Pretrain, role: str, inputs: Mapping[str, str]):
    """The checkpoint that the option `role` names, at this run's commit, and its tokenizer."""
    repo_id, _ = reference(getattr(arguments, role), arguments.namespace)
    return load_student(repo_id, inputs[input_name(repo_id, role)])


def read_corpus(
    arguments: Pretrain, inputs: Mapping[str, str], watched: Mapping[str, str], tokenizer: PreTrainedTokenizerBase
) -> Reading:
    """
    The pairs of `pairs_of`, encoded. They are read, and looked through for sentences of a benchmark, by one process of
    a machine and once: every other one, and every later run that would read the same, opens what it left.

    Raises:
        ValueError: the pairs are refused. Nothing is kept then that would let them pass the next time.
    """
    folder = encoded_folder(arguments, inputs, tokenizer)
    # The pairs themselves are in the key of what is kept; here is what else decides their tally and their verdict.
    looked = json.dumps([READING, watched, arguments.instructions_teacher], sort_keys=True)
    kept = folder / f"tally-{hashlib.sha256(looked.encode()).hexdigest()[:12]}.safetensors"
    if known := open_reading(folder, kept):
        return known
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".reading").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if known := open_reading(folder, kept):  # another process has read meanwhile
            return known
        pairs, left_out = pairs_of(arguments, inputs, watched)
        if arguments.objective == "span-corruption":  # it makes its targets of the inputs; the cost of one copy counts
            pairs = ({**pair, "target": ""} for pair in pairs)
        tally = Tally()
        limits = {"max_input": arguments.max_input, "max_target": arguments.max_target}
        encoded = encode_corpus(tally.of(pairs), tokenizer, folder, **limits)
        tally.save(kept, encoded.digest, left_out)
    return Reading(encoded, tally, left_out)


def open_reading(folder: Path, kept: Path) -> Reading | None:
    """What an earlier reading left in `folder`, its tally in the file `kept`; None if it is not there, or damaged."""
    try:
        encoded = EncodedPairs.open(folder)
    except ValueError:
        return None
    known = Tally.load(kept, encoded.digest)
    return Reading(encoded, *known) if known else None


def pairs_of(arguments: Pretrain, inputs: Mapping[str, str], watched: Mapping[str, str]) -> tuple[Rows, Counter[str]]:
    """
    What the objective learns from, as pairs, and a count of what it leaves out, by reason, of the last reading.
    Nothing is loaded before the first one.

    Instructions come from strangers: those that hold a sentence of the benchmark are left out. A corpus that does was
    built wrongly, and whoever reads it to its end refuses it.
    """
    left_out: Counter[str] = Counter()
    rows = cache(lambda: rows_of(arguments, inputs))
    sentences = cache(lambda: sentences_of(watched))

    def read():
        left_out.clear()
        if arguments.instructions:
            source, teacher = arguments.instructions, arguments.instructions_teacher
            made = instruction_pairs(rows(), left_out, source=source, teacher=teacher)
            return checked(without_sentences(made, sentences(), left_out))
        made = OBJECTIVE_PAIRS.get(arguments.objective)
        return checked(made(rows(), left_out) if made else rows(), sentences())

    return Rows(read), left_out


def rows_of(arguments: Pretrain, inputs: Mapping[str, str]) -> Rows:
    """The rows of the instruction dataset or of the corpus, each at this run's commit."""
    if arguments.instructions:
        dataset = arguments.instructions
        return instruction_rows(dataset, inputs[dataset], streaming=arguments.streaming)
    corpus = corpus_of(arguments)
    return corpus_rows(
        corpus,
        inputs[corpus],
        arguments.corpus_configs,
        reviews=arguments.reviews,
        teachers=arguments.teachers,
        streaming=arguments.streaming,
    )


def sentences_of(watched: Mapping[str, str]) -> BenchmarkSentences | None:
    for benchmark, commit in watched.items():  # there is one, or none
        return benchmark_sentences(benchmark, commit)
    return None


def encoded_folder(arguments: Pretrain, inputs: Mapping[str, str], tokenizer: PreTrainedTokenizerBase) -> Path:
    """Where the pairs lie as token ids: in one place for all runs that read the same ones with the same tokenizer."""
    names = ("objective", "corpus_configs", "teachers", "max_input", "max_target")
    facts = {name: getattr(arguments, name) for name in names}
    facts |= {"data": inputs[arguments.instructions or corpus_of(arguments)], "tokenizer": tokenizer_digest(tokenizer)}
    if arguments.instructions:
        facts["benchmark"] = inputs.get(benchmark_of(arguments))  # which decides what of them is left out
    if arguments.reviews:
        file = Path(arguments.reviews)
        facts["reviews"] = digest_files(file) if file.is_file() else resolve_input(arguments.reviews, "dataset")
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return Path(arguments.runs) / "encoded" / digest[:12]
