"""A budget is kept by every kind of teacher: one at a time, many at a time, in chunks, with failures."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_tools.teachers.costs.budget import Budget, BudgetSettings, Spent
from hub_tools.teachers.costs.counting import TokenCounter
from hub_tools.teachers.costs.prices import Price
from hub_tools.teachers.request import Answers, Failure, Request, reply_row
from hub_tools.teachers.settings import TeacherSettings


@dataclass
class Settings(TeacherSettings, BudgetSettings):
    """What a labelling run reads from its YAML, as far as a budget needs it."""


class Clock:
    """Seconds that pass only when someone says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Simulated:
    """A teacher with `slots` requests in flight that answers the oldest `group` of them, each at its own length."""

    def __init__(self, work: list[dict], slots: int, group: int, clock: Clock, latency: float = 1.0) -> None:
        self.work = {f"r{number}": item for number, item in enumerate(work)}
        self.slots, self.group, self.clock, self.latency = slots, group, clock, latency
        self.asked: list[str] = []

    def replies(self, requests) -> Iterator[Answers]:
        flying: list[Request] = []
        open_ = True
        while open_ or flying:
            while open_ and len(flying) < self.slots:
                request = next(requests, None)
                if request is None:
                    open_ = False
                else:
                    flying.append(request)
                    self.asked.append(request.request_id)
            some, flying = flying[: self.group], flying[self.group :]
            if some:
                self.clock.now += self.latency
                yield self.answers(some)

    def answers(self, requests: list[Request]) -> Answers:
        rows, failures = [], []
        for request in requests:
            item = self.work[request.request_id]
            if item["fails"]:
                failures.append(Failure(request, "refused"))
            else:
                tokens = {"prompt_tokens": item["prompt"], "completion_tokens": item["completion"]}
                rows.append(reply_row(request, "x", "t", "1", {}, **tokens))
        return Answers(rows, failures)


def request(number: int) -> Request:
    return Request(f"r{number}", f"v{number}", "", "analysis", [{"role": "user", "content": f"r{number}"}])


def counter_of(work: list[dict], quick: int | None = None) -> TokenCounter:
    """Knows each prompt's tokens; the bound may be above them, and the quick bound further above."""

    def bound(messages) -> int:
        item = work[int(messages[0]["content"][1:])]
        return item["prompt"] + item["slack"]

    return TokenCounter(bound, bound, "known", quick=None if quick is None else lambda m: bound(m) + quick)


def ask(teacher: Simulated, budget: Budget, requests, each=lambda: None) -> None:
    """The protocol that the module describes."""
    while True:
        before = len(teacher.asked)
        for answers in teacher.replies(budget.within(requests)):
            budget.settle(answers)
            each()
        if len(teacher.asked) == before or budget.stopped is None:
            return


WORK = st.lists(
    st.fixed_dictionaries(
        {
            "prompt": st.integers(1, 60),
            "slack": st.integers(0, 40),
            "completion": st.integers(0, 50),
            "fails": st.sampled_from([False, False, False, True]),
        }
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(WORK, st.integers(1, 16), st.integers(1, 16), st.integers(1, 3000), st.integers(0, 500), st.integers(0, 200))
def test_tokens_never_pass_their_limit_and_all_that_fits_is_asked(work, slots, group, limit, before, quick):
    settings = Settings(max_new_tokens=50, max_tokens=limit)
    clock = Clock()
    budget = Budget(settings, None, Spent(before, 0), counter_of(work, quick), clock)
    teacher = Simulated(work, slots, group, clock)
    most = max(limit, before)  # a limit that was passed before cannot be kept, but nothing is added
    ask(teacher, budget, iter(map(request, range(len(work)))), lambda: check(budget.spent.tokens <= most))
    assert teacher.asked == [f"r{number}" for number in range(len(teacher.asked))]
    if budget.stopped is None:
        assert len(teacher.asked) == len(work)
    else:
        following = work[len(teacher.asked)]
        assert budget.spent.tokens + following["prompt"] + following["slack"] + 50 > limit


def check(fact: bool) -> None:
    assert fact


@settings(max_examples=300, deadline=None)
@given(WORK, st.integers(1, 16), st.integers(1, 16), st.floats(0.001, 2), st.sampled_from([1.0, 1.25]))
def test_money_never_passes_its_limit_at_any_concurrency(work, slots, group, limit, surcharge):
    price = Price(input=500.0, output=1500.0, surcharge=surcharge)
    clock = Clock()
    budget = Budget(Settings(max_new_tokens=50, max_cost=limit), price, counter=counter_of(work), clock=clock)
    teacher = Simulated(work, slots, group, clock)
    ask(teacher, budget, iter(map(request, range(len(work)))), lambda: check(budget.cost <= limit))
    paid = [item for name, item in teacher.work.items() if name in teacher.asked and not item["fails"]]
    cost = price.at_most(sum(item["prompt"] for item in paid), sum(item["completion"] for item in paid))
    assert cost <= limit
    if all(item["prompt"] + item["completion"] for item in paid):
        assert budget.cost == pytest.approx(cost)
    assert budget.stopped or len(teacher.asked) == len(work)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 60), st.integers(1, 8), st.floats(0.5, 30), st.floats(0.01, 0.2))
