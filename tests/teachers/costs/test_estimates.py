"""Estimated tokens, against what can be counted by hand and against the published sample."""

import os
import random
from pathlib import Path
from statistics import fmean

import pytest

from hub_tools.prompts import BUILDERS
from hub_tools.teachers.costs.amounts import Range, dollars, hours, megabytes, whole
from hub_tools.teachers.costs.budget import Spent
from hub_tools.teachers.costs.counting import TokenCounter
from hub_tools.teachers.costs.estimates import LENGTHS, Prior, Replied, estimate_tokens, prior_of, rehearsed, sample
from hub_tools.teachers.journal import Journal
from hub_tools.teachers.lexicon import LexiconTeacher
from hub_tools.teachers.recorded import read_recorded
from hub_tools.teachers.request import Request, reply_row


DATA = Path(os.environ.get("FSA_DATA", Path(__file__).resolve().parents[3].parent / "shared" / "data"))
WORDS = TokenCounter(lambda messages: len(messages[-1]["content"].split()), len, "words")
ECHO = {"analysis": lambda text: [{"role": "user", "content": text}]}


def reviews(*lengths: int) -> list[dict]:
    return [{"text": " ".join(["word"] * length)} for length in lengths]


# --- The sample ------------------------------------------------------------------------------------------------------


def test_a_sample_is_the_same_for_the_same_seed_and_counts_the_stream():
    rows = [{"text": str(number)} for number in range(5000)]
    first, count = sample(iter(rows), 7, 50)
    assert (first, count) == sample(iter(rows), 7, 50)
    assert first != sample(iter(rows), 8, 50)[0]
    assert (len(first), count) == (50, 5000)


def test_a_short_stream_is_its_own_sample():
    assert sample(reviews(1, 2, 3), 0) == (reviews(1, 2, 3), 3)
    assert sample([], 0) == ([], 0)


def test_every_review_is_as_likely_to_be_in_the_sample():
    hits = [0] * 20
    for seed in range(2000):
        for row in sample([{"text": str(number)} for number in range(20)], seed, 5)[0]:
            hits[int(row["text"])] += 1
    assert all(400 < count < 600 for count in hits)  # 500 ± 5 standard deviations


# --- Input -----------------------------------------------------------------------------------------------------------


def test_when_every_review_is_counted_nothing_is_uncertain():
    tokens = estimate_tokens(reviews(2, 4, 6), 3, ECHO, 512, WORDS, {})
    assert tokens.read == Range(12, 12, 12)


def test_a_part_gives_an_interval_around_its_mean():
    """Mean 4, standard deviation 2, 3 of 300: ± 1.96 · 2 · √(1/3 - 1/300) · 300 = 675."""
    read = estimate_tokens(reviews(2, 4, 6), 300, ECHO, 512, WORDS, {}).read
    assert read.mid == 1200
    assert read.high - read.mid == pytest.approx(675, abs=1)
    assert read.low == pytest.approx(525, abs=1)


def test_an_estimating_counter_widens_the_interval():
    counter = TokenCounter(WORDS.count, WORDS.bound, "about", error=0.1)
    read = estimate_tokens(reviews(2, 4, 6), 3, ECHO, 512, counter, {}).read
    assert (read.low, read.mid, read.high) == pytest.approx((10.8, 12, 13.2))


def test_every_prompt_is_read():
    both = {"analysis": ECHO["analysis"], "rewriting": lambda text: [{"role": "user", "content": f"{text} {text}"}]}
    assert estimate_tokens(reviews(2, 4, 6), 3, both, 512, WORDS, {}).read.mid == 36


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    generator = random.Random(3)
    lengths = [round(generator.lognormvariate(2, 0.7)) + 1 for _ in range(2000)]
    held = 0
    for seed in range(300):
        some, count = sample(reviews(*lengths), seed, 100)
        read = estimate_tokens(some, count, ECHO, 512, WORDS, {}).read
        held += read.low <= sum(lengths) <= read.high
    assert 0.90 < held / 300 < 0.99


# --- Output ----------------------------------------------------------------------------------------------------------


def test_a_teachers_own_replies_tell_how_long_its_next_ones_are():
    """10,000 replies of 200 tokens: ± 1.96 · 0.4 · 200 / 100 = 1.6 tokens each."""
    tokens = estimate_tokens(reviews(5, 5), 2, ECHO, 512, WORDS, {"analysis": Replied(10_000, 200)})
    assert (tokens.written.low, tokens.written.mid, tokens.written.high) == pytest.approx((396.9, 400, 403.1), abs=0.1)
    assert "analysis: replies as long as 10,000 of this teacher" in tokens.notes


