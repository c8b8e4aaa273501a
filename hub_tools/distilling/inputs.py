"""What a pretraining run reads: its repos, each at one commit, and the pairs that its objective makes of them."""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from huggingface_hub import HfApi
from transformers import PreTrainedTokenizerBase

from hub_tools.corpus.baselines import instruction_pairs, rating_pairs, review_pairs
from hub_tools.corpus.evaluated import benchmark_sentences
from hub_tools.corpus.reading import Rows, corpus_rows, instruction_rows, without_sentences
from hub_tools.corpus.refusals import checked
from hub_tools.distilling.arguments import Pretrain
from hub_tools.hub.runs import resolve_input
from hub_tools.students.encoding import tokenizer_digest
from hub_tools.students.models import load_student, split_revision


logger = logging.getLogger(__name__)


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


def watched_benchmark(arguments: Pretrain) -> dict[str, str]:
    """The benchmark whose sentences may not be learned, and its commit; nothing where there is none."""
    benchmark = arguments.benchmark or f"{arguments.namespace}/fsa-benchmark"
    if arguments.benchmark or HfApi().repo_exists(benchmark, repo_type="dataset"):
        return {benchmark: resolve_input(benchmark, "dataset")}
    logger.warning("There is no %s: nobody looks for sentences of a benchmark in what is learned.", benchmark)
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


def pairs_of(
    arguments: Pretrain, inputs: Mapping[str, str], watched: Mapping[str, str], refuse: bool = True
) -> tuple[Rows, Counter[str]]:
    """
    What the objective learns from, as pairs, and a count of what it leaves out, by reason, of the last reading.

    Instructions come from strangers: those that hold a sentence of the benchmark are left out, by every process. A
    corpus that does was built wrongly; one process is enough to `refuse` it.
    """
    left_out: Counter[str] = Counter()

    def counted() -> Counter[str]:
        left_out.clear()
        return left_out

    sentences = None
    if refuse or arguments.instructions:
        for benchmark, commit in watched.items():
            sentences = benchmark_sentences(benchmark, commit)
    if arguments.instructions:
        repo_id, streaming = arguments.instructions, arguments.streaming
        rows = instruction_rows(repo_id, inputs[repo_id], streaming=streaming)
        made = partial(instruction_pairs, source=repo_id)
        return Rows(lambda: checked(without_sentences(made(rows, counted()), sentences, left_out))), left_out
    corpus = corpus_of(arguments)
    rows = corpus_rows(
        corpus,
        inputs[corpus],
        arguments.corpus_configs,
        reviews=arguments.reviews,
        teachers=arguments.teachers,
        streaming=arguments.streaming,
    )
    made = {"span-corruption": review_pairs, "rating": rating_pairs}.get(arguments.objective, lambda rows, _: rows)
    return Rows(lambda: checked(made(rows, counted()), sentences)), left_out


def encoded_folder(arguments: Pretrain, inputs: Mapping[str, str], tokenizer: PreTrainedTokenizerBase) -> Path:
    """Where the pairs lie as token ids: in one place for all runs that read the same ones with the same tokenizer."""
    names = ("objective", "corpus_configs", "teachers", "reviews", "max_input", "max_target")
    data = inputs[arguments.instructions or corpus_of(arguments)]
    facts = [data, tokenizer_digest(tokenizer), *(getattr(arguments, name) for name in names)]
    return Path(arguments.runs) / "encoded" / hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]
