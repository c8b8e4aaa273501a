"""The batch API's teacher, by its real client, against a provider on loopback: the whole way, and all in its way."""

import json
import logging
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import httpx2
import openai
import pytest
from batch_server import KEY, BatchServer, Plan, answered, refused, serving

from hub_tools.teachers.endpoints import batch_account, batch_flights
from hub_tools.teachers.endpoints.endpoint_pool import EndpointError
from hub_tools.teachers.endpoints.openai_batch import OpenAIBatchTeacher
from hub_tools.teachers.request import Failure, Request, requests_for
from hub_tools.teachers.settings import TeacherSettings


EVENTS = ("list", "upload", "create", "look", "content")
FORKS = multiprocessing.get_context("forkserver")  # a child starts without importing everything again


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def server() -> Iterator[BatchServer]:
    with serving() as provider:
        yield provider


def _teacher(url: str, **settings: object) -> OpenAIBatchTeacher:
    given = {"model": "acme/Chat-1", "endpoints": [url], "chunk": 4, "poll_seconds": 0.005, **settings}
    return OpenAIBatchTeacher(TeacherSettings(teacher="openai-batch", **given))


def _requests(teacher: OpenAIBatchTeacher, count: int) -> list[Request]:
    reviews = [{"review_id": f"r{n}", "text": f"soup {n}\u2028good"} for n in range(count)]
    prompts = {"analysis": lambda text: [{"role": "user", "content": text}]}
    return list(requests_for(reviews, prompts, teacher.name, teacher.revision, teacher.sampling))


def _ask(teacher: OpenAIBatchTeacher, requests: list[Request]) -> tuple[dict[str, dict], list[Failure]]:
    rows, failures = [], []
    for answers in teacher.replies(iter(requests)):
        rows += answers.rows
        failures += answers.failures
    assert len(rows) + len(failures) == len(requests)
    return {row["request_id"]: row for row in rows}, failures


def _expected(requests: list[Request]) -> dict[str, str]:
    return {request.request_id: f"reply to {request.review}" for request in requests}


def _ask_all(teacher: OpenAIBatchTeacher, requests: list[Request]) -> dict[str, dict]:
    rows, failures = _ask(teacher, requests)
    assert not failures
    assert {key: row["reply"] for key, row in rows.items()} == _expected(requests)
    return rows


# The whole way


def test_every_request_is_answered_once_whatever_the_order_of_the_output(server: BatchServer):
    teacher = _teacher(server.url)
    requests = _requests(teacher, 30)
    server.plans = [Plan(looks=5, backwards=True), Plan(looks=1), Plan(looks=3)]
    rows = _ask_all(teacher, requests)
    assert set(server.processed.values()) == {1}
    row = rows[requests[3].request_id]
    assert (row["review_id"], row["teacher"], row["teacher_revision"]) == ("r3", "chat-1", "as served")
    assert (row["finish_reason"], row["prompt_tokens"], row["completion_tokens"]) == ("stop", 7, 3)
    assert [len(server.lines(batch)) for batch in server.batches] == [4] * 7 + [2]


def test_a_line_asks_for_what_the_settings_say(server: BatchServer):
    _ask(teacher := _teacher(server.url, temperature=0.7, top_p=0.9, max_new_tokens=9), _requests(teacher, 1))
    line = server.lines(server.batches[0])[0]
    assert line.pop("custom_id") == _requests(teacher, 1)[0].request_id
    assert line == {
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {
            "model": "acme/Chat-1",
            "messages": [{"role": "user", "content": "soup 0\u2028good"}],
            "max_tokens": 9,
            "temperature": 0.7,
            "top_p": 0.9,
            "seed": 42,
        },
    }
    assert teacher.sampling == {"max_new_tokens": 9, "temperature": 0.7, "top_p": 0.9, "seed": 42}
    assert _teacher(server.url).sampling == {"max_new_tokens": 512, "temperature": 0.0}
    assert _teacher(server.url, model_revision="0613").revision == "0613"


