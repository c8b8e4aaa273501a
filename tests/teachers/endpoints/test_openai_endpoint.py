"""The endpoint teacher against a server that misbehaves, on a clock that jumps over every pause."""

import asyncio
import heapq
import logging
import re
import socket
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty_server import by_chance, digest, reply_to, serve

from hub_tools.prompts import BUILDERS
from hub_tools.teachers.endpoints import endpoint_pool
from hub_tools.teachers.endpoints.endpoint_pool import PATIENCE, EndpointError
from hub_tools.teachers.endpoints.openai_endpoint import OpenAITeacher
from hub_tools.teachers.endpoints.openai_replies import FailedError, read_reply, same_model
from hub_tools.teachers.endpoints.rate_limits import Clock
from hub_tools.teachers.request import Answers, Failure, Request, requests_for
from hub_tools.teachers.settings import TeacherSettings


KEY = "sk-secret-0123456789abcdef"


class JumpClock(Clock):
    """Whoever sleeps is woken at once, in the right order, and the clock says that the time has passed."""

    def __init__(self) -> None:
        self.time = 0.0
        self._wakes: list[float] = []
        self.slept = 0.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        wake = self.time + seconds
        self.slept += seconds
        heapq.heappush(self._wakes, wake)
        try:
            while self.time < wake:
                await asyncio.sleep(0.001)
                self.time = max(self.time, self._wakes[0])
        finally:
            self._wakes.remove(wake)
            heapq.heapify(self._wakes)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def _teacher(*urls: str, **settings) -> OpenAITeacher:
    defaults = {"model": "tiny-chat", "concurrency": 4, "attempts": 3, "timeout": 5.0, "max_new_tokens": 50}
    return OpenAITeacher(
        TeacherSettings(teacher="openai", endpoints=list(urls), **{**defaults, **settings}), JumpClock()
    )


def _requests(teacher: OpenAITeacher, reviews: int = 4) -> list[Request]:
    rows = [{"review_id": f"r{n}", "text": f"The soup of day {n} was superb."} for n in range(reviews)]
    return list(requests_for(rows, BUILDERS, teacher.name, teacher.revision, teacher.sampling))


def _all(teacher: OpenAITeacher, requests: list[Request]) -> tuple[dict[str, dict], list[Failure]]:
    answers = list(teacher.replies(requests))
    rows = [row for answer in answers for row in answer.rows]
    failures = [failure for answer in answers for failure in answer.failures]
    ids = [row["request_id"] for row in rows] + [failure.request.request_id for failure in failures]
    assert sorted(ids) == sorted(request.request_id for request in requests)  # each once
    return {row["request_id"]: row for row in rows}, failures


def _until_error(teacher: OpenAITeacher, requests: list[Request]) -> tuple[list[dict], EndpointError]:
    rows: list[dict] = []

    def collect() -> None:
        for answers in teacher.replies(requests):
            rows.extend(answers.rows)

    with pytest.raises(EndpointError) as error:
        collect()
    assert KEY not in "".join(traceback.format_exception(error.value))
    return rows, error.value


def test_every_request_is_answered_with_the_servers_words_and_its_tokens():
    with serve(model="Tiny-Chat", keep_bodies=True) as server:
        teacher = _teacher(server.url, model="org/Tiny-Chat", model_revision="abc", temperature=0.5, top_p=0.9, seed=7)
        requests = _requests(teacher)
        rows, failures = _all(teacher, requests)
    assert (teacher.name, teacher.revision) == ("tiny-chat", "abc")
    assert teacher.sampling == {"max_new_tokens": 50, "temperature": 0.5, "top_p": 0.9, "seed": 7}
    assert not failures
    for request in requests:
        row = rows[request.request_id]
        assert row["reply"] == reply_to(request.messages)
        assert row["finish_reason"] == "stop"
        assert row["completion_tokens"] == len(row["reply"].split())
        assert row["prompt_tokens"] == sum(len(message["content"].split()) for message in request.messages)
    sent = {name: server.bodies[0][name] for name in ("model", "temperature", "top_p", "seed", "max_tokens")}
    assert sent == {"model": "org/Tiny-Chat", "temperature": 0.5, "top_p": 0.9, "seed": 7, "max_tokens": 50}


