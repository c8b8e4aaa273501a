"""
Turns raw replies into the sentiment understanding corpus: what enters has passed its gates, the rest says why not.

Reads:  <namespace>/<replies> of each teacher, and <namespace>/fsa-benchmark, or the `benchmark` named (to keep its
        sentences out).
Writes: <namespace>/sentiment-understanding-corpus (or the `corpus` named), a config per teacher, domain and
        prompt, and per variant.

accelerate launch recipes/build_corpus.py recipes/configs/demo/build_corpus.yaml
"""

import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
from accelerate import PartialState
from datasets import Dataset, load_dataset
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import RemoteEntryNotFoundError
from tqdm.auto import tqdm

from hub_tools.arguments import parse_arguments, run_stage
from hub_tools.corpus.contamination import BenchmarkSentences
from hub_tools.corpus.evaluated import evaluated, load_sentences
from hub_tools.corpus.gates import DEFAULT, GATES, chosen
from hub_tools.corpus.leaks import cross_set_leaks
from hub_tools.corpus.licences import check_publishing
from hub_tools.corpus.pairs import Judge
from hub_tools.corpus.replies import Replies, shard_names
from hub_tools.corpus.summary import STARS, Summary, draw_lengths, gate_rows
from hub_tools.corpus.tables import CorpusTables
from hub_tools.corpus.variants import VARIANTS
from hub_tools.hub.cards import CorpusFacts, DatasetFacts, Source, Teacher, dataset_card
from hub_tools.hub.errors import explained
from hub_tools.hub.push import push_dataset
from hub_tools.hub.runs import RUN_FILE, Run, find_finished_run, resolve_input, start_run
from hub_tools.prompts import BUILDERS


@dataclass
class BuildCorpus:
    namespace: str = field(metadata={"help": "user or organisation that owns the repos"})
    replies: list[str] = field(
        metadata={
            "help": "names of the replies repos, in the order the corpus shall have; replies-x-*-of-4: all shards"
        }
    )
    corpus: str = field(default="", metadata={"help": "name of the repo to write; '': sentiment-understanding-corpus"})
    benchmark: str = field(
        default="", metadata={"help": "Hub id of the one whose sentences are kept out; '': <namespace>/fsa-benchmark"}
    )
    hub: str = field(default="embedded", metadata={"help": "`embedded`, or the URL of a Hub"})
    private: bool = field(default=True, metadata={"help": "reviews come with terms of their own: keep this private"})
    publish: str = field(default="text", metadata={"help": "`text`, or `ids`: without the texts of the reviews"})
    whole: bool = field(
        default=False, metadata={"help": "learn replies as they were written; false: up to where they run on"}
    )
    gates: list[str] = field(default_factory=lambda: list(DEFAULT), metadata={"help": "what is asked of each reply"})


def main() -> None:
    arguments = parse_arguments(BuildCorpus)
    if not PartialState().is_main_process:
        return
    chosen(arguments.gates)
    corpus = arguments.corpus or "sentiment-understanding-corpus"
    repo_id = f"{arguments.namespace}/{corpus}"
    benchmark = arguments.benchmark or f"{arguments.namespace}/fsa-benchmark"
    sources = {name: [f"{arguments.namespace}/{shard}" for shard in shard_names(name)] for name in arguments.replies}
    inputs = {name: resolve_input(name, "dataset") for name in [*chain.from_iterable(sources.values()), benchmark]}
    run = start_run("build_corpus", asdict(arguments), inputs)
    if find_finished_run(repo_id, "dataset", run.digest):
        print(f"build_corpus: {repo_id} was built from these very replies; reused.")
        return

    shards = {name: [load_shard(repo, inputs[repo]) for repo in repos] for name, repos in sources.items()}
    check_publishing(arguments.publish, arguments.private and not is_public(repo_id), licences(shards))
    sentences = load_sentences(benchmark, inputs[benchmark])
    judge, summary = Judge(arguments.gates, BenchmarkSentences(evaluated(sentences)), arguments.whole), Summary()
    with tempfile.TemporaryDirectory(prefix="fsa-corpus-") as folder:
        with CorpusTables(Path(folder), arguments.publish) as tables:
            for reply, review in ordered(shards, summary):
                judged = judge.judge(reply, review)
                tables.add(judged)
                summary.add(judged)
        if not summary.pairs:
            raise ValueError(f"none of {summary.rejected.total()} replies became a pair: {dict(summary.reasons)}.")
        facts = card(repo_id, tables, summary, judge, sentences, run.finish(), arguments)
        push(repo_id, tables, facts, summary, arguments)
    reasons = ", ".join(f"{reason} {count}" for reason, count in summary.reasons.most_common()) or "none"
    pairs, rejected = summary.pairs.total(), summary.rejected.total()
    print(f"build_corpus: pushed {repo_id}: {pairs} pairs; rejected {rejected} ({reasons}).")
    for repo in (row["replies"] for row in facts.corpus.cost if row["replies"].endswith(UNFINISHED)):
        print(f"build_corpus: the labelling of {repo}: what it brings later is not in this corpus.")


def load_shard(repo: str, revision: str) -> tuple[Dataset, Dataset]:
    """The replies and the reviews of a repo, memory-mapped."""
    replies, reviews = (load_dataset(repo, name, revision=revision, split="train") for name in ("replies", "reviews"))
    return replies.select_columns(REPLY), reviews.select_columns([c for c in REVIEW if c in reviews.column_names])