def test_no_more_is_taken_than_waits_and_what_came_is_handed_on_before_more_is_taken(server: BatchServer):
    teacher = _teacher(server.url)
    taken = 0

    def counted() -> Iterator[Request]:
        nonlocal taken
        for request in _requests(teacher, 60):
            taken += 1
            yield request

    recorded = 0
    for answers in teacher.replies(counted()):
        assert taken - recorded <= 16
        recorded += len(answers.rows)
    assert recorded == taken == 60


def test_files_are_split_by_bytes_too(server: BatchServer, monkeypatch: pytest.MonkeyPatch):
    teacher = _teacher(server.url)
    requests = _requests(teacher, 4)
    monkeypatch.setattr(batch_flights, "MOST_BYTES", 2 * len(teacher.line(requests[0])))
    _ask_all(teacher, requests)
    assert [len(server.lines(batch)) for batch in server.batches] == [2, 2]


def test_without_requests_nothing_is_called(server: BatchServer):
    assert list(_teacher(server.url).replies(iter([]))) == []
    assert not server.calls


# Requests that fail


def test_what_cannot_be_answered_fails_with_its_reason_and_whether_that_is_final(server: BatchServer):
    filtered = [{"finish_reason": "content_filter", "message": {"content": "The so"}}]
    cases = [  # answer, final, reason
        (lambda line: refused(line, 400, "context_length_exceeded", "8193 tokens"), True, "HTTP 400: 8193 tokens"),
        (lambda line: answered(line, choices=filtered), True, "content_filter: The so"),
        (lambda line: refused(line, 500, "server_error", "try later"), False, "HTTP 500: try later"),
        (lambda line: refused(line, 429, "rate_limit_exceeded"), False, "HTTP 429"),
        (lambda line: answered(line, choices=[]), False, "no chat completion"),
        (lambda line: {"custom_id": line["custom_id"], "response": None, "error": None}, False, "no response"),
        (lambda line: b'{"id": "batch_req", "cust\n', False, "does not hold it"),
        (lambda line: None, False, "does not hold it"),
        (answered, None, ""),
    ]
    teacher = _teacher(server.url, chunk=len(cases))
    requests = _requests(teacher, len(cases))
    place = {request.request_id: number for number, request in enumerate(requests)}
    server.plans = [Plan(answer=lambda line: cases[place[line["custom_id"]]][0](line) or None)]
    rows, failures = _ask(teacher, requests)
    assert list(rows) == [requests[-1].request_id]
    for failure in failures:
        _, final, reason = cases[place[failure.request.request_id]]
        assert failure.final is final
        assert reason in failure.reason


def test_a_prompt_that_no_request_can_carry_does_not_take_its_file_along(server: BatchServer):
    teacher = _teacher(server.url)
    odd = Request("ab" * 16, "odd", "\ud800", "analysis", [{"role": "user", "content": "\ud800"}])
    rows, failures = _ask(teacher, [odd, *_requests(teacher, 5)])
    assert len(rows) == 5
    assert [(failure.request, failure.final) for failure in failures] == [(odd, True)]


def test_a_model_that_wants_the_other_name_of_the_longest_reply_gets_it(server: BatchServer):
    def answer(line: dict) -> dict:
        wants = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
        return refused(line, 400, "unsupported_parameter", wants) if "max_tokens" in line["body"] else answered(line)

    server.plans = [Plan(answer=answer) for _ in range(9)]
    teacher = _teacher(server.url)
    _ask_all(teacher, _requests(teacher, 18))
    assert server.lines(server.batches[-1])[0]["body"]["max_completion_tokens"] == 512


def test_replies_of_another_model_stop_the_run(server: BatchServer):
    server.plans = [Plan(answer=lambda line: answered(line, model="acme/Chat-9"))]
    teacher = _teacher(server.url)
    with pytest.raises(EndpointError, match=r"serves 'acme/Chat-9', asked for 'acme/Chat-1'"):
        _ask(teacher, _requests(teacher, 2))


