"""Progress as its reader sees it, in a terminal and in a log file; and what was planned against what was."""

import io

import pytest

from hub_tools.teachers.costs.budget import Spent
from hub_tools.teachers.costs.prices import Price
from hub_tools.teachers.costs.progress import Progress
from hub_tools.teachers.request import Answers, Failure, Request, reply_row


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def answers(count: int, failed: int = 0) -> Answers:
    request = Request("r", "v", "", "analysis", [])
    row = reply_row(request, "x", "t", "1", {}, prompt_tokens=100, completion_tokens=50)
    return Answers([row] * count, [Failure(request, "refused")] * failed)


def test_a_log_file_gets_a_line_now_and_then_and_one_at_the_end(clock):
    log = io.StringIO()
    price = Price(1.0, 2.0)
    with Progress(100, 20, "gpt", price, before=Spent(2000, 1000), file=log, clock=clock, every=30) as progress:
        for _ in range(7):
            clock.now += 10
            progress.update(answers(10))
        clock.now += 5
        progress.update(answers(8, failed=2))
    assert log.getvalue().splitlines() == [
        "gpt: 50 of 100 replies, 1.0 replies/s, 50 s left, 50 tokens/s, $0.0100",
        "gpt: 80 of 100 replies, 1.0 replies/s, 20 s left, 50 tokens/s, $0.0160",
        "gpt: 98 of 100 replies, 1.0 replies/s, 52 tokens/s, $0.0196, 2 failed",
    ]


def test_no_money_is_shown_where_the_price_is_unknown(clock):
    log = io.StringIO()
    with Progress(10, file=log, clock=clock) as progress:
        clock.now += 2
        progress.update(answers(10))
    assert log.getvalue() == "10 of 10 replies, 5.0 replies/s, 250 tokens/s\n"
    assert progress.summary()[3] == ["price", "–", "unknown"]


def test_a_terminal_gets_a_bar(clock):
    screen = Terminal()
    with Progress(100, 20, "gpt", Price(1.0, 2.0), file=screen, clock=clock) as progress:
        clock.now += 10
        progress.update(answers(80, failed=1))
    shown = screen.getvalue()
    assert "gpt: 100%" in shown
    assert "100/100" in shown
    assert "400 tokens/s, $0.0160, 1 failed" in shown


def test_nothing_yet_is_no_division_by_zero(clock):
    log = io.StringIO()
    with Progress(0, file=log, clock=clock, every=0) as progress:
        progress.update(Answers([]))
    assert progress.summary()[0] == ["replies", "–", "0"]
    assert log.getvalue().count("0 of 0 replies") == 2


def test_the_clock_stops_when_it_is_closed(clock):
    progress = Progress(10, file=io.StringIO(), clock=clock)
    clock.now += 7200
    progress.update(answers(10, failed=1))
    progress.close()
    clock.now += 3600
    progress.close()
    assert progress.used == Spent(1000, 500, 7200)
    assert progress.summary() == [
        ["replies", "–", "10, 1 failed"],
        ["input tokens", "–", "1,000"],
        ["output tokens", "–", "500"],
        ["price", "–", "unknown"],
        ["time", "–", "2.0 h"],
    ]
