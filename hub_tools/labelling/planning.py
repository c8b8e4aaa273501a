"""What a labelling run will take, told beforehand. It asks nobody, loads no weights and leaves no files."""

import shutil
import tempfile
from pathlib import Path

from hub_tools.prompts import BUILDERS
from hub_tools.teachers.costs.counting import counter_for
from hub_tools.teachers.costs.estimates import NO_PRIOR, prior_of, rehearsed, sample
from hub_tools.teachers.costs.plan import Plan, plan
from hub_tools.teachers.journal import Journal
from hub_tools.teachers.settings import make_teacher

from .arguments import LabelReviews
from .drawing import draw_reviews, source_revisions
from .requests import Shard, Wanted, reviews_of


def plan_run(arguments: LabelReviews) -> Plan:
    """The plan of what a run with these arguments has still to do.

    The reviews are drawn as the run draws them, but aside: a run that is at work keeps its sample. Where the run's
    journal exists, what it answered is not planned again, and its replies tell how long the teacher's are.

    Raises:
        ValueError: reviews or settings that cannot be planned with.
        BlockingIOError: a run is writing to the journal.
    """
    arguments.check()
    if arguments.teacher == "recorded":
        raise ValueError("teacher 'recorded' brings replies that exist: there is nothing to ask and nothing to pay")
    builders, prior = {name: BUILDERS[name] for name in arguments.prompts}, NO_PRIOR
    with tempfile.TemporaryDirectory(prefix="fsa-plan-") as folder:
        path = Path(folder) / "reviews.parquet"
        for drawn in (arguments.reviews_file, arguments.reviews_file.with_suffix(".json")):
            if drawn.is_file():
                shutil.copyfile(drawn, path.with_suffix(drawn.suffix))
        draw_reviews(arguments, arguments.seed, source_revisions(arguments), path, Shard.parse(arguments.shard))
        some, count = sample(reviews_of(path), arguments.seed)
        if arguments.journal_file.is_file():
            teacher = make_teacher(arguments)
            with Journal(arguments.journal_file) as journal:
                wanted = Wanted(lambda: reviews_of(path), builders, teacher, journal)
                prior = prior_of(journal, teacher, wanted.replied + wanted.refused)
    if arguments.teacher == "lexicon":
        prior = rehearsed(prior, make_teacher(arguments), some, builders)
    planned = plan(some, count, builders, arguments, counter_for(arguments), prior)
    shards = Shard.parse(arguments.shard).count
    if count * shards < arguments.n:
        planned.notes.insert(0, f"{count * shards:,} of the {arguments.n:,} reviews asked for fit and are distinct")
    if shards > 1:
        planned.notes.insert(0, f"one of {shards} jobs; limits and rates hold for each of them")
    return planned