def test_what_was_answered_before_the_money_ran_out_is_handed_on_first(server: BatchServer):
    empty = "You exceeded your current quota"
    first = _teacher(server.url)
    requests = _requests(first, 4)
    last = requests[3].request_id
    server.plans = [
        Plan(
            answer=lambda line: (
                refused(line, 429, "insufficient_quota", empty) if last in str(line) else answered(line)
            )
        )
    ]
    answers = first.replies(iter(requests))
    assert len(next(answers).rows) == 3
    with pytest.raises(EndpointError, match=r"no money left .*You exceeded your current quota"):
        next(answers)
    _ask_all(_teacher(server.url), requests)  # topped up
    assert [len(server.lines(batch)) for batch in server.batches] == [4, 1]


def test_the_next_run_asks_again_for_what_failed_and_for_nothing_else(server: BatchServer):
    teacher = _teacher(server.url, chunk=3)
    requests = _requests(teacher, 3)
    server.plans = [Plan(answer=lambda line: answered(line) if "soup 0" in str(line) else refused(line, 500, "oops"))]
    rows, failures = _ask(teacher, requests)
    assert len(rows) == 1
    assert len(failures) == 2
    _ask_all(_teacher(server.url), requests)
    assert sorted(server.processed.values()) == [1, 2, 2]


@pytest.mark.parametrize("ends", ["expired", "cancelled"])
def test_the_rest_of_a_batch_that_broke_off_is_sent_once_more(server: BatchServer, ends: str):
    teacher = _teacher(server.url)
    requests = _requests(teacher, 4)
    server.plans = [Plan(ends=ends, done=3)]
    _ask_all(teacher, requests)
    assert set(server.processed.values()) == {1}
    assert len(server.batches) == 2


def test_a_batch_that_breaks_off_twice_is_not_sent_for_ever(server: BatchServer):
    teacher = _teacher(server.url)
    server.plans = [Plan(ends="expired", done=2), Plan(ends="expired", done=0)]
    rows, failures = _ask(teacher, _requests(teacher, 4))
    assert len(rows) == 2
    assert [failure.final for failure in failures] == [False, False]
    assert "batch_1 (expired): batch_expired" in failures[0].reason


# What the provider refuses


def test_a_batch_that_fails_the_providers_checks_stops_the_run_with_its_words(server: BatchServer):
    server.plans = [Plan(errors=[{"code": "model_not_found", "message": "No 'acme/Chat-1' here.", "line": 1}])]
    teacher = _teacher(server.url)
    with pytest.raises(EndpointError, match=r"batch_0 of model 'acme/Chat-1'.*No 'acme/Chat-1' here\. \(line 1\)"):
        _ask(teacher, _requests(teacher, 2))


def test_a_batch_of_which_every_request_is_refused_stops_the_run_and_marks_none_as_hopeless(server: BatchServer):
    requests = _requests(_teacher(server.url), 20)
    server.plans = [Plan(answer=lambda line: refused(line, 400, "odd", "the system prompt is odd"))]
    answers = _teacher(server.url, chunk=20).replies(iter(requests))
    assert not any(failure.final for failure in next(answers).failures)
    with pytest.raises(
        EndpointError, match=r"all 20 requests of batch batch_0 were refused.*the system prompt is odd"
    ):
        next(answers)
    _ask_all(_teacher(server.url, chunk=20), requests)  # the provider has changed its mind


def test_where_the_queue_is_full_the_others_are_awaited(server: BatchServer):
    full = [{"code": "token_limit_exceeded", "message": "Enqueued token limit reached", "line": None}]
    server.plans = [Plan(looks=4), Plan(looks=1, errors=full), Plan(looks=3)]
    server.faults["create"] = [None, None, (429, {"code": "token_limit_exceeded", "message": "full"})]
    teacher = _teacher(server.url)
    requests = _requests(teacher, 16)
    _ask_all(teacher, requests)
    assert set(server.processed.values()) == {1}


