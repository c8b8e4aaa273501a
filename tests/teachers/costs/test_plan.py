"""The plan's arithmetic, with numbers that can be checked by hand."""

import json
from dataclasses import dataclass

import pytest

from hub_tools.teachers.costs.amounts import Range
from hub_tools.teachers.costs.budget import BudgetSettings, Spent
from hub_tools.teachers.costs.counting import TokenCounter
from hub_tools.teachers.costs.estimates import Prior, Replied
from hub_tools.teachers.costs.plan import Plan, plan
from hub_tools.teachers.settings import TeacherSettings


@dataclass
class Settings(TeacherSettings, BudgetSettings):
    """What a labelling run reads from its YAML, as far as a plan needs it."""


WORDS = TokenCounter(lambda messages: len(messages[-1]["content"].split()), len, "in words")
BUILDERS = {name: lambda text: [{"role": "user", "content": text}] for name in ("analysis", "rewriting")}
REVIEWS = [{"text": " ".join(["word"] * 100)}] * 10
# 100 tokens read and 50 written by each of 20 requests, without any doubt.
KNOWN = {name: Replied(10**12, 50.0) for name in BUILDERS}


def planned(prior: Prior | None = None, n_reviews: int = 10, **values) -> Plan:
    settings = Settings(**{"teacher": "openai", "model": "gpt-4o-mini", **values})
    return plan(REVIEWS, n_reviews, BUILDERS, settings, WORDS, prior or Prior(replies=KNOWN))


def about(amount: Range) -> tuple[float, float, float]:
    return pytest.approx((amount.low, amount.mid, amount.high), rel=1e-4)


def test_requests_tokens_and_price_of_a_small_run():
    """2,000 tokens at 0.15 and 1,000 at 0.60 USD a million; at most 20 · 512 written."""
    found = planned()
    assert (found.requests, found.answered) == (20, 0)
    assert found.input_tokens == Range(2000, 2000, 2000)
    assert found.output_tokens.mid == 1000
    assert found.cost.mid == pytest.approx(0.0009)
    assert found.output_at_most == 10240
    assert found.cost_at_most == pytest.approx(0.0003 + 10240 * 0.6e-6)


def test_batches_cost_half_of_it():
    assert planned(teacher="openai-batch").cost.mid == pytest.approx(0.00045)


def test_what_the_journal_answered_costs_nothing():
    found = planned(Prior(answered=15, replies=KNOWN))
    assert (found.requests, found.answered) == (5, 15)
    assert (found.input_tokens.mid, found.output_tokens.mid) == (500, 250)
    done = planned(Prior(answered=20, replies=KNOWN))
    assert (done.requests, done.cost.high, done.output_at_most, done.doubts) == (0, 0, 0, [])


def test_time_comes_from_the_given_or_the_measured_pace():
    """1,000 tokens at 10 a second: 100 seconds, on 2 · 3 GPUs at 6 USD an hour each: 1 USD."""
    found = planned(
        teacher="vllm",
        model="m",
        throughput=10.0,
        tensor_parallel_size=2,
        pipeline_parallel_size=3,
        price_gpu_hour=6.0,
    )
    assert found.hours.mid == pytest.approx(100 / 3600)
    assert found.gpu_hours.mid == pytest.approx(600 / 3600)
    assert found.cost.mid == pytest.approx(1.0)
    measured = planned(Prior(replies=KNOWN, tokens_per_second=20.0), teacher="vllm", model="m")
    assert measured.hours.mid == pytest.approx(50 / 3600)
    assert "time: 20 tokens/s written, as measured" in measured.notes
    given = planned(Prior(replies=KNOWN, tokens_per_second=20.0), teacher="vllm", model="m", throughput=10.0)
    assert given.hours.mid == pytest.approx(100 / 3600)


def test_rate_limits_tell_the_least_time():
    """20 requests at 2 a minute by two servers: 5 minutes; 3,000 tokens at 100 a minute by each: 15."""
    servers = ["http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1"]
    found = planned(requests_per_minute=2, endpoints=servers)
    assert found.hours.mid == pytest.approx(5 / 60)
    assert planned(requests_per_minute=2, tokens_per_minute=100, endpoints=servers).hours.mid == pytest.approx(15 / 60)
    fast = planned(requests_per_minute=2, endpoints=servers, throughput=1e6)
    assert fast.hours.mid == pytest.approx(5 / 60)


