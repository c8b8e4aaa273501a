"""The contract that every teacher keeps: each request answered once, the same again next time, no more taken than
it works on.

The vllm teacher is tested where vLLM is installed (`make test-vllm`); the one on a Ray cluster by its own module.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from batch_server import KEY, Plan, answered, refused, serving
from faulty_server import serve

from hub_tools.prompts import BUILDERS
from hub_tools.teachers.journal import COLUMNS
from hub_tools.teachers.lexicon import CHUNK, LexiconTeacher
from hub_tools.teachers.request import Answers, Request, Teacher, request_id, requests_for
from hub_tools.teachers.settings import TeacherSettings, make_teacher
from hub_tools.teachers.transformers_lm import BATCHES


TEXTS = ["The soup was superb but the waiter ignored us.", "ok", "so slow 🐌 \\n", "", "The screen is bright. " * 20]
REVIEWS = [{"review_id": f"r{n}", "text": text} for n, text in enumerate(TEXTS)]
REFUSED = "This one is refused. " * 500


@dataclass
class Contracted:
    """A teacher and what its test must know of it.

    Attributes:
        most: requests that it may have in flight.
        refuses: whether it has a reason not to reply to `REFUSED`.
    """

    teacher: Teacher
    most: int
    refuses: bool = True


@pytest.fixture(
    params=[
        "lexicon",
        "transformers",
        "transformers, sampled",
        "openai",
        "openai-batch",
        "vllm",
        "vllm, sampled",
    ],
    scope="module",
)
def contracted(request: pytest.FixtureRequest) -> Iterator[Contracted]:
    name, _, sampled = request.param.partition(", ")
    settings = TeacherSettings(
        teacher=name, max_new_tokens=6, temperature=0.8 if sampled else 0.0, batch_size=1, dtype="float32"
    )
    with ExitStack() as stack:
        if name == "lexicon":
            yield Contracted(LexiconTeacher(), CHUNK, refuses=False)
        elif name == "transformers":
            settings.model = str(request.getfixturevalue("tiny_llama"))
            yield Contracted(make_teacher(settings), BATCHES, refuses=False)
        elif name == "vllm":
            engine = request.getfixturevalue("vllm_teacher")
            settings.model, settings.chunk = engine.settings.model, 4
            teacher = make_teacher(settings)
            teacher.llm = engine.llm  # one for all tests
            yield Contracted(teacher, 4)
        elif name == "openai":
            server = stack.enter_context(serve(faults=lambda text, times: "filter" if REFUSED in text else ""))
            settings.model, settings.endpoints, settings.concurrency = server.model, [server.url], 4
            yield Contracted(make_teacher(settings), 4)
        else:
            environment = stack.enter_context(pytest.MonkeyPatch.context())
            environment.setenv("OPENAI_API_KEY", KEY)
            server = stack.enter_context(serving())
            server.plans = [Plan(looks=1, answer=_batch_line) for _ in range(500)]
            settings.model, settings.endpoints = "acme/Chat-1", [server.url]
            settings.chunk, settings.poll_seconds = 2, 0.005
            yield Contracted(make_teacher(settings), 8)


def _batch_line(line: dict) -> dict:
    if REFUSED in line["body"]["messages"][-1]["content"]:
        return refused(line, 400, "context_length_exceeded")
    return answered(line)


def _requests(teacher: Teacher, reviews: list[dict] = REVIEWS) -> list[Request]:
    return list(requests_for(reviews, BUILDERS, teacher.name, teacher.revision, teacher.sampling))


def _many(teacher: Teacher, count: int) -> list[Request]:
    reviews = [{"review_id": f"r{n}", "text": f"Soup {n} was good."} for n in range(count)]
    return _requests(teacher, reviews)[:count]


def _rows(answers: list[Answers]) -> dict[str, dict]:
    """The rows by request_id; no request may have two, and none may have failed."""
    rows = [row for some in answers for row in some.rows]
    assert not [failure for some in answers for failure in some.failures]
    assert len({row["request_id"] for row in rows}) == len(rows)
    return {row["request_id"]: row for row in rows}


def test_every_request_gets_one_row_of_the_replies_contract(contracted: Contracted):
    teacher = contracted.teacher
    requests = _requests(teacher)
    rows = _rows(list(teacher.replies(iter(requests))))
    assert len(rows) == len(requests)
    for request in requests:
        row = rows[request.request_id]
        assert {name: type(value) for name, value in row.items()} == COLUMNS
        assert list(row) == list(COLUMNS)
        assert (row["review_id"], row["prompt"]) == (request.review_id, request.prompt)
        assert (row["teacher"], row["teacher_revision"]) == (teacher.name, teacher.revision)
        assert json.loads(row["sampling"]) == teacher.sampling
        assert row["finish_reason"] in ("stop", "length")


def test_the_same_requests_get_the_same_rows_whatever_their_order_and_company(contracted: Contracted):
    teacher = contracted.teacher
    requests = _requests(teacher)
    rows = _rows(list(teacher.replies(requests)))
    assert _rows(list(teacher.replies(requests[::-1]))) == rows
    assert _rows([some for one in requests[2:5] for some in teacher.replies([one])]).items() <= rows.items()


def test_no_more_is_taken_than_is_worked_on(contracted: Contracted):
    taken = recorded = 0

    def counted() -> Iterator[Request]:
        nonlocal taken
        for request in _many(contracted.teacher, 2 * contracted.most + 1):
            taken += 1
            yield request

    for answers in contracted.teacher.replies(counted()):
        assert taken - recorded <= contracted.most
        recorded += len(answers.rows)
    assert recorded == taken == 2 * contracted.most + 1


def test_what_was_taken_when_the_requests_end_is_answered(contracted: Contracted):
    requests = iter(_many(contracted.teacher, contracted.most + 3))
    asked: list[Request] = []
    recorded = 0

    def until_stopped() -> Iterator[Request]:
        while not recorded and (request := next(requests, None)):  # as at Ctrl-C: the source just ends
            asked.append(request)
            yield request

    rows = []
    for answers in contracted.teacher.replies(until_stopped()):
        rows.append(answers)
        recorded += len(answers.rows)
    assert set(_rows(rows)) == {request.request_id for request in asked}
    assert len(asked) <= contracted.most
    assert list(contracted.teacher.replies(iter([]))) == []


def test_one_refusal_has_its_reason_and_costs_the_others_nothing(contracted: Contracted):
    if not contracted.refuses:
        pytest.skip("this teacher replies to anything")
    requests = _requests(contracted.teacher, [*REVIEWS[:2], {"review_id": "long", "text": REFUSED}, *REVIEWS[2:]])
    answers = list(contracted.teacher.replies(iter(requests)))
    failures = [failure for some in answers for failure in some.failures]
    assert {failure.request.request_id for failure in failures} == {
        request.request_id for request in requests if request.review_id == "long"
    }
    assert all(failure.reason and failure.final for failure in failures)
    answered_ids = [row["request_id"] for some in answers for row in some.rows]
    assert sorted(answered_ids) == sorted(r.request_id for r in requests if r.review_id != "long")


def test_a_request_id_changes_with_everything_that_decides_the_reply():
    arguments = ([{"role": "user", "content": "a"}], "review", "t", "1", {"temperature": 0.0})
    changed = [
        ([{"role": "system", "content": "a"}], *arguments[1:]),
        (arguments[0], "other", *arguments[2:]),
        (*arguments[:2], "t2", *arguments[3:]),
        (*arguments[:3], "2", arguments[4]),
        (*arguments[:4], {"temperature": 0.5}),
    ]
    ids = [request_id(*arguments), *(request_id(*other) for other in changed)]
    assert len(set(ids)) == len(ids)
    assert all(len(one) == 32 for one in ids)
    assert request_id(*arguments) == ids[0]