def test_a_file_that_no_queue_holds_is_named_with_the_setting_to_change(server: BatchServer):
    full = [{"code": "token_limit_exceeded", "message": "Limit: 90 enqueued tokens", "line": None}]
    server.plans = [Plan(looks=1, errors=full) for _ in range(3)]
    teacher = _teacher(server.url, attempts=3)
    with pytest.raises(EndpointError, match=r"Limit: 90 enqueued tokens.*Lower `chunk` \(4\)"):
        _ask(teacher, _requests(teacher, 4))


def test_a_wrong_key_an_empty_purse_and_a_server_without_batches_are_told_apart(
    server: BatchServer, monkeypatch: pytest.MonkeyPatch
):
    requests = _requests(_teacher(server.url), 1)
    server.faults["create"] = [(429, {"code": "insufficient_quota", "message": "You exceeded your current quota"})]
    with pytest.raises(EndpointError, match=r"creating a batch: .*no money left.*You exceeded your current quota"):
        _ask(_teacher(server.url), requests)
    with pytest.raises(EndpointError, match=r"listing the batches: HTTP 404 .*the base URL"):
        _ask(_teacher(server.url.replace("/v1", "/v2")), requests)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-but-secret-too")
    with pytest.raises(EndpointError, match=r"listing the batches: HTTP 401 .*wrong key.*\$OPENAI_API_KEY") as caught:
        _ask(_teacher(server.url), requests)
    assert "sk-wrong" not in str(caught.value)
    assert caught.value.__cause__ is None
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ValueError, match="the environment variable OPENAI_API_KEY is not set"):
        _ask(_teacher("http://api.example.org/v1"), requests)


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("chunk", 50_001, "chunk is 50001; a file holds 1 to 50000"),
        ("poll_seconds", 0, "poll_seconds is 0"),
        ("temperature", -1, "temperature is -1"),
        ("endpoints", ["http://a", "http://b"], "takes one endpoint; found http://a, http://b"),
    ],
)
def test_settings_out_of_range_are_refused_at_once(setting: str, value: object, said: str):
    with pytest.raises(ValueError, match=said):
        _teacher("http://127.0.0.1:1/v1", **{setting: value})


# A line that breaks


def test_faults_of_every_call_are_passed_over_and_cost_nothing(server: BatchServer):
    for event in ("upload", "create", "list", "look", "content"):
        server.faults[event] = [503, "lost", "drop", None, "page", "gateway", 500]
    for event in ("upload", "list", "look", "content"):  # a 429 of `create` says that the queue is full
        server.faults[event].append(429)
    teacher = _teacher(server.url, attempts=10)
    requests = _requests(teacher, 20)
    _ask_all(teacher, requests)
    assert set(server.processed.values()) == {1}


@pytest.mark.parametrize("fault", ["drop", "gateway"])
def test_a_batch_whose_creation_was_never_confirmed_is_found_and_not_created_again(server: BatchServer, fault: str):
    teacher = _teacher(server.url)
    requests = _requests(teacher, 8)
    server.faults["create"] = [fault, None, fault]
    _ask_all(teacher, requests)
    assert len(server.batches) == 2
    assert set(server.processed.values()) == {1}


def test_a_provider_out_of_reach_is_named_and_what_was_sent_is_found_later(server: BatchServer):
    requests = _requests(_teacher(server.url), 4)
    server.faults["look"] = ["lost"] * 3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch_flights, "A_DAY", 3)
        with pytest.raises(EndpointError, match=r"batch batch_0: .*\(3 attempts\).*run the same command later"):
            _ask(_teacher(server.url), requests)
    _ask_all(_teacher(server.url), requests)
    assert set(server.processed.values()) == {1}