def test_a_few_replies_tell_less_than_the_published_sample():
    tokens = estimate_tokens(reviews(5), 1, ECHO, 512, WORDS, {"analysis": Replied(5, 20)})
    assert tokens.written.mid > 250
    assert "Mixtral" in tokens.notes[1]


def test_no_reply_is_planned_longer_than_allowed():
    written = estimate_tokens(reviews(5), 1, ECHO, 100, WORDS, {"analysis": Replied(5000, 300)}).written
    assert written == Range(100, 100, 100)


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no real data at {DATA}")
@pytest.mark.parametrize("prompt", ["analysis", "rewriting"])
def test_the_borrowed_lengths_are_those_of_the_published_sample(prompt):
    """Bytes over Mixtral's bytes per token (reviews 4.11, analyses 4.01, rewritings 4.80), as measured."""
    rows, replies = read_recorded(DATA / "mixtral" / "test_500_4m8d.json")
    texts = {row["review_id"]: row["text"] for row in rows}
    own = [row for row in replies if row["prompt"] == prompt]
    in_reviews = fmean(len(texts[row["review_id"]].encode()) for row in own) / 4.11
    written = sorted(len(row["reply"].encode()) / {"analysis": 4.01, "rewriting": 4.80}[prompt] for row in own)
    length = LENGTHS[prompt]
    mean = length.base + length.slope * in_reviews
    assert mean == pytest.approx(fmean(written), rel=0.02)
    assert length.short * mean == pytest.approx(written[len(written) // 20], rel=0.06)
    assert length.long * mean == pytest.approx(written[-len(written) // 20], rel=0.10)


# --- What a journal tells --------------------------------------------------------------------------------------------


class Known:
    name, revision, sampling = "m", "1", {"temperature": 0.0}


def recorded(journal: Journal, number: int, **values) -> None:
    request = Request(f"{number:032x}", f"v{number}", "", values.pop("prompt", "analysis"), [])
    made = {"teacher": "m", "revision": "1", "sampling": Known.sampling, **values}
    journal.record([reply_row(request, "x", prompt_tokens=100, completion_tokens=20 + number, **made)])


def test_a_journal_tells_what_its_own_teacher_wrote_and_used(tmp_path):
    with Journal(tmp_path / "j.sqlite") as journal:
        recorded(journal, 0)
        recorded(journal, 2)
        recorded(journal, 4, prompt="rewriting")
        own = prior_of(journal, Known(), 3)
        assert own.answered == 3
        assert own.replies == {"analysis": Replied(2, 21.0), "rewriting": Replied(1, 24.0)}
        assert (own.spent.prompt_tokens, own.spent.completion_tokens) == (300, 66)
        assert own.spent.seconds > 0
        assert own.tokens_per_second == pytest.approx(66 / own.spent.seconds)
        recorded(journal, 6, sampling={"temperature": 1.0})
        recorded(journal, 8, teacher="other")
        mixed = prior_of(journal, Known(), 3)
    assert mixed.replies == own.replies
    assert mixed.spent.completion_tokens == 66 + 26  # the same model's tokens cost the same at any temperature
    assert mixed.tokens_per_second == 0


def test_an_empty_journal_tells_nothing(tmp_path):
    with Journal(tmp_path / "j.sqlite") as journal:
        assert prior_of(journal, Known(), 0) == Prior(spent=Spent())


def test_a_free_teacher_is_rehearsed():
    rows = [{"review_id": str(number), "text": "The soup was great. The waiter was rude."} for number in range(40)]
    prior = rehearsed(Prior(), LexiconTeacher(), rows, BUILDERS)
    assert {prompt: replied.count for prompt, replied in prior.replies.items()} == dict.fromkeys(BUILDERS, 40)
    assert all(replied.mean > 5 for replied in prior.replies.values())
    assert prior.tokens_per_second > 0


# --- Amounts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (whole(1234567.8), "1,234,568"),
        (dollars(0), "$0.00"),
        (dollars(0.00421), "$0.0042"),
        (dollars(1234.5), "$1,234.50"),
        (hours(0), "0 min"),
        (hours(0.004), "14 s"),
        (hours(0.5), "30 min"),
        (hours(3.21), "3.2 h"),
        (hours(1234), "1,234 h"),
        (megabytes(300_000), "0.3 MB"),
        (megabytes(1.2e9), "1,200 MB"),
    ],
)
def test_amounts_as_people_read_them(shown, expected):
    assert shown == expected


def test_ranges_add_and_scale_edge_by_edge():
    assert Range(1, 2, 3) + Range.of(1) == Range(2, 3, 4)
    assert Range(1, 2, 3) * 2 == Range(2, 4, 6)
    assert Range(1, 2, 9).at_least(Range(3, 1, 4)) == Range(3, 2, 9)
