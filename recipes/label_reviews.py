"""
Asks a teacher to analyse and to rewrite reviews: the costly step, so no reply is ever lost or asked for twice.

Reads:  review files (or, for `teacher: recorded`, a file of replies that already exist).
Writes: <namespace>/<replies>, private: config `replies` as they came, config `reviews` what they are about.

accelerate launch recipes/label_reviews.py recipes/configs/demo/label_reviews.yaml
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path

from accelerate import PartialState
from datasets import Dataset, Features, Value
from tqdm.auto import tqdm

from hub_tools.arguments import parse_arguments, run_stage
from hub_tools.hub.cards import DatasetFacts, Source, Teacher, dataset_card
from hub_tools.hub.push import push_dataset
from hub_tools.hub.runs import Run, digest_files, find_finished_run, start_run
from hub_tools.prompts import BUILDERS
from hub_tools.reviews.readers import read_reviews, sample_reviews
from hub_tools.teachers.journal import Journal
from hub_tools.teachers.lexicon import LexiconTeacher
from hub_tools.teachers.recorded import read_recorded
from hub_tools.teachers.request import requests_for


@dataclass
class LabelReviews:
    namespace: str = field(metadata={"help": "user or organisation that owns the repo"})
    data: str = field(metadata={"help": "folder that holds the files"})
    files: list[str] = field(metadata={"help": "review files or folders, below `data`"})
    replies: str = field(metadata={"help": "name of the repo to write, e.g. replies-lexicon"})
    teacher: str = field(default="lexicon", metadata={"help": "`lexicon`, `transformers` or `recorded`"})
    hub: str = field(default="embedded", metadata={"help": "`embedded`, or the URL of a Hub"})
    private: bool = field(default=True, metadata={"help": "reviews come with terms of their own: keep this private"})
    runs: str = field(default="build/runs", metadata={"help": "folder for the journal"})
    prompts: list[str] = field(default_factory=lambda: list(BUILDERS), metadata={"help": "analysis, rewriting"})
    n: int = field(default=100_000, metadata={"help": "reviews to label, of those that fit"})
    scheme: str = field(default="R12421", metadata={"help": "sampling weight of 1 to 5 stars"})
    min_words: int = field(default=3, metadata={"help": "shortest review"})
    max_words: int = field(default=180, metadata={"help": "longest review"})
    seed: int = field(default=42, metadata={"help": "of the sample"})
    chunk: int = field(default=256, metadata={"help": "replies between two commits to the journal"})
    model: str = field(default="", metadata={"help": "transformers: Hub id of a causal LM"})
    model_revision: str = field(default="main", metadata={"help": "transformers: its revision"})
    max_new_tokens: int = field(default=512, metadata={"help": "transformers: longest reply"})
    temperature: float = field(default=0.0, metadata={"help": "transformers: 0 decodes greedily"})
    batch_size: int = field(default=8, metadata={"help": "transformers: prompts at a time"})
    dtype: str = field(default="bfloat16", metadata={"help": "transformers: of the weights"})


def main() -> None:
    arguments = parse_arguments(LabelReviews)
    if not PartialState().is_main_process:
        return
    repo_id = f"{arguments.namespace}/{arguments.replies}"
    paths = [Path(arguments.data) / name for name in arguments.files]
    if arguments.teacher == "recorded" and len(paths) != 1:
        raise ValueError(f"teacher 'recorded' reads one file of replies; `files` names {len(paths)}.")
    teacher = None if arguments.teacher == "recorded" else make_teacher(arguments)
    inputs = {"files": digest_files(*paths)} | ({f"teacher {teacher.name}": teacher.revision} if teacher else {})
    run = start_run("label_reviews", asdict(arguments), inputs)
    if find_finished_run(repo_id, "dataset", run.digest):
        print(f"label_reviews: {repo_id} holds the replies of this very run; reused.")
        return

    if teacher:
        everything = [review for path in paths for review in read_reviews(path)]
        reviews = sample_reviews(
            everything, arguments.n, arguments.seed, arguments.scheme, arguments.min_words, arguments.max_words
        )
        replies = label(reviews, teacher, arguments)
    else:
        reviews, replies = read_recorded(paths[0])
    push(repo_id, reviews, replies, arguments, run.finish())
    print(f"label_reviews: pushed {repo_id}: {len(replies)} replies about {len(reviews)} reviews.")


def make_teacher(arguments: LabelReviews):
    """The teacher named; transformers is loaded only when asked for."""
    unknown = sorted(set(arguments.prompts) - set(BUILDERS))
    if unknown:
        raise ValueError(f"unknown prompt {', '.join(unknown)}; allowed: {', '.join(BUILDERS)}.")
    if arguments.teacher == "lexicon":
        return LexiconTeacher()
    if arguments.teacher == "transformers":
        from hub_tools.teachers.transformers_lm import TransformersTeacher

        if not arguments.model:
            raise ValueError("teacher 'transformers' needs `model`, the Hub id or folder of a causal LM.")
        return TransformersTeacher(
            arguments.model,
            arguments.model_revision,
            arguments.max_new_tokens,
            arguments.temperature,
            arguments.batch_size,
            arguments.dtype,
            arguments.seed,
        )
    raise ValueError(f"teacher '{arguments.teacher}' is unknown; allowed: lexicon, transformers, recorded.")


def label(reviews: list[dict], teacher, arguments: LabelReviews) -> list[dict]:
    """Asks for the replies that the journal does not hold yet, chunk by chunk, and returns them all in order."""
    builders = {name: BUILDERS[name] for name in arguments.prompts}
    wanted = list(requests_for(reviews, builders, teacher.name, teacher.revision, teacher.sampling))
    with Journal(Path(arguments.runs) / f"{arguments.replies}.sqlite") as journal:
        done = journal.done()
        open_ = [request for request in wanted if request.request_id not in done]
        if len(open_) < len(wanted):
            print(f"label_reviews: {len(wanted) - len(open_)} of {len(wanted)} replies are in the journal; reused.")
        with tqdm(total=len(wanted), initial=len(wanted) - len(open_), unit="reply", desc=teacher.name) as bar:
            for start in range(0, len(open_), arguments.chunk):
                chunk = open_[start : start + arguments.chunk]
                journal.record(teacher.reply(chunk))
                bar.update(len(chunk))
        found = {row["request_id"]: row for row in journal.rows()}
    return [found[request.request_id] | {"review_id": request.review_id} for request in wanted]


def push(repo_id: str, reviews: list[dict], replies: list[dict], arguments: LabelReviews, run: Run) -> None:
    """Pushes replies and reviews with a card."""
    tables = {
        "replies": {"train": Dataset.from_list(replies)},
        "reviews": {"train": Dataset.from_list(reviews, features=REVIEW_FEATURES)},
    }
    names = sorted({row["teacher"] for row in replies})
    card = dataset_card(
        DatasetFacts(
            repo_id=repo_id,
            kind="replies",
            title=f"Replies of {', '.join(names)}",
            configs={name: {split: len(rows) for split, rows in splits.items()} for name, splits in tables.items()},
            sources=[
                Source("the reviews' publishers", "their own terms; not for redistribution", note="Keep it private.")
            ],
            teachers=[
                Teacher(name, is_llm=name != "lexicon", revision=replies[0]["teacher_revision"]) for name in names
            ],
            run=run,
        )
    )
    push_dataset(tables, repo_id, card, private=arguments.private, run=run)


REVIEW_FEATURES = Features(
    {
        "review_id": Value("string"),
        "domain": Value("string"),
        "text": Value("string"),
        "rating": Value("float32"),
        "source": Value("string"),
    }
)


if __name__ == "__main__":
    run_stage(main)