def test_the_provider_says_how_long_to_wait(monkeypatch: pytest.MonkeyPatch):
    request = httpx2.Request("GET", "http://127.0.0.1/")
    error = openai.RateLimitError(
        "slow", response=httpx2.Response(429, headers={"retry-after": "7.5"}, request=request), body=None
    )
    slept: list[float] = []
    monkeypatch.setattr(batch_account.time, "sleep", slept.append)
    _teacher("http://127.0.0.1:1/v1").account._pause("x", 1, error)
    assert slept == [7.5]


# Runs that find what earlier runs sent


def test_what_an_earlier_run_sent_is_collected_and_not_sent_again(server: BatchServer):
    requests = _requests(_teacher(server.url), 20)
    server.plans = [Plan(looks=9) for _ in range(4)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch_flights.time, "sleep", _interrupt)  # the second Ctrl-C, while it waits
        with pytest.raises(KeyboardInterrupt):
            next(_teacher(server.url).replies(iter(requests)))
    assert len(server.batches) == 4
    _ask_all(_teacher(server.url, chunk=3), requests[::-1])  # another order, other files
    assert set(server.processed.values()) == {1}
    assert len(server.batches) > 4


def test_a_run_whose_journal_is_lost_gets_everything_from_the_provider(server: BatchServer):
    requests = _requests(_teacher(server.url), 40)
    _ask(_teacher(server.url), requests)
    batches = len(server.batches)
    for batch in server.batches[:3]:  # deleted by their owner, who needs the room
        del server.files[batch["input_file_id"]]
    _ask_all(_teacher(server.url), requests)
    assert len(server.batches) == batches
    assert set(server.processed.values()) == {1}


def test_batches_are_found_on_every_page_and_foreign_ones_left_alone():
    with serving(page=3) as server:
        requests = _requests(_teacher(server.url), 30)
        _ask(_teacher(server.url), requests)
        others = _requests(other := _teacher(server.url, model="acme/Chat-2"), 30)
        _ask(other, others)
        for number in range(5):  # of other software
            server.batches.append({**server.batches[0], "id": f"foreign_{number}", "metadata": None})
            server.batches.append({**server.batches[0], "id": f"strange_{number}", "metadata": {"fsa-distill": "?"}})
        server.calls.clear()
        _ask_all(_teacher(server.url), requests)
        assert server.calls["list"] == 9
        assert not server.calls["create"]
        assert set(server.processed.values()) == {1}
        assert len(server.processed) == 60


def test_what_is_older_than_the_provider_keeps_is_asked_anew(server: BatchServer):
    requests = _requests(_teacher(server.url), 4)
    _ask(_teacher(server.url), requests)
    server.batches[0]["created_at"] = int(time.time()) - batch_account.KEPT - 1
    _ask_all(_teacher(server.url), requests)
    assert len(server.batches) == 2


def test_of_an_earlier_batch_that_broke_off_only_the_rest_is_sent(server: BatchServer):
    requests = _requests(_teacher(server.url), 8)
    server.plans = [Plan(ends="expired", done=1), Plan()]
    list(islice(_teacher(server.url).replies(iter(requests)), 2))
    assert len(server.batches) == 2
    _ask_all(_teacher(server.url), requests)
    assert [len(server.lines(batch)) for batch in server.batches] == [4, 4, 3]
    assert set(server.processed.values()) == {1}


def test_the_rest_of_a_broken_off_batch_is_found_where_it_was_sent_the_second_time(server: BatchServer):
    requests = _requests(_teacher(server.url), 4)
    server.plans = [Plan(looks=1, ends="expired", done=1), Plan(looks=5)]
    answers = _teacher(server.url).replies(iter(requests))
    assert len(next(answers).rows) == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch_flights.time, "sleep", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            next(answers)
    _ask_all(_teacher(server.url), requests)
    assert len(server.batches) == 2
    assert set(server.processed.values()) == {1}


def test_replies_whose_output_was_deleted_are_asked_for_again(server: BatchServer):
    requests = _requests(_teacher(server.url), 8)
    _ask_all(_teacher(server.url), requests)
    del server.files["file-output-batch_1"]
    _ask_all(_teacher(server.url), requests)
    assert len(server.batches) == 3