def is_public(repo_id: str) -> bool:
    """Whether the repo is there already, for all to see: pushing to it as private does not change that."""
    return HfApi().repo_exists(repo_id, repo_type="dataset") and not HfApi().dataset_info(repo_id).private


def licences(shards: dict[str, list[tuple[Dataset, Dataset]]]) -> list[tuple[str, str]]:
    """The (source, licence) of the reviews; repos that are older than the column do not know it."""
    found: dict[tuple[str, str], None] = {}
    for _, reviews in chain.from_iterable(shards.values()):
        for batch in reviews.with_format("arrow").iter(10_000):
            known = [name for name in ("source", "licence") if name in batch.column_names]
            for row in batch.group_by(known).aggregate([]).to_pylist():
                found[row["source"], row.get("licence") or ""] = None
    return sorted(found)


def ordered(shards: dict[str, list[tuple[Dataset, Dataset]]], summary: Summary) -> Iterator[tuple[dict, dict]]:
    """All replies with their reviews, source by source; no request twice."""
    earlier: list[np.ndarray] = []
    for name, parts in shards.items():
        replies = Replies(name, parts, earlier)
        summary.repeats += replies.repeats
        yield from tqdm(replies, total=replies.found - replies.repeats, desc=name, unit="reply", disable=None)


def card(
    repo_id: str,
    tables: CorpusTables,
    summary: Summary,
    judge: Judge,
    sentences: dict[str, dict[str, Dataset]],
    run: Run,
    arguments: BuildCorpus,
) -> DatasetFacts:
    """What the card says: all of it counted, none of it typed."""
    teachers = sorted({teacher for teacher, _, _ in summary.pairs})
    benchmark = arguments.benchmark or f"{arguments.namespace}/fsa-benchmark"
    repos = [repo for repo in run.inputs if repo != benchmark]
    return DatasetFacts(
        repo_id=repo_id,
        kind="corpus",
        title="Sentiment understanding corpus",
        configs={config: {"train": rows} for config, rows in tables.sizes.items()},
        sources=[Source(repo, "see the reviews' below", note="Raw replies.") for repo in repos],
        teachers=[Teacher(name, is_llm=name != "lexicon") for name in teachers],
        counts=summary.parts(),
        rejected=dict(summary.reasons.most_common()),
        contamination=[
            {
                "looked for": f"{judge.sentences.indexed} sentences of {benchmark}",
                "too short to look for": judge.sentences.skipped,
                **{
                    f"pairs with one, {how}": summary.reasons.get(f"contaminated: {how}", 0)
                    for how in ("exact", "normalised", "n-gram")
                },
            }
        ],
        run=run,
        limits=[
            f"{summary.ungrounded} of {summary.opinions} targets of analyses are not in the words of their review.",
            f"{summary.repeats} further replies answered a request that was answered before; one of each is here.",
        ],
        corpus=CorpusFacts(
            variants={config: meaning for config, meaning in VARIANTS.items() if config in tables.sizes},
            publish=arguments.publish,
            replies=repos,
            gates=gate_rows(judge.asked, judge.asks),
            gates_off=[name for name in GATES if name not in arguments.gates],
            samples=summary.samples,
            stars={star: summary.stars[star] for star in STARS if summary.stars[star]},
            lengths=LENGTHS,
            leaks=cross_set_leaks(
                {
                    config: {split: rows["sentence"] for split, rows in splits.items()}
                    for config, splits in sentences.items()
                }
            ),
            licences=[
                {"source": source, "licence": licence or "unknown", "pairs": pairs}
                for (source, licence), pairs in sorted(summary.sources.items())
            ],
            cost=[cost_of(repo, run.inputs[repo]) for repo in repos],
            prompts={name: build("…") for name, build in BUILDERS.items()},
        ),
    )


def cost_of(repo: str, revision: str) -> dict:
    """What labelling cost, as far as the run that filled the repo knows it."""
    with explained(f"read {RUN_FILE} of dataset {repo}"):
        try:
            path = hf_hub_download(repo, RUN_FILE, repo_type="dataset", revision=revision)
            run = Run.from_json(Path(path).read_text("utf-8"))
        except (RemoteEntryNotFoundError, ValueError):  # a Hub that does not answer has not said that there is none
            unknown = dict.fromkeys(("tokens read", "written", "hours", "$"))
            return {"replies": f"{repo}{UNFINISHED}", **unknown}
    totals, cost = run.facts.get("totals") or {}, run.facts.get("cost")
    return {
        "replies": repo,
        "tokens read": totals.get("prompt_tokens"),
        "written": totals.get("completion_tokens"),
        "hours": round(totals["seconds"] / 3600, 2) if totals else None,
        "$": None if cost is None else f"{cost:.2f}",
    }


def push(repo_id: str, tables: CorpusTables, facts: DatasetFacts, summary: Summary, arguments: BuildCorpus) -> None:
    """Pushes the tables, the variants that are made of them, the picture and the card."""
    push_dataset(
        {config: {"train": path} for config, path in tables.files.items()},
        repo_id,
        dataset_card(facts),
        private=arguments.private,
        run=facts.run,
        unions=tables.unions,
        pictures={LENGTHS: draw_lengths(summary)},
    )


LENGTHS = "pictures/lengths.png"
UNFINISHED = " (its run is not finished)"
REPLY = ["request_id", "review_id", "prompt", "teacher", "reply", "finish_reason"]
REVIEW = ["review_id", "domain", "text", "rating", "source", "licence"]


if __name__ == "__main__":
    run_stage(main)
