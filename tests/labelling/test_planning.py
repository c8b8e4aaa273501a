"""`fsa plan` on files of its own: the run's reviews, its journal, and nothing left behind or disturbed."""

import csv
from itertools import islice
from pathlib import Path

import pytest

from hub_tools.labelling.arguments import LabelReviews
from hub_tools.labelling.drawing import draw_reviews, source_revisions
from hub_tools.labelling.planning import plan_run
from hub_tools.labelling.requests import reviews_of
from hub_tools.prompts import BUILDERS
from hub_tools.teachers.journal import Journal
from hub_tools.teachers.request import reply_row, requests_for
from hub_tools.teachers.settings import make_teacher


@pytest.fixture
def arguments(tmp_path):
    with (tmp_path / "reviews.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["review", "stars"])
        rows.writerows([f"Dish {number} was {'good' if number % 2 else 'bad'} today.", 5] for number in range(30))

    def made(**values) -> LabelReviews:
        settings = {"teacher": "transformers", "model": "nobody/none", "n": 20, "near_duplicates": 0.0, **values}
        return LabelReviews(
            namespace="me",
            replies="replies",
            data=str(tmp_path),
            files=["reviews.csv"],
            domain="restaurant",
            text_column="review",
            rating_column="stars",
            runs=str(tmp_path / "runs"),
            **settings,
        )

    return made


def files_below(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def test_a_plan_leaves_no_files(arguments, tmp_path):
    before = files_below(tmp_path)
    planned = plan_run(arguments())
    assert (planned.requests, planned.answered) == (40, 0)
    assert "cannot be used" in planned.notes[0]
    assert files_below(tmp_path) == before


def test_a_shard_plans_its_part(arguments):
    assert plan_run(arguments(shard="0/3")).requests == 14


def test_the_offline_teacher_is_rehearsed(arguments):
    planned = plan_run(arguments(teacher="lexicon", model="", n=30))
    assert planned.notes[1] == "analysis: replies as long as 30 of this teacher"
    assert planned.hours.high < 0.1


def test_answers_in_the_journal_are_planned_no_more_and_the_runs_sample_is_kept(arguments):
    run = arguments(teacher="lexicon")
    draw_reviews(run, run.seed, source_revisions(run), run.reviews_file)
    teacher = make_teacher(run)
    with Journal(run.journal_file) as journal:
        made_by = teacher.name, teacher.revision, teacher.sampling
        for request in islice(requests_for(reviews_of(run.reviews_file), BUILDERS, *made_by), 5):
            journal.record([reply_row(request, "x", *made_by, prompt_tokens=10, completion_tokens=5)])
    sample = run.reviews_file.read_bytes()
    planned = plan_run(run)
    assert (planned.requests, planned.answered) == (35, 5)
    smaller = plan_run(arguments(teacher="lexicon", n=10))
    assert smaller.requests < 20
    assert run.reviews_file.read_bytes() == sample


def test_a_run_at_work_is_left_alone(arguments):
    run = arguments(teacher="lexicon")
    with Journal(run.journal_file), pytest.raises(BlockingIOError, match="another process writes to this journal"):
        plan_run(run)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"teacher": "recorded"}, "nothing to pay"),
        ({"teacher": "oracle"}, "teacher 'oracle' is unknown"),
        ({"min_words": 100}, "of 30 reviews none fits"),
        ({"max_tokens": -1}, "`max_tokens` is -1"),
    ],
)
def test_what_cannot_be_planned_says_why(arguments, values, message):
    with pytest.raises(ValueError, match=message):
        plan_run(arguments(**values))
