"""One session of a labelling run: what it will take, the asking, and what it took."""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from hub_tools.prompts import BUILDERS
from hub_tools.teachers.asking import Stop, ask
from hub_tools.teachers.costs.budget import Budget
from hub_tools.teachers.costs.counting import counter_for
from hub_tools.teachers.costs.estimates import prior_of, rehearsed, sample
from hub_tools.teachers.costs.plan import plan
from hub_tools.teachers.costs.prices import price_of
from hub_tools.teachers.costs.progress import Progress
from hub_tools.teachers.journal import Journal
from hub_tools.teachers.request import Answers, Messages, Teacher

from .arguments import LabelReviews
from .requests import Wanted, reviews_of
from .upload import RepliesRepo


logger = logging.getLogger(__name__)

SIGNAL = "a signal"


@dataclass(frozen=True)
class Outcome:
    """How a session ended.

    Attributes:
        stopped: which limit ended it, or `SIGNAL`; None when nothing was left to ask.
        replies: how many came.
        failed: requests that got no reply and may get one when asked again: their reasons, counted.
        refused: requests that can have no reply: their reasons, counted.
        summary: lines of a table: what, planned, actual.
        facts: tokens, cost and time of all sessions, and the plan, for run.json.
    """

    stopped: str | None = None
    replies: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    summary: list[list[str]] = field(default_factory=list)
    facts: dict = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Every request has a reply, or can have none."""
        return not self.stopped and not self.failed


def builders_of(arguments: LabelReviews) -> dict[str, Callable[[str], Messages]]:
    """The named prompts."""
    return {name: BUILDERS[name] for name in arguments.prompts}


def wanted_of(arguments: LabelReviews, teacher: Teacher, journal: Journal) -> Wanted:
    """The run's requests: its prompts about the drawn reviews."""
    reviews, builders = arguments.reviews_file, builders_of(arguments)
    return Wanted(lambda: reviews_of(reviews), builders, teacher, journal, arguments.ask_refused)


def prompts_digest(arguments: LabelReviews) -> str:
    """Eight digits that differ where the prompts say something else."""
    asked = [build("") for build in builders_of(arguments).values()]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:8]


def label(
    arguments: LabelReviews,
    teacher: Teacher,
    wanted: Wanted,
    journal: Journal,
    repo: RepliesRepo,
    stop: Stop,
) -> Outcome:
    """Ask for what has no answer yet, until all is answered, the budget is reached or a signal comes.

    Raises:
        ValueError: a limit on the cost of a teacher whose price nobody knows.
        Exception: what the teacher raises when it cannot go on. What was recorded stays.
    """
    counter, price = counter_for(arguments), price_of(arguments)
    prior = prior_of(journal, teacher, wanted.replied + wanted.refused)
    some, count = sample(wanted.reviews(), arguments.seed)
    if arguments.teacher == "lexicon":  # it is free to ask
        prior = rehearsed(prior, teacher, some, builders_of(arguments))
    planned = plan(some, count, builders_of(arguments), arguments, counter, prior)
    for note in planned.notes:
        logger.info("%s", note)
    budget = Budget(arguments, price, prior.spent, counter)
    journal.begin_session()
    with Progress(len(wanted) - wanted.refused, wanted.replied, teacher.name, price, planned, prior.spent) as progress:
        repo.card.progress = progress

        def after(answers: Answers) -> None:
            progress.update(answers)
            repo.after(len(answers.rows), wanted)

        ask(teacher, wanted.unanswered(), journal, budget, stop, after)
    return Outcome(
        SIGNAL if stop.asked else budget.stopped,
        progress.replies,
        _reasons(journal, wanted, final=False),
        _reasons(journal, wanted, final=True),
        progress.summary() if progress.replies or progress.failures else [],
        {"totals": journal.totals(), "cost": budget.cost, "plan": planned.as_json()},
    )


def _reasons(journal: Journal, wanted: Wanted, final: bool) -> dict[str, int]:
    reasons: dict[str, int] = {}
    for failure in journal.failures():
        if failure["final"] == final and wanted.review_ids([failure["request_id"]]) != [None]:
            reasons[failure["reason"]] = reasons.get(failure["reason"], 0) + 1
    return reasons


def set_aside(journal: Journal, wanted: Wanted, teacher: Teacher) -> str | None:
    """What the journal holds that this run does not want, in one line; None where it wants it all."""
    others = len(journal) - wanted.replied
    if not others:
        return None
    own = (teacher.name, teacher.revision, json.dumps(dict(teacher.sampling), sort_keys=True))
    strangers: dict[str, int] = {}
    for group in journal.groups():
        maker = (group["teacher"], group["teacher_revision"], group["sampling"])
        if maker != own:
            strangers[" ".join(maker)] = strangers.get(" ".join(maker), 0) + group["rows"]
    told = [f"{rows:,} by {name}" for name, rows in strangers.items()]
    if rest := others - sum(strangers.values()):
        told.append(f"{rest:,} to other prompts, or about other reviews")
    return f"{others:,} replies in {journal.path} answer something else and are set aside: {'; '.join(told)}."
