"""
Asks a teacher to analyse and to rewrite reviews: the costly step, so no reply is ever lost or paid for twice.

Reads:  review files or datasets (or, for `teacher: recorded`, a file of replies that already exist).
Writes: <namespace>/<replies>, private: config `replies` as they came, config `reviews` what they are about.

accelerate launch recipes/label_reviews.py recipes/configs/demo/label_reviews.yaml
"""

from dataclasses import asdict
from pathlib import Path

from accelerate import PartialState
from rich.console import Console
from rich.table import Table

from hub_tools.arguments import parse_arguments, run_stage
from hub_tools.hub.cards import Teacher
from hub_tools.hub.runs import Run, digest_files, find_finished_run, start_run
from hub_tools.labelling.arguments import LabelReviews
from hub_tools.labelling.card import RepliesCard
from hub_tools.labelling.drawing import draw_reviews, source_revisions, take_recorded
from hub_tools.labelling.requests import Recorded, Shard
from hub_tools.labelling.session import Outcome, label, labelling_digest, set_aside, wanted_of
from hub_tools.labelling.upload import RepliesRepo
from hub_tools.teachers.asking import Stop
from hub_tools.teachers.journal import Journal
from hub_tools.teachers.settings import make_teacher


def main() -> None:
    arguments = parse_arguments(LabelReviews)
    if not PartialState().is_main_process:
        return
    arguments.check()
    if arguments.teacher == "recorded":
        return bring_recorded(arguments)
    teacher, sources = make_teacher(arguments), source_revisions(arguments)
    run = start_run("label_reviews", asdict(arguments), {**sources, f"teacher {teacher.name}": teacher.revision})
    if is_there(arguments, run):
        return

    drawn = draw_reviews(arguments, arguments.seed, sources, arguments.reviews_file, Shard.parse(arguments.shard))
    with Journal(arguments.journal_file) as journal, Stop() as stop:
        wanted = wanted_of(arguments, teacher, journal)
        card = RepliesCard(
            arguments.repo_id, [described(arguments, teacher)], arguments.reviews_file, len(wanted), drawn
        )
        with RepliesRepo(
            arguments.repo_id, journal, arguments.reviews_file, labelling_digest(arguments, teacher), card,
            every=arguments.push_every, private=arguments.private,
        ) as repo:  # fmt: skip
            if fetched := repo.fetch(wanted):
                print(f"label_reviews: {fetched:,} replies came from {arguments.repo_id}, pushed by an earlier run.")
                wanted = wanted_of(arguments, teacher, journal)
            if wanted.replied:
                print(f"label_reviews: {wanted.replied:,} of {len(wanted):,} replies are in the journal; reused.")
            if others := set_aside(journal, wanted, teacher):
                print(f"label_reviews: {others}")
            outcome = label(arguments, teacher, wanted, journal, repo, stop)
            show(outcome)
            card.facts, card.run = outcome.facts, run.finish(**outcome.facts) if outcome.complete else None
            if outcome.stopped != "a signal" or arguments.push_every:
                repo.finish(wanted, card.run)
    conclude(arguments, outcome, len(wanted))


def is_there(arguments: LabelReviews, run: Run) -> bool:
    """Whether the repo holds the result of this very run already; says so."""
    found = find_finished_run(arguments.repo_id, "dataset", run.digest) is not None
    if found:
        print(f"label_reviews: {arguments.repo_id} holds the replies of this very run; reused.")
    return found


def described(arguments: LabelReviews, teacher) -> Teacher:
    """The teacher, for the card."""
    return Teacher(teacher.name, arguments.teacher != "lexicon", teacher.revision, teacher.sampling)


def bring_recorded(arguments: LabelReviews) -> None:
    """Pushes replies that exist already, as if they had just come."""
    if len(arguments.files) != 1:
        raise ValueError(f"teacher 'recorded' reads one file of replies; `files` names {len(arguments.files)}.")
    path = Path(arguments.data) / arguments.files[0]
    run = start_run("label_reviews", asdict(arguments), {"files": digest_files(path)})
    if is_there(arguments, run):
        return
    replies = take_recorded(path, arguments.reviews_file)
    teacher = Teacher(replies[0]["teacher"], True, replies[0]["teacher_revision"])
    card = RepliesCard(arguments.repo_id, [teacher], arguments.reviews_file, len(replies), run=run.finish())
    with (
        Journal(arguments.journal_file) as journal,
        RepliesRepo(
            arguments.repo_id, journal, arguments.reviews_file, run.digest[:8], card, private=arguments.private
        ) as repo,
    ):
        journal.record(replies)
        repo.finish(Recorded(replies), card.run)
    print(f"label_reviews: pushed {arguments.repo_id}: {len(replies):,} recorded replies.")


def show(outcome: Outcome) -> None:
    """Planned against actual."""
    if outcome.summary:
        table = Table("", "planned", "actual", title="this session")
        for line in outcome.summary:
            table.add_row(*line)
        Console().print(table)


def conclude(arguments: LabelReviews, outcome: Outcome, wanted: int) -> None:
    """Says how it ended, and how to go on where it has not.

    Raises:
        KeyboardInterrupt: a signal stopped the run.
        ValueError: requests failed that may get a reply when asked again.
    """
    if outcome.stopped == "a signal":
        raise KeyboardInterrupt
    if outcome.stopped:
        print(
            f"label_reviews: stopped within the budget: {outcome.stopped}. What there is has been pushed to "
            f"{arguments.repo_id}; the same command with a higher limit goes on."
        )
    elif outcome.failed:
        reasons = "; ".join(f"{count:,} x {reason}" for reason, count in sorted(outcome.failed.items()))
        raise ValueError(
            f"{sum(outcome.failed.values()):,} of {wanted:,} requests got no reply ({reasons}). The others are pushed "
            f"to {arguments.repo_id}; the same command asks again for these."
        )
    else:
        print(f"label_reviews: pushed {arguments.repo_id}: {wanted:,} requests are answered.")


if __name__ == "__main__":
    run_stage(main)
