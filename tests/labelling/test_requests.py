"""What a labelling run wants, what of it is answered, and how jobs share it."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from hub_tools.labelling.requests import Recorded, Shard, Wanted, reviews_of
from hub_tools.prompts import BUILDERS
from hub_tools.teachers.journal import Journal
from hub_tools.teachers.lexicon import LexiconTeacher
from hub_tools.teachers.request import Failure


TEACHER = LexiconTeacher()
REVIEWS = [{"review_id": f"r{number}", "text": f"The soup number {number} was superb."} for number in range(7)]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal.sqlite") as journal:
        yield journal


def wanted(journal: Journal, reviews: list[dict] = REVIEWS) -> Wanted:
    return Wanted(lambda: iter(reviews), BUILDERS, TEACHER, journal)


@pytest.mark.parametrize("text", ["4/4", "1", "a/b", "-1/3", "1/0", "0/4 "])
def test_a_malformed_shard_says_what_is_expected(text):
    with pytest.raises(ValueError, match=r"expected i/n with i from 0 to n - 1"):
        Shard.parse(text)


def test_shards_share_the_reviews_without_overlap_or_gap(tmp_path):
    path = tmp_path / "reviews.parquet"
    parquet.write_table(arrow.Table.from_pylist(REVIEWS), path)
    parts = [list(Shard.parse(f"{index}/3").part(reviews_of(path))) for index in range(3)]
    assert [len(part) for part in parts] == [3, 2, 2]
    assert sorted(row["review_id"] for part in parts for row in part) == [row["review_id"] for row in REVIEWS]
    assert list(Shard.parse("").part(reviews_of(path))) == REVIEWS
    assert (Shard.parse("1/3").suffix, Shard.parse("").suffix) == ("-1-of-3", "")


def test_only_what_has_no_answer_is_asked_for_and_in_order(journal):
    everything = wanted(journal)
    requests = list(everything.unanswered())
    assert (len(everything), everything.left, len(requests)) == (14, 14, 14)
    journal.record(TEACHER.reply(requests[3:9]), [Failure(requests[0], "too long", final=True)])
    journal.record([], [Failure(requests[1], "HTTP 500 ×6", final=False)])
    later = wanted(journal)
    assert (later.replied, later.refused, later.left) == (6, 1, 7)
    assert list(later.unanswered()) == [requests[1], requests[2], *requests[9:]]


def test_a_review_that_goes_by_another_name_now_keeps_its_replies(journal):
    journal.record(TEACHER.reply(list(wanted(journal).unanswered())))
    renamed = [{**row, "review_id": f"new-{row['review_id']}"} for row in reversed(REVIEWS)]
    again = wanted(journal, renamed)
    assert again.left == 0
    row = next(row for _, row in journal.rows())
    assert (row["review_id"], again.review_ids([row["request_id"], "0" * 32])) == ("r0", ["new-r0", None])


def test_no_reviews_want_nothing(journal):
    nothing = wanted(journal, [])
    assert (len(nothing), list(nothing.unanswered()), nothing.review_ids(["0" * 32])) == (0, [], [None])


def test_recorded_replies_are_about_the_reviews_they_name():
    recorded = Recorded([{"request_id": "a", "review_id": "r1"}])
    assert recorded.review_ids(["a", "b"]) == ["r1", None]