def test_making_the_teacher_needs_no_key_and_no_server(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    teacher = OpenAITeacher(TeacherSettings(teacher="openai", model="gpt-3.5-turbo", endpoints=[]))
    assert (teacher.name, teacher.revision) == ("gpt-3.5-turbo", "as served")
    assert teacher.sampling == {"max_new_tokens": 512, "temperature": 0.0}
    with pytest.raises(ValueError, match=r"api\.openai\.com.*OPENAI_API_KEY is not set"):
        list(teacher.replies(_requests(teacher)))
    with serve() as server:
        rows, _ = _all(_teacher(server.url), _requests(_teacher(server.url)))
        assert len(rows) == 8
    assert server.keys == {"Bearer none"}


@pytest.mark.parametrize("fault", ["500", "503", "408", "drop", "cut", "short", "malformed", "empty", "abort"])
def test_what_goes_wrong_once_is_asked_again(fault: str):
    with serve(faults=[fault, fault]) as server:
        teacher = _teacher(server.url)
        rows, failures = _all(teacher, _requests(teacher))
    assert len(rows) == 8
    assert not failures
    assert sum(server.asked.values()) == 10


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("500", "HTTP 500 ×3: The server says 500."),
        ("drop", "connection failed ×3: ServerDisconnectedError"),
        ("short", "connection failed ×3: ContentLengthError"),
        ("cut", "no chat completion ×3: JSONDecodeError"),
        ("malformed", "no chat completion ×3: JSONDecodeError"),
        ("empty", "no chat completion ×3: IndexError"),
        ("abort", "finish_reason abort ×3"),
    ],
)
def test_what_goes_wrong_at_every_attempt_is_a_failure_of_this_row_alone(fault: str, reason: str):
    def only_day_2(text: str, times: int) -> str:
        return fault if "day 2" in text else ""

    with serve(faults=only_day_2) as server:
        teacher = _teacher(server.url)
        rows, failures = _all(teacher, _requests(teacher))
    assert len(rows) == 6
    assert [failure.final for failure in failures] == [False, False]
    assert all(failure.reason.startswith(reason) for failure in failures), failures
    assert max(server.asked.values()) == 3


def test_a_server_that_hangs_costs_an_attempt_when_the_time_is_over():
    with serve(faults=["hang"]) as server:
        teacher = _teacher(server.url, timeout=1.0)
        rows, failures = _all(teacher, _requests(teacher))
        assert (len(rows), failures) == (8, [])
        server.faults = ["hang"]
        _, (failure,) = _all(_teacher(server.url, timeout=1.0, attempts=1), _requests(teacher)[:1])
    assert (failure.reason, failure.final) == ("timeout ×1: no reply within 1 s", False)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("400", "HTTP 400: This model's maximum context length is 16385 tokens."),
        ("413", "HTTP 413: The server says 413."),
        ("422", "HTTP 422: The server says 422."),
        ("filter", "content_filter: Opinion Target 1"),
    ],
)
def test_what_is_refused_is_not_asked_again(fault: str, reason: str):
    with serve(faults=[fault]) as server:
        teacher = _teacher(server.url, concurrency=1)
        rows, (failure,) = _all(teacher, _requests(teacher))
    assert len(rows) == 7
    assert failure.final
    assert failure.reason.startswith(reason)
    assert max(server.asked.values()) == 1


def test_when_the_first_requests_are_all_refused_the_settings_are_wrong_and_the_reviews_are_not_given_up():
    with serve(faults=lambda text, times: "422") as server:
        teacher = _teacher(server.url)
        rows, error = _until_error(teacher, _requests(teacher, 40))
    assert rows == []
    assert "the first 10 requests were all refused" in str(error)
    assert server.asked.total() <= 13