def test_unknown_time_and_price_are_said_and_not_guessed():
    found = planned(endpoints=["http://127.0.0.1:8000/v1"])
    assert (found.cost, found.cost_at_most, found.hours, found.gpu_hours) == (None, None, None, None)
    assert any("give `price_input` and `price_output`" in note for note in found.notes)
    assert any("`throughput`" in note for note in found.notes)
    assert ["price", "", "unknown", "", ""] in found.as_rows()
    paid = planned(teacher="vllm", model="m", price_gpu_hour=2.0)
    assert paid.cost is None
    assert "price: $2 an hour, and the time is unknown" in paid.notes


def test_a_run_that_fits_its_limits_leaves_no_doubt():
    found = planned(max_cost=0.001, max_tokens=3001, max_hours=1, throughput=10.0)
    assert found.doubts == []


@pytest.mark.parametrize(
    ("values", "doubt"),
    [
        ({"max_cost": 0.0005}, "max_cost is $0.0005, but the run takes about $0.0009: it would stop at the limit"),
        ({"max_tokens": 2000}, "max_tokens is 2,000, but the run takes about 3,000: it would stop at the limit"),
        (
            {"max_hours": 0.02, "throughput": 10.0},
            "max_hours is 1 min, but the run takes about 2 min: it would stop at the limit",
        ),
    ],
)
def test_a_run_above_a_limit_says_which_and_by_how_much(values, doubt):
    assert planned(**values).doubts == [doubt]


def test_a_run_that_only_may_pass_a_limit_says_may():
    found = planned(Prior(), max_tokens=9000)
    assert found.input_tokens.mid + found.output_tokens.mid < 9000 < found.input_tokens.high + found.output_tokens.high
    (doubt,) = found.doubts
    assert doubt.startswith("max_tokens is 9,000; the run may take up to ")
    assert doubt.endswith("it may stop at the limit")


def test_limits_hold_for_all_sessions_together():
    prior = Prior(10, Spent(prompt_tokens=1000, completion_tokens=500, seconds=60), KNOWN)
    assert planned(prior, max_tokens=3001).doubts == []
    assert planned(prior, max_tokens=2999).doubts == [
        "max_tokens is 2,999, but the run takes about 3,000, 1,500 of it used before: it would stop at the limit"
    ]


def test_the_plan_is_a_table_and_json():
    found = planned(throughput=10.0)
    table = {row[0]: row[1:] for row in found.as_rows()}
    assert all(len(row) == 5 for row in found.as_rows())
    assert table["requests"] == ["", "20", "", ""]
    assert table["output tokens"][1] == "1,000"
    assert table["output tokens"][3] == "10,240"
    assert "GPU time" not in table
    assert json.loads(json.dumps(found.as_json()))["input_tokens"] == {"low": 2000, "mid": 2000, "high": 2000}


def test_disk_is_the_text_and_a_little_for_each_row():
    """1,000 tokens of 4.15 bytes; journal 1.2 times that and 150 bytes a row, Parquet 0.52 times and 50."""
    found = planned()
    assert found.journal_bytes.mid == pytest.approx(4150 * 1.2 + 20 * 150)
    assert found.parquet_bytes.mid == pytest.approx(4150 * 0.52 + 20 * 50)


def test_nothing_to_label_is_an_error():
    with pytest.raises(ValueError, match="there is nothing to label"):
        plan([], 0, BUILDERS, Settings(), WORDS)
    with pytest.raises(ValueError, match="there is nothing to label"):
        plan(REVIEWS, 10, {}, Settings(), WORDS)


def test_a_limit_on_an_unknown_cost_is_an_error_before_anything_runs():
    with pytest.raises(ValueError, match="`max_cost` is 5 USD, but the price of"):
        planned(endpoints=["http://127.0.0.1:8000/v1"], max_cost=5)