def test_hours_stop_a_run_before_an_answer_would_be_late(count, slots, latency, limit):
    work = [{"prompt": 1, "slack": 0, "completion": 1, "fails": False}] * count
    clock = Clock()
    budget = Budget(Settings(max_hours=limit), None, clock=clock)
    teacher = Simulated(work, slots, slots, clock, latency)
    ask(teacher, budget, iter(map(request, range(count))))
    assert budget.spent.seconds <= max(limit * 3600, latency) + 1e-6  # how long the first takes, no one knows
    assert budget.stopped or len(teacher.asked) == count
    if budget.stopped:
        assert "max_hours" in budget.stopped


def test_time_that_costs_counts_as_money():
    """10 USD an hour: 0.1 USD is 36 seconds, and earlier sessions took 20 of them. Answers take 5 seconds."""
    work = [{"prompt": 1, "slack": 0, "completion": 1, "fails": False}] * 20
    clock = Clock()
    budget = Budget(Settings(max_cost=0.1), Price(0, 0, hour=10), Spent(seconds=20), clock=clock)
    teacher = Simulated(work, 1, 1, clock, latency=5.0)
    ask(teacher, budget, iter(map(request, range(20))))
    assert len(teacher.asked) == 3
    assert budget.spent.seconds == 35
    assert "max_cost is 0.10 USD" in budget.stopped


def test_what_came_back_cheaper_makes_room_for_another_round():
    """Worst case 10 + 50 tokens, used 10 + 5: of 130 tokens two fit at once, and five in the end."""
    work = [{"prompt": 10, "slack": 0, "completion": 5, "fails": False}] * 20
    budget = Budget(Settings(max_new_tokens=50, max_tokens=130), None, counter=counter_of(work), clock=Clock())
    requests = iter(map(request, range(20)))
    assert len(list(budget.within(requests))) == 2
    assert budget.stopped == (
        "max_tokens is 130: 0 are used, and what is in flight with one more request may take 180"
    )
    teacher = Simulated(work, 4, 4, Clock())
    budget.settle(teacher.answers([request(0), request(1)]))
    ask(teacher, budget, requests)
    assert teacher.asked == ["r2", "r3", "r4"]
    assert budget.spent == Spent(50, 25)


def test_failures_release_what_they_reserved():
    work = [{"prompt": 10, "slack": 0, "completion": 50, "fails": True}] * 9
    budget = Budget(Settings(max_new_tokens=50, max_tokens=60), None, counter=counter_of(work), clock=Clock())
    teacher = Simulated(work, 8, 8, Clock())
    ask(teacher, budget, iter(map(request, range(9))))
    assert len(teacher.asked) == 9
    assert (budget.spent.tokens, budget.stopped) == (0, None)


def test_a_reply_that_does_not_say_its_tokens_counts_as_its_worst_case():
    work = [{"prompt": 10, "slack": 5, "completion": 0, "fails": False}]
    budget = Budget(Settings(max_new_tokens=50, max_tokens=600), None, counter=counter_of(work), clock=Clock())
    list(budget.within(iter([request(0)])))
    budget.settle(Answers([reply_row(request(0), "x", "t", "1", {})]))
    assert budget.spent == Spent(15, 50)


def test_the_request_that_did_not_fit_is_the_first_of_the_next_round():
    work = [{"prompt": 10, "slack": 0, "completion": 0, "fails": True}] * 3
    budget = Budget(Settings(max_new_tokens=5, max_tokens=15), None, counter=counter_of(work), clock=Clock())
    requests = iter(map(request, range(3)))
    (first,) = budget.within(requests)
    assert list(budget.within(requests)) == []
    budget.settle(Answers([], [Failure(first, "refused")]))
    assert [found.request_id for found in budget.within(requests)] == ["r1"]


def test_the_same_request_twice_in_flight_reserves_once():
    work = [{"prompt": 10, "slack": 0, "completion": 0, "fails": True}]
    budget = Budget(Settings(max_new_tokens=5, max_tokens=30), None, counter=counter_of(work), clock=Clock())
    assert len(list(budget.within(iter([request(0)] * 5)))) == 5


def test_without_limits_nothing_is_counted_and_everything_passes():
    def forbidden(messages):
        raise AssertionError

    budget = Budget(Settings(), None, counter=TokenCounter(forbidden, forbidden, "never"))
    assert len(list(budget.within(map(request, range(1000))))) == 1000
    assert budget.cost is None


def test_answers_to_requests_of_an_earlier_session_are_counted():
    budget = Budget(Settings(), Price(1.0, 2.0), Spent(1000, 500))
    budget.settle(Answers([reply_row(request(0), "x", "t", "1", {}, prompt_tokens=10, completion_tokens=5)]))
    assert (budget.spent.prompt_tokens, budget.spent.completion_tokens) == (1010, 505)
    assert budget.cost == pytest.approx(0.00202)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_cost": -1}, "`max_cost` is -1; allowed: a number from 0"),
        ({"max_tokens": -5}, "`max_tokens` is -5"),
        ({"max_hours": float("nan")}, "`max_hours` is nan"),
        (
            {"max_cost": 5, "teacher": "openai", "model": "m", "endpoints": ["http://127.0.0.1:8000/v1"]},
            "`max_cost` is 5 USD, but the price of m at http://127.0.0.1:8000/v1 is unknown; give `price_input` and "
            "`price_output`",
        ),
    ],
)
def test_limits_that_cannot_be_kept_are_refused(values, message):
    with pytest.raises(ValueError) as refused:
        Budget(Settings(**values), None)
    assert message in str(refused.value)