def test_a_rate_limit_cools_the_whole_pool_down_and_costs_no_attempt():
    faults = ["429:7", *["429"] * 30]
    with serve(faults=faults) as server:
        teacher = _teacher(server.url, attempts=1)
        rows, failures = _all(teacher, _requests(teacher))
    assert (len(rows), failures) == (8, [])
    assert server.asked.total() == 8 + 31
    # At most 4 are sent before the first 429 comes back; then nobody until 7 s have passed. The others double.
    assert teacher.clock.now() >= 7 + 1 + 2 + 4


def test_a_rate_limit_that_never_ends_is_a_failure_of_the_row_after_long_patience(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(endpoint_pool, "_LOOK", 60.0)
    with serve(faults=lambda text, times: "429:600") as server:
        teacher = _teacher(server.url)
        _, failures = _all(teacher, _requests(teacher, 1))
    assert {(failure.reason, failure.final) for failure in failures} == {("HTTP 429 for 60 minutes", False)}
    assert teacher.clock.now() > PATIENCE


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("quota", "the account has no money left"),
        ("401", r"check the key in \$OPENAI_API_KEY"),
        ("leak", r"Incorrect API key provided: \*\*\*|provided: Bearer \*\*\*"),
        ("403", r"check the key in \$OPENAI_API_KEY"),
        ("404", "check the model's name 'tiny-chat' and the base URL"),
        ("model", "serves 'another-model', asked for 'tiny-chat'"),
        ("temperature", "the model does not take this setting"),
        ("redirect:http://192.0.2.1/v1", "the key goes to no other host"),
    ],
)
def test_what_no_retry_can_cure_stops_the_run_after_what_succeeded(fault: str, message: str):
    faults = ["", "", fault]
    with serve(faults=faults, latency=0.05) as server:
        teacher = _teacher(server.url)
        requests = _requests(teacher, 20)
        rows, error = _until_error(teacher, requests)
    assert re.search(message, str(error))
    assert len(rows) == server.answered.total() - (fault == "model")  # all that was answered was yielded
    assert len(rows) >= 3
    assert server.asked.total() <= 4 + 4


def test_a_server_that_wants_max_completion_tokens_gets_them_and_no_attempt_is_lost():
    with serve(faults=lambda text, times: "length", keep_bodies=True) as server:
        teacher = _teacher(server.url, attempts=1)
        rows, failures = _all(teacher, _requests(teacher))
    assert (len(rows), failures) == (8, [])
    assert server.asked.total() <= 8 + 4
    assert server.bodies[-1]["max_completion_tokens"] == 50
    assert "max_tokens" not in server.bodies[-1]


def test_no_more_than_concurrency_are_taken_and_not_recorded():
    with serve(latency=0.01) as server:
        teacher = _teacher(server.url, concurrency=5)
        requests, taken, recorded = _requests(teacher, 30), 0, 0

        def counted() -> Iterator[Request]:
            nonlocal taken
            for request in requests:
                taken += 1
                assert taken - recorded <= 5
                yield request

        for answers in teacher.replies(counted()):
            assert taken - recorded <= 5
            recorded += len(answers.rows)
    assert recorded == 60
    assert server.most_at_once == 5


def test_a_consumer_that_stops_has_paid_for_no_more_than_it_recorded_and_what_was_in_flight():
    with serve(latency=0.01) as server:
        for stop in (1, 3, 7):
            server.asked.clear()
            teacher = _teacher(server.url, concurrency=6)
            recorded = 0
            for number, answers in enumerate(replies := teacher.replies(_requests(teacher, 50)), 1):
                recorded += len(answers.rows)
                if number == stop:
                    break
            replies.close()
            assert server.asked.total() <= recorded + 6
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("asyncio", "endpoint teacher"))]


def test_when_the_requests_end_what_is_in_flight_is_still_answered():
    with serve(latency=0.05) as server:
        teacher = _teacher(server.url, concurrency=8)
        rows, _ = _all(teacher, _requests(teacher, 4)[:5])  # as Ctrl-C ends them: fewer than there is room for
    assert len(rows) == 5
    assert list(teacher.replies([])) == []


def _interrupt(replies: Iterator[Answers]) -> None:
    for _ in replies:
        raise KeyboardInterrupt


