"""
Turns the official files of the FSA benchmark into one Hub dataset.

Reads:  <data>/fsa_datasets/w_hard (laid out as the authors published it).
Writes: <namespace>/fsa-benchmark, a config per task and domain; splits train, validation, test, test_hard.

accelerate launch recipes/build_benchmark.py recipes/configs/demo/build_benchmark.yaml
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path

from accelerate import PartialState
from datasets import Dataset

from hub_tools.arguments import parse_arguments, run_stage
from hub_tools.benchmarks import fsa
from hub_tools.hub.cards import DatasetFacts, Source, dataset_card
from hub_tools.hub.push import push_dataset
from hub_tools.hub.runs import digest_files, find_finished_run, start_run


@dataclass
class BuildBenchmark:
    namespace: str = field(metadata={"help": "user or organisation that owns the repo"})
    data: str = field(metadata={"help": "folder that holds fsa_datasets/w_hard"})
    hub: str = field(default="embedded", metadata={"help": "`embedded`, or the URL of a Hub"})
    private: bool = field(default=True, metadata={"help": "the official files state no licence: keep them private"})
    configs: list[str] = field(default_factory=lambda: list(fsa.CONFIGS), metadata={"help": "which configs to build"})
    origin: str = field(default="official", metadata={"help": "`official` files, or the `generated` sample"})


def main() -> None:
    arguments = parse_arguments(BuildBenchmark)
    if not PartialState().is_main_process:
        return
    repo_id = f"{arguments.namespace}/fsa-benchmark"
    files = Path(arguments.data) / "fsa_datasets"
    run = start_run("build_benchmark", asdict(arguments), inputs={"fsa_datasets": digest_files(files)})
    if find_finished_run(repo_id, "dataset", run.digest):
        print(f"build_benchmark: {repo_id} holds this very benchmark; reused.")
        return

    benchmark = {config: fsa.build(Path(arguments.data), config) for config in arguments.configs}
    run = run.finish()
    push_dataset(
        to_datasets(benchmark), repo_id, card(repo_id, benchmark, arguments, run), private=arguments.private, run=run
    )
    print(f"build_benchmark: pushed {repo_id}: {', '.join(benchmark)}.")


def to_datasets(benchmark: dict[str, dict[str, list[dict]]]) -> dict[str, dict[str, Dataset]]:
    """Rows of each config and split with the contract's features, which lists of None would not tell."""
    return {
        config: {split: Dataset.from_list(rows, features=fsa.FEATURES) for split, rows in splits.items()}
        for config, splits in benchmark.items()
    }


def card(repo_id: str, benchmark: dict, arguments: BuildBenchmark, run) -> str:
    """The dataset card, with the counts of the paper's Table 2 as they come out of these files."""
    generated = arguments.origin == "generated"
    return dataset_card(
        DatasetFacts(
            repo_id=repo_id,
            kind="benchmark",
            title="FSA benchmark" + (" (generated sample)" if generated else ""),
            summary=SAMPLE if generated else OFFICIAL,
            configs={name: {split: len(rows) for split, rows in splits.items()} for name, splits in benchmark.items()},
            sources=[SAMPLE_SOURCE] if generated else OFFICIAL_SOURCES,
            counts=[
                {"config": config, "split": split, **fsa.summary(rows)}
                for config, splits in benchmark.items()
                for split, rows in splits.items()
            ],
            run=run,
            limits=SAMPLE_LIMITS if generated else OFFICIAL_LIMITS,
        )
    )


OFFICIAL = (
    "Targeted (TSA) and aspect-level (ASA) sentiment analysis of restaurant and laptop reviews, as paper 1 "
    "(arXiv 2412.18552, section 3) evaluates it: SemEval 2014 and 2016 with hard sentences added to the test sets."
)
OFFICIAL_SOURCES = [
    Source(
        "SemEval-2014 Task 4 and SemEval-2016 Task 5", "not stated in the files", "https://aclanthology.org/S14-2004"
    ),
    Source("FSA-Distillation, `fsa_datasets/w_hard`", "none stated", "https://github.com/HITSZ-HLT/FSA-Distillation"),
]
OFFICIAL_LIMITS = [
    "Train and validation are a random split of sentences, so reviews overlap between them.",
    "A few test sentences also occur in train (Rest14 2, Rest16 7, Laptop16 3), and across the sets.",
    "Opinion words are annotated in the test sets only; `implicit` is null elsewhere.",
]
SAMPLE = (
    "Sentences made by the seeded generator of FSA-Distill, in the form of the FSA benchmark (arXiv 2412.18552). They "
    "let the whole way run anywhere; scores on them say nothing about real reviews."
)
SAMPLE_SOURCE = Source("`hub_tools.reviews.sample` of FSA-Distill", "Apache-2.0")
SAMPLE_LIMITS = ["Composed from templates: far easier and far less varied than real reviews."]


if __name__ == "__main__":
    run_stage(main)
