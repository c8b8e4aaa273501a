"""
Asks a teacher to analyse and to rewrite reviews: the costly step, so no reply is ever lost or paid for twice.

Reads:  review files or datasets (or, for `teacher: recorded`, a file of replies that already exist).
Writes: <namespace>/<replies>, private: config `replies` as they came, config `reviews` what they are about.

accelerate launch recipes/label_reviews.py recipes/configs/demo/label_reviews.yaml
"""

import logging
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from accelerate import PartialState
from rich.console import Console
from rich.table import Table

from hub_tools.arguments import parse_arguments, run_stage
from hub_tools.hub.cards import Teacher
from hub_tools.hub.errors import PushError
from hub_tools.hub.runs import Run, digest_files, find_finished_run, start_run
from hub_tools.labelling.arguments import LabelReviews
from hub_tools.labelling.card import RepliesCard
from hub_tools.labelling.drawing import draw_reviews, source_revisions, take_recorded
from hub_tools.labelling.requests import Recorded, Shard, Wanted
from hub_tools.labelling.session import SIGNAL, Outcome, label, prompts_digest, set_aside, wanted_of
from hub_tools.labelling.upload import RepliesRepo
from hub_tools.teachers.asking import Stop
from hub_tools.teachers.journal import Journal
from hub_tools.teachers.settings import make_teacher


def main() -> None:
    arguments = parse_arguments(LabelReviews)
    if not PartialState().is_main_process:
        return
    logging.basicConfig(format="%(message)s")
    logging.getLogger("hub_tools").setLevel(logging.INFO)  # batches on their way, what a plan rests on
    arguments.check()
    if arguments.teacher == "recorded":
        return bring_recorded(arguments)
    teacher, sources = make_teacher(arguments), source_revisions(arguments)
    asked = {f"teacher {teacher.name}": teacher.revision, "prompts": prompts_digest(arguments)}
    run = start_run("label_reviews", asdict(arguments), sources | asked)
    if is_there(arguments, run):
        return

    drawn = draw_reviews(arguments, arguments.seed, sources, arguments.reviews_file, Shard.parse(arguments.shard))
    stop = Stop(at_once=arguments.teacher == "openai-batch")
    with Journal(arguments.journal_file) as journal, stop:
        wanted = wanted_of(arguments, teacher, journal)
        card = card_of(arguments, teacher, len(wanted), drawn)
        with repo_of(arguments, run, journal, card) as repo:
            if fetched := repo.fetch(wanted):
                print(f"label_reviews: {fetched:,} replies came from {arguments.repo_id}, pushed by an earlier run.")
                wanted = wanted_of(arguments, teacher, journal)
            tell_what_is_there(wanted, journal, teacher)
            try:
                outcome = label(arguments, teacher, wanted, journal, repo, stop)
            except Exception:
                push_what_there_is(arguments, repo, wanted)
                raise
            show(outcome)
            card.facts, card.run = outcome.facts, run.finish(**outcome.facts) if outcome.complete else None
            if (wanted.replied or outcome.replies) and (arguments.push_every or outcome.stopped != SIGNAL):
                repo.finish(wanted, card.run)
    conclude(arguments, outcome, wanted)


def card_of(arguments: LabelReviews, teacher: Any, wanted: int, drawn: dict) -> RepliesCard:
    """What the repo's card is written from."""
    described = Teacher(teacher.name, arguments.teacher != "lexicon", teacher.revision, teacher.sampling)
    return RepliesCard(arguments.repo_id, [described], arguments.reviews_file, wanted, drawn)


def repo_of(arguments: LabelReviews, run: Run, journal: Journal, card: RepliesCard) -> RepliesRepo:
    """The repo; the run's digest tells its shards from those of any other run."""
    reviews, every, private = arguments.reviews_file, arguments.push_every, arguments.private
    return RepliesRepo(arguments.repo_id, journal, reviews, run.digest[:8], card, every=every, private=private)


def tell_what_is_there(wanted: Wanted, journal: Journal, teacher: Any) -> None:
    """What the journal brings, and what of it this run does not want."""
    if wanted.replied:
        print(f"label_reviews: {wanted.replied:,} of {len(wanted):,} replies are in the journal; reused.")
    if wanted.refused:
        print(f"label_reviews: {wanted.refused:,} requests were refused for good; --ask_refused true asks them again.")
    if others := set_aside(journal, wanted, teacher):
        print(f"label_reviews: {others}")


def push_what_there_is(arguments: LabelReviews, repo: RepliesRepo, wanted: Wanted) -> None:
    """After an error: where replies go to the Hub on the way, none stays behind, and the card says that it stopped."""
    if arguments.push_every:
        with suppress(PushError):
            repo.finish(wanted, None)


def is_there(arguments: LabelReviews, run: Run) -> bool:
    """Whether the repo holds the result of this very run already; says so."""
    found = find_finished_run(arguments.repo_id, "dataset", run.digest) is not None
    if found:
        print(f"label_reviews: {arguments.repo_id} holds the replies of this very run; reused.")
    return found


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


def conclude(arguments: LabelReviews, outcome: Outcome, wanted: Wanted) -> None:
    """Says how it ended, and how to go on where it has not.

    Raises:
        KeyboardInterrupt: a signal stopped the run.
        SystemExit: with 3, a limit did.
        ValueError: requests failed that may get a reply when asked again, or none has one.
    """
    if outcome.stopped == SIGNAL:
        raise KeyboardInterrupt
    if outcome.refused:
        print(f"label_reviews: {sum(outcome.refused.values()):,} requests can have no reply: {told(outcome.refused)}.")
    if outcome.stopped:
        print(f"label_reviews: stopped within the budget: {outcome.stopped}. With a higher limit it goes on.")
        raise SystemExit(3)
    replied = wanted.replied + outcome.replies
    if outcome.failed or not replied:
        reasons = told(outcome.failed or outcome.refused)
        raise ValueError(
            f"{len(wanted) - replied:,} of {len(wanted):,} requests got no reply: {reasons}. The same command asks "
            "again for those that may get one."
        )
    print(f"label_reviews: pushed {arguments.repo_id}: {replied:,} of {len(wanted):,} requests are answered.")


def told(reasons: dict[str, int]) -> str:
    """The most frequent reasons with their counts."""
    most = sorted(reasons.items(), key=lambda item: -item[1])[:5]
    return "; ".join(f"{count:,} × {reason}" for reason, count in most)


if __name__ == "__main__":
    run_stage(main)
