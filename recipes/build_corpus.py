"""
Turns raw replies into the sentiment understanding corpus: what enters has passed its gates, the rest says why not.

Reads:  <namespace>/<replies> of each teacher, and <namespace>/fsa-benchmark (to keep its test sentences out).
Writes: <namespace>/sentiment-understanding-corpus, a config per teacher, domain and prompt, and config `rejected`.

accelerate launch recipes/build_corpus.py recipes/configs/demo/build_corpus.yaml
"""

from dataclasses import asdict, dataclass, field

from accelerate import PartialState
from datasets import Dataset, Features, Value, get_dataset_config_names, load_dataset

from hub_tools.arguments import parse_arguments, run_stage
from hub_tools.corpus.contamination import BenchmarkSentences
from hub_tools.corpus.pairs import config_name, to_pairs
from hub_tools.corpus.summary import summary
from hub_tools.hub.cards import DatasetFacts, Source, Teacher, dataset_card
from hub_tools.hub.push import push_dataset
from hub_tools.hub.runs import Run, find_finished_run, resolve_input, start_run


@dataclass
class BuildCorpus:
    namespace: str = field(metadata={"help": "user or organisation that owns the repos"})
    replies: list[str] = field(metadata={"help": "names of the replies repos, in the order the corpus shall have"})
    hub: str = field(default="embedded", metadata={"help": "`embedded`, or the URL of a Hub"})
    private: bool = field(default=True, metadata={"help": "reviews come with terms of their own: keep this private"})


def main() -> None:
    arguments = parse_arguments(BuildCorpus)
    if not PartialState().is_main_process:
        return
    repo_id, benchmark = (
        f"{arguments.namespace}/{name}" for name in ("sentiment-understanding-corpus", "fsa-benchmark")
    )
    sources = [f"{arguments.namespace}/{name}" for name in arguments.replies]
    inputs = {name: resolve_input(name, "dataset") for name in [*sources, benchmark]}
    run = start_run("build_corpus", asdict(arguments), inputs)
    if find_finished_run(repo_id, "dataset", run.digest):
        print(f"build_corpus: {repo_id} was built from these very replies; reused.")
        return

    test_sentences = BenchmarkSentences(load_test_sentences(benchmark, inputs[benchmark]))
    pairs, rejected = [], []
    for source in sources:
        replies, reviews = (
            load_dataset(source, name, revision=inputs[source], split="train").to_list()
            for name in ("replies", "reviews")
        )
        kept, lost = to_pairs(replies, reviews, test_sentences)
        pairs, rejected = pairs + kept, rejected + lost
    facts = summary(pairs, rejected)
    push(repo_id, sources, pairs, rejected, facts, test_sentences, arguments, run.finish())
    reasons = ", ".join(f"{reason} {count}" for reason, count in facts["reasons"].items()) or "none"
    print(f"build_corpus: pushed {repo_id}: {len(pairs)} pairs; rejected {len(rejected)} ({reasons}).")


def load_test_sentences(benchmark: str, revision: str) -> list[str]:
    """Every test sentence of every config, the added hard ones included."""
    return [
        sentence
        for config in get_dataset_config_names(benchmark, revision=revision)
        for sentence in load_dataset(benchmark, config, revision=revision, split="test_hard")["sentence"]
    ]


def push(
    repo_id: str,
    sources: list[str],
    pairs: list[dict],
    rejected: list[dict],
    facts: dict,
    test_sentences: BenchmarkSentences,
    arguments: BuildCorpus,
    run: Run,
) -> None:
    """Pushes the pairs, a config per teacher, domain and prompt, and what was rejected, with the card."""
    parts: dict[str, list[dict]] = {}
    for pair in pairs:
        parts.setdefault(config_name(pair["teacher"], pair["domain"], pair["prompt"]), []).append(pair)
    tables = {name: {"train": to_dataset(rows, PAIR)} for name, rows in parts.items()}
    if rejected:
        tables["rejected"] = {"train": to_dataset(rejected, REJECTED)}
    teachers = sorted({pair["teacher"] for pair in pairs})
    card = dataset_card(
        DatasetFacts(
            repo_id=repo_id,
            kind="corpus",
            title="Sentiment understanding corpus",
            configs={name: {split: len(rows) for split, rows in splits.items()} for name, splits in tables.items()},
            sources=[
                Source(name, "the reviews' own terms", note="See its card.")
                for name in run.inputs
                if "replies" in name
            ],
            teachers=[Teacher(name, is_llm=name != "lexicon") for name in teachers],
            counts=facts["parts"],
            rejected=facts["reasons"],
            contamination=[
                {
                    "looked for": f"{test_sentences.indexed} test sentences of {arguments.namespace}/fsa-benchmark",
                    "too short to look for": test_sentences.skipped,
                    "pairs that contained one, rejected": facts["reasons"].get("contaminated", 0),
                }
            ],
            run=run,
            limits=[
                f"{facts['ungrounded_targets']} of {facts['opinions']} opinion targets in the analyses are not in the "
                "words of their review."
            ],
        )
    )
    push_dataset(tables, repo_id, card, private=arguments.private, run=run)


def to_dataset(rows: list[dict], features: Features) -> Dataset:
    """Rows as columns with the contract's features, also where there are no rows."""
    return Dataset.from_dict({name: [row[name] for row in rows] for name in features}, features=features)


PAIR = Features(
    {name: Value("string") for name in ("pair_id", "review_id", "domain")}
    | {"rating": Value("float32")}
    | {name: Value("string") for name in ("prompt", "teacher", "input", "target")}
)
REJECTED = Features({**PAIR, "reason": Value("string")})


if __name__ == "__main__":
    run_stage(main)