def test_the_key_is_nowhere_but_in_the_request_header(server: BatchServer, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    server.faults["look"] = [503, (500, {"message": f"echo {KEY}", "code": None}), "drop"]
    server.faults["create"] = [(400, {"message": f"echo {KEY}", "code": None})]
    teacher = _teacher(server.url)
    requests = _requests(teacher, 4)
    with pytest.raises(EndpointError, match=r"echo \*\*\*") as caught:
        _ask(teacher, requests)
    rows, _ = _ask(_teacher(server.url), requests)
    assert KEY not in caplog.text + str(caught.value) + json.dumps(list(rows.values())) + json.dumps(server.batches)
    assert not any(KEY.encode() in data for data in server.files.values())


def _interrupt(seconds: float) -> None:
    raise KeyboardInterrupt


# Kills


def _label(url: str, path: Path, count: int) -> None:
    """A run of labelling: asks for what the file of replies does not hold, and appends it."""
    os.environ["OPENAI_API_KEY"] = KEY
    teacher = _teacher(url)
    done = {row["request_id"] for row in _recorded(path)}
    requests = [request for request in _requests(teacher, count) if request.request_id not in done]
    with path.open("a") as file:
        for answers in teacher.replies(iter(requests)):
            file.write("".join(json.dumps(row) + "\n" for row in answers.rows))
            file.flush()


def _recorded(path: Path) -> list[dict]:
    lines = path.read_text().split("\n") if path.exists() else [""]
    path.write_text("".join(f"{line}\n" for line in lines[:-1]))  # a kill may have cut the last one
    return [json.loads(line) for line in lines[:-1]]


def _run(server: BatchServer, path: Path, count: int, event: str = "", at: int = 0) -> int:
    """The exit code of a run that is killed when the server has done its `at`-th call of an event ("": of any)."""
    child = FORKS.Process(target=_label, args=(server.url, path, count), daemon=True)

    def calls() -> int:
        return server.calls[event] if event else server.calls.total()

    def kill() -> None:
        if at and calls() - start == at:
            os.kill(child.pid, signal.SIGKILL)

    start = calls()
    server.hooks = {name: kill for name in EVENTS if event in ("", name)}
    child.start()
    child.join(60)
    server.hooks = {}
    return child.exitcode


@pytest.mark.usefixtures("forkserver")
@pytest.mark.parametrize(
    ("event", "at"),
    [
        ("list", 1),
        ("upload", 1),
        ("upload", 3),
        ("create", 1),
        ("create", 4),
        ("look", 5),
        ("content", 1),
        ("content", 2),
    ],
)
def test_a_kill_between_upload_and_create_and_at_every_other_step_pays_nothing_twice(
    server: BatchServer, tmp_path: Path, event: str, at: int
):
    path, count = tmp_path / "replies.jsonl", 18
    assert _run(server, path, count, event, at) == -signal.SIGKILL
    assert _run(server, path, count) == 0
    rows = _recorded(path)
    assert len(rows) == count
    assert {row["request_id"]: row["reply"] for row in rows} == _expected(_requests(_teacher(server.url), count))
    assert set(server.processed.values()) == {1}


@pytest.mark.usefixtures("forkserver")
def test_kills_at_random_moments_one_after_another_pay_nothing_twice(server: BatchServer, tmp_path: Path):
    path, count, chance = tmp_path / "replies.jsonl", 40, random.Random(3)
    server.plans = [Plan(looks=chance.randint(1, 5)) for _ in range(40)]
    for _ in range(8):
        assert _run(server, path, count, at=chance.randint(1, 25)) == -signal.SIGKILL
    assert 0 < len(_recorded(path)) < count
    assert _run(server, path, count) == 0
    rows = _recorded(path)
    assert len(rows) == count
    assert len({row["request_id"] for row in rows}) == count
    assert set(server.processed.values()) == {1}
    assert len(server.processed) == count
