"""
Turns the official files of the FSA benchmark, and the public quadruple sets, into one Hub dataset.

Reads:  <data>/fsa_datasets/w_hard and <data>/quads (laid out as their authors published them).
Writes: <namespace>/fsa-benchmark, a config per task and domain; splits train, validation, test, test_hard.

accelerate launch recipes/build_benchmark.py recipes/configs/demo/build_benchmark.yaml
"""

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

from accelerate import PartialState
from datasets import Dataset

from hub_tools.arguments import parse_arguments, run_stage
from hub_tools.benchmarks import fsa, quads
from hub_tools.benchmarks.card import CONFIGS, check_configs, counts, limits, origins, said_changes
from hub_tools.benchmarks.registration import FILE, eval_yaml
from hub_tools.corpus.leaks import cross_set_leaks
from hub_tools.hub.cards import DatasetFacts, Source, dataset_card
from hub_tools.hub.push import push_dataset
from hub_tools.hub.runs import Run, digest_files, find_finished_run, start_run


@dataclass
class BuildBenchmark:
    namespace: str = field(metadata={"help": "user or organisation that owns the repo"})
    data: str = field(metadata={"help": "folder that holds fsa_datasets/w_hard and quads"})
    hub: str = field(default="embedded", metadata={"help": "`embedded`, or the URL of a Hub"})
    private: bool = field(default=True, metadata={"help": "the official files state no licence: keep them private"})
    configs: list[str] = field(default_factory=lambda: list(CONFIGS), metadata={"help": "which configs to build"})
    quads: str = field(default="detokenised", metadata={"help": "form of the quads: `detokenised`, or `raw`"})
    origin: str = field(default="official", metadata={"help": "`official` files, or the `generated` sample"})


def main() -> None:
    arguments = parse_arguments(BuildBenchmark)
    if not PartialState().is_main_process:
        return
    repo_id, data = f"{arguments.namespace}/fsa-benchmark", Path(arguments.data)
    configs = at_hand(arguments.configs, data)
    inputs = {name: digest_files(data / name) for name in dict.fromkeys(map(folder_of, configs))}
    run = start_run("build_benchmark", {**asdict(arguments), "configs": configs}, inputs)
    if find_finished_run(repo_id, "dataset", run.digest):
        print(f"build_benchmark: {repo_id} holds this very benchmark; reused.")
        return

    changes = {config: Counter() for config in configs}
    benchmark = {config: build(data, config, arguments.quads, changes[config]) for config in configs}
    facts = card(repo_id, benchmark, changes, arguments, run.finish())
    push_dataset(
        to_datasets(benchmark),
        repo_id,
        dataset_card(facts),
        private=arguments.private,
        run=facts.run,
        pictures={FILE: eval_yaml(facts.title, facts.summary, configs).encode()},
    )
    print(f"build_benchmark: pushed {repo_id}: {', '.join(benchmark)}.")


def at_hand(configs: list[str], data: Path) -> list[str]:
    """The configs to build: without the quads, which come from elsewhere, where there is no folder of them."""
    check_configs(configs)
    if (data / "quads").exists():
        return configs
    kept = [config for config in configs if config in fsa.CONFIGS]
    left_out = [config for config in configs if config not in kept]
    if kept and left_out:
        print(f"build_benchmark: there is no folder {data / 'quads'}: without {', '.join(left_out)}.")
    return kept or configs


def folder_of(config: str) -> str:
    """The folder below `data` that a config is read from."""
    return "quads" if config in quads.CONFIGS else "fsa_datasets"


def build(data: Path, config: str, form: str, changes: Counter) -> dict[str, list[dict]]:
    """The rows of each split of a config."""
    if config in quads.CONFIGS:
        return quads.build(data, config, form, changes)
    return fsa.build(data, config, changes)


def to_datasets(benchmark: dict[str, dict[str, list[dict]]]) -> dict[str, dict[str, Dataset]]:
    """Rows of each config and split with the contract's features, which lists of None would not tell."""
    return {
        config: {split: Dataset.from_list(rows, features=fsa.FEATURES) for split, rows in splits.items()}
        for config, splits in benchmark.items()
    }


def card(
    repo_id: str, benchmark: dict, changes: dict[str, Counter], arguments: BuildBenchmark, run: Run
) -> DatasetFacts:
    """What the card says: where the sets come from, and counts and leaks as they come out of these files."""
    generated = arguments.origin == "generated"
    sentences = {
        config: {split: [row["sentence"] for row in rows] for split, rows in splits.items()}
        for config, splits in benchmark.items()
    }
    official = [
        Source(origin.name, origin.licence, origin.url, f"{origin.note} ({', '.join(origin.configs)})")
        for origin in origins(benchmark, arguments.quads)
    ]
    return DatasetFacts(
        repo_id=repo_id,
        kind="benchmark",
        title="FSA benchmark" + (" (generated sample)" if generated else ""),
        summary=SAMPLE if generated else OFFICIAL,
        configs={name: {split: len(rows) for split, rows in splits.items()} for name, splits in benchmark.items()},
        sources=[SAMPLE_SOURCE] if generated else official,
        counts=counts(benchmark),
        contamination=cross_set_leaks(sentences),
        run=run,
        limits=SAMPLE_LIMITS if generated else [*limits(benchmark, arguments.quads), *said_changes(changes)],
    )


OFFICIAL = (
    "Targeted (TSA), aspect-level (ASA) and quadruple (ACOS, ASQP) sentiment analysis of restaurant and laptop "
    "reviews, as paper 1 (arXiv 2412.18552, section 3 and Table 13) evaluates it: SemEval 2014 and 2016 with hard "
    "sentences added to the test sets, and the public quadruple sets."
)
SAMPLE = (
    "Sentences made by the seeded generator of FSA-Distill, in the form of the FSA benchmark (arXiv 2412.18552). They "
    "let the whole way run anywhere; scores on them say nothing about real reviews."
)
SAMPLE_SOURCE = Source("`hub_tools.reviews.sample` of FSA-Distill", "Apache-2.0")
SAMPLE_LIMITS = ["Composed from templates: far easier and far less varied than real reviews."]


if __name__ == "__main__":
    run_stage(main)