def test_replies_that_come_while_the_consumer_is_busy_do_not_time_out_and_are_not_paid_twice():
    with serve() as server:
        server.faults = ["", "slow", "slow", "slow"]
        teacher = _teacher(server.url, timeout=2.0, attempts=1)
        rows = []
        for answers in teacher.replies(_requests(teacher, 4)):
            assert not answers.failures
            time.sleep(0 if rows else 2.5)
            rows.extend(answers.rows)
    assert len(rows) == 8
    assert server.asked.total() == 8


def test_an_error_of_the_consumer_or_of_the_requests_passes_through_and_leaves_nothing_open():
    def broken(teacher: OpenAITeacher) -> Iterator[Request]:
        yield from _requests(teacher, 2)
        raise OSError("the reviews' disk is gone")

    with serve() as server:
        teacher = _teacher(server.url)
        with pytest.raises(OSError, match="disk is gone"):
            list(teacher.replies(broken(teacher)))
        with pytest.raises(KeyboardInterrupt):
            _interrupt(teacher.replies(_requests(teacher)))
        assert len(_all(teacher, _requests(teacher))[0]) == 8  # and the teacher can be used again


def test_several_servers_share_the_work():
    with serve(latency=0.02) as one, serve(latency=0.02) as two:
        teacher = _teacher(one.url, two.url, concurrency=6)
        rows, _ = _all(teacher, _requests(teacher, 15))
    assert len(rows) == 30
    assert min(one.asked.total(), two.asked.total()) >= 10
    assert not one.asked & two.asked


def test_one_of_two_servers_dies_and_the_other_does_all():
    with serve(latency=0.01) as one, serve(latency=0.01) as two:
        one.faults = lambda text, times: "drop" if one.asked.total() > 5 else ""
        teacher = _teacher(one.url, two.url, concurrency=6, attempts=6)
        rows, failures = _all(teacher, _requests(teacher, 40))
    assert (len(rows), failures) == (80, [])
    assert two.asked.total() >= 70


def _closed_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"


def test_a_server_that_was_never_there_costs_only_attempts():
    with serve(latency=0.01) as alive:
        teacher = _teacher(_closed_port(), alive.url, attempts=4)
        rows, failures = _all(teacher, _requests(teacher, 10))
    assert (len(rows), failures) == (20, [])
    teacher = _teacher(_closed_port(), attempts=3)
    rows, failures = _all(teacher, _requests(teacher, 1))
    assert rows == {}
    assert all(failure.reason.startswith("connection failed ×3: ConnectionRefusedError") for failure in failures)
    assert not any(failure.final for failure in failures)


def test_a_server_with_another_model_is_found_out_before_it_is_asked_for_a_reply():
    with serve() as right, serve(model="someone-else") as wrong:
        teacher = _teacher(right.url, wrong.url)
        _, error = _until_error(teacher, _requests(teacher))
        assert f"endpoint {wrong.url} serves 'someone-else', asked for 'tiny-chat'" in str(error)
        assert wrong.asked.total() == 0
        wrong.models = right.models = False  # no list: the first reply tells
        _, error = _until_error(teacher, _requests(teacher))
        assert "serves 'someone-else'" in str(error)


def test_limits_per_minute_are_kept():
    with serve() as server:
        teacher = _teacher(server.url, requests_per_minute=5)
        _all(teacher, _requests(teacher, 8))
        assert 180 <= teacher.clock.now() < 181  # 5, and 5 a minute later, and 5, and the last
        teacher = _teacher(server.url, tokens_per_minute=3000, concurrency=1)
        _all(teacher, _requests(teacher, 8))
    spent = sum(len(message["content"].split()) for request in _requests(teacher, 8) for message in request.messages)
    assert spent / 3000 - 1 <= teacher.clock.now() / 60 <= spent / 3000 + 2


