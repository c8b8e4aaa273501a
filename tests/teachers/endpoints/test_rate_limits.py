"""Limits per minute, and how long a server asks us to wait, on a clock that goes as the test says."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tools.teachers.endpoints.endpoint_pool import DOWN, TOLERATED, Endpoint, EndpointError, Pool
from hub_tools.teachers.endpoints.rate_limits import Clock, Window, asked_to_wait, seconds_of


class SetClock(Clock):
    """Time passes only when someone sleeps."""

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


def _endpoint(clock: Clock, requests: int = 0, tokens: int = 0) -> Endpoint:
    return Endpoint("http://127.0.0.1:1/v1", None, requests, tokens, clock)


@given(st.integers(1, 500), st.lists(st.tuples(st.floats(0, 30), st.floats(0.1, 1.0)), min_size=1, max_size=300))
def test_no_minute_holds_more_than_the_limit_wherever_it_starts(limit: int, steps: list[tuple[float, float]]):
    clock, taken = SetClock(), []
    window = Window(limit, clock)
    for rest, share in steps:
        clock.time += rest
        amount = share * min(limit / 10, 20)
        while (wait := window.wait(amount)) > 0:
            clock.time += wait
        window.take(amount)
        taken.append((clock.now(), amount))
    for start, _ in taken:
        assert sum(amount for time, amount in taken if start <= time < start + 60) <= limit * (1 + 1e-6)


@given(st.integers(1, 600), st.integers(1, 3))
def test_one_who_asks_steadily_gets_the_whole_limit(limit: int, minutes: int):
    clock, given_out = SetClock(), 0
    window = Window(limit, clock)
    end = clock.now() + 60 * minutes
    while True:
        clock.time += window.wait(1)
        if clock.now() >= end:
            break
        window.take(1)
        given_out += 1
    assert given_out >= minutes * (limit // 10 * 10 if limit >= 100 else limit)


def test_an_amount_above_the_limit_is_given_alone_and_paid_back():
    clock = SetClock()
    window = Window(1000, clock)
    assert window.wait(3000) == 0
    window.take(3000)
    assert window.wait(1) == pytest.approx(180)  # three minutes' worth
    clock.time += 180
    assert window.wait(1) == 0


def test_what_was_reserved_and_not_used_is_free_again():
    clock = SetClock()
    window = Window(1000, clock, usual=2000)
    grant = window.take(900)
    assert window.wait(200) == 60
    window.settle(grant, 300)
    assert window.wait(200) == 0
    clock.time += 60
    assert window.wait(1000) == 0
    window.settle(grant, 1)  # long gone: changes nothing
    assert window.wait(1000) == 0


def test_no_limit_never_waits():
    window = Window(0, SetClock())
    for _ in range(100):
        window.take(10**9)
    assert window.wait(10**9) == 0


def test_a_large_limit_comes_evenly():
    clock = SetClock()
    window = Window(600, clock)
    for _ in range(60):
        assert window.wait(1) == 0
        window.take(1)
    assert window.wait(1) == 6


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0"}, 0.0),
        ({"x-ratelimit-reset-requests": "6m0s", "x-ratelimit-reset-tokens": "20ms"}, 0.02),
        (
            {
                "x-ratelimit-reset-requests": "2s",
                "x-ratelimit-reset-tokens": "1m1s",
                "x-ratelimit-remaining-requests": "17",
                "x-ratelimit-remaining-tokens": "0",
            },
            61.0,
        ),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_a_server_says_how_long_to_wait_in_several_ways(headers: dict[str, str], seconds: float | None):
    assert asked_to_wait(headers) == seconds


def test_a_server_may_say_when_instead_of_how_long():
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    assert 95 < asked_to_wait({"retry-after": date}) <= 100
    assert asked_to_wait({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0


@given(st.text())
def test_no_header_is_too_odd_to_be_read(value: str):
    seconds = seconds_of(value)
    assert seconds is None or seconds >= 0
    asked_to_wait({"retry-after": value, "retry-after-ms": value, "x-ratelimit-reset-tokens": value})


def test_the_least_busy_server_takes_the_next_request():
    clock = SetClock()
    servers = [_endpoint(clock) for _ in range(3)]
    pool = Pool(servers, clock)

    async def enter(times: int) -> None:
        for _ in range(times):
            await pool.enter(10)

    asyncio.run(enter(7))
    assert sorted(server.in_flight for server in servers) == [2, 2, 3]


def test_a_server_over_its_limit_leaves_the_work_to_the_others_and_takes_its_share_later():
    clock = SetClock()
    slow, fast = _endpoint(clock, requests=2), _endpoint(clock, requests=4)
    pool = Pool([slow, fast], clock)

    async def enter(times: int) -> None:
        for _ in range(times):
            endpoint, grant = await pool.enter(10)
            endpoint.stop(grant, 10)

    asyncio.run(enter(6))
    assert clock.now() == 1000
    asyncio.run(enter(1))
    assert clock.now() == pytest.approx(1060)


def test_a_request_waits_for_tokens_until_the_minute_is_over_or_others_used_less():
    clock = SetClock()
    server = _endpoint(clock, tokens=1000)
    pool = Pool([server], clock)

    async def enter() -> None:
        first, grant = await pool.enter(800)
        first.stop(grant, 100)  # it was short
        assert (await pool.enter(800))[0] is server
        assert clock.now() == 1000
        await pool.enter(800)
        assert clock.now() == pytest.approx(1060)

    asyncio.run(enter())


def test_after_a_429_nobody_asks_that_server_until_the_time_it_named():
    clock = SetClock()
    server = _endpoint(clock)
    pool = Pool([server], clock)
    server.limited(30.0)
    server.limited(5.0)  # of a request sent at the same time; the longer wait holds
    asyncio.run(pool.enter(1))
    assert clock.now() == pytest.approx(1030)


def test_429s_that_name_no_time_double_the_wait_and_an_answer_ends_this():
    clock = SetClock()
    server = _endpoint(clock)
    waits = []
    for _ in range(8):
        for _ in range(10):  # ten requests were under way
            server.limited(None)
        waits.append(server.rests())
        clock.time += server.rests()
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    server.answered()
    server.limited(None)
    assert server.rests() == 1


def test_a_server_that_fails_again_and_again_is_set_aside_longer_and_longer_and_tried_by_one_request():
    clock = SetClock()
    dead, alive = _endpoint(clock), _endpoint(clock)
    for _ in range(TOLERATED):
        assert dead.wait(1) == 0
        dead.failed("connection failed")
    assert dead.wait(1) == 1
    assert alive.wait(1) == 0
    clock.time += 1
    grant = dead.start(1)
    assert dead.wait(1) > 0  # somebody tries it already
    dead.stop(grant, None)
    dead.failed("connection failed")
    assert dead.wait(1) == 2
    clock.time += 2
    dead.answered()
    dead.start(1)
    assert dead.wait(1) == 0


def test_a_run_gives_up_when_no_server_answers_for_minutes_and_when_the_limit_lasts_for_hours():
    clock = SetClock()
    server = _endpoint(clock)

    async def probe() -> None:
        while True:
            endpoint, grant = await Pool([server], clock).enter(1)
            endpoint.stop(grant, None)
            endpoint.failed("connection failed")

    with pytest.raises(EndpointError, match=r"no answer from http://127\.0\.0\.1:1/v1 for 10 minutes"):
        asyncio.run(probe())
    assert clock.now() - 1000 >= DOWN
    limited = _endpoint(clock)
    limited.limited(7200.0)
    with pytest.raises(EndpointError, match=r"2\.0 hours"):
        asyncio.run(Pool([limited], clock).enter(1))