def test_tokens_that_the_server_does_not_tell_are_counted_or_estimated_rather_than_nothing(tiny_llama: Path):
    with serve(faults=lambda text, times: "silent") as server:
        teacher = _teacher(server.url)
        request = _requests(teacher)[0]
        (row,) = _all(teacher, [request])[0].values()
        text = "".join(message["content"] for message in request.messages)
        assert row["prompt_tokens"] == -(-len(text.encode()) // 3)
        assert row["completion_tokens"] == -(-len(row["reply"].encode()) // 3)
        (row,) = _all(_teacher(server.url, tokenizer=str(tiny_llama)), [request])[0].values()
        assert row["prompt_tokens"] > len(text.encode())  # a token per byte, and the template's
        assert row["completion_tokens"] == len(row["reply"].encode())


def test_a_reply_without_content_is_empty():
    with serve(faults=["none"]) as server:
        teacher = _teacher(server.url)
        (row,) = _all(teacher, _requests(teacher)[:1])[0].values()
    assert (row["reply"], row["finish_reason"]) == ("", "stop")


def test_half_a_surrogate_pair_is_refused_without_disturbing_the_others():
    with serve() as server:
        teacher = _teacher(server.url)
        requests = _requests(teacher)
        odd = Request("0" * 32, "r", "\ud83d", "analysis", [{"role": "user", "content": "\ud83d"}])
        rows, failures = _all(teacher, [*requests, odd])
    assert len(rows) == 8
    assert [(failure.request, failure.final) for failure in failures] == [(odd, True)]


def test_with_faults_of_every_kind_all_is_answered_once_and_the_same_as_without(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    shares = {"500": 0.1, "429:1": 0.1, "429": 0.05, "drop": 0.1, "cut": 0.1, "malformed": 0.05}
    with serve() as calm, serve(faults=by_chance(shares)) as wild:
        teacher = _teacher(calm.url, attempts=20)
        requests = _requests(teacher, 40)
        undisturbed, _ = _all(teacher, requests)
        disturbed, failures = _all(_teacher(wild.url, attempts=20), requests)
    assert disturbed == undisturbed
    assert failures == []
    assert wild.asked.total() > 100
    assert set(wild.answered) == {digest(request.messages) for request in requests}
    assert KEY not in caplog.text


def test_the_key_is_in_no_failure_and_no_log(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    with serve(faults=lambda text, times: "leak" if times < 3 else "") as server:
        teacher = _teacher(server.url)
        _until_error(teacher, _requests(teacher))
        assert server.keys == {f"Bearer {KEY}"}
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("127.0.0.1:8000/v1", "no URL such as http://127.0.0.1:8000/v1"),
        ("file:///etc/passwd", "no URL such as"),
        ("https://me:hush@host/v1", "user or password"),
    ],
)
def test_an_endpoint_that_is_no_url_is_named_and_a_password_in_it_is_not(url: str, message: str):
    with pytest.raises(ValueError, match=message) as error:
        _teacher(url)
    assert "hush" not in str(error.value)


def test_a_number_out_of_range_is_named():
    with pytest.raises(ValueError, match="concurrency is 0; it must be at least 1"):
        _teacher("http://127.0.0.1:1/v1", concurrency=0)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b"null", b'{"choices":[{}]}', b'{"choices":[{"message":3}]}', b"\xff"]
)
def test_no_body_is_too_odd_to_be_called_a_failure(body: bytes):
    with pytest.raises(FailedError):
        read_reply(body, "m", "http://127.0.0.1/v1")


def test_a_served_model_may_name_its_version_or_folder_but_no_other_model():
    assert same_model("gpt-3.5-turbo", "gpt-3.5-turbo-0125")
    assert same_model("gpt-4o", "gpt-4o-2024-08-06")
    assert same_model("meta-llama/Llama-2-7b-chat-hf", "/models/Llama-2-7b-chat-hf")
    assert not same_model("gpt-4o", "gpt-4o-mini")
    assert not same_model("gpt-4o-mini", "gpt-4o")
    assert not same_model("llama-2-7b", "llama-2-70b")


def test_answers_come_as_they_are_finished_not_in_file_order():
    with serve(latency=0.01) as server:
        server.faults = lambda text, times: "hang" if "day 0 " in text and times == 1 else ""
        teacher = _teacher(server.url, timeout=1.0)
        order = [row["review_id"] for answers in teacher.replies(_requests(teacher)) for row in answers.rows]
    assert order[-1] == "r0"
