"""The contract that every teacher keeps: one reply per request, in order, ids kept, the same again next time."""

from pathlib import Path

import pytest

from hub_tools.prompts import BUILDERS
from hub_tools.teachers.journal import COLUMNS
from hub_tools.teachers.lexicon import LexiconTeacher
from hub_tools.teachers.request import Request, request_id, requests_for
from hub_tools.teachers.transformers_lm import TransformersTeacher


TEXTS = ["The soup was superb but the waiter ignored us.", "ok", "so slow 🐌 \\n", "", "The screen is bright. " * 20]
REVIEWS = [{"review_id": f"r{n}", "text": text} for n, text in enumerate(TEXTS)]


@pytest.fixture(params=["lexicon", "transformers", "transformers, sampled"])
def teacher(request: pytest.FixtureRequest, tiny_llama: Path) -> LexiconTeacher | TransformersTeacher:
    if request.param == "lexicon":
        return LexiconTeacher()
    temperature = 0.8 if request.param.endswith("sampled") else 0.0
    return TransformersTeacher(
        str(tiny_llama), max_new_tokens=6, temperature=temperature, batch_size=3, dtype="float32"
    )


def _requests(teacher: LexiconTeacher | TransformersTeacher) -> list[Request]:
    return list(requests_for(REVIEWS, BUILDERS, teacher.name, teacher.revision, teacher.sampling))


def test_one_reply_per_request_in_order(teacher: LexiconTeacher | TransformersTeacher):
    requests = _requests(teacher)
    rows = teacher.reply(requests)
    assert [(row["request_id"], row["review_id"], row["prompt"]) for row in rows] == [
        (request.request_id, request.review_id, request.prompt) for request in requests
    ]
    for row in rows:
        assert list(row) == list(COLUMNS)
        assert isinstance(row["reply"], str)
        assert row["finish_reason"] in ("stop", "length")
        assert (row["teacher"], row["teacher_revision"]) == (teacher.name, teacher.revision)
    assert teacher.reply([]) == []


def test_the_same_requests_get_the_same_replies_whatever_their_order(teacher: LexiconTeacher | TransformersTeacher):
    requests = _requests(teacher)
    rows = teacher.reply(requests)
    assert teacher.reply(requests) == rows
    assert teacher.reply(requests[::-1])[::-1] == rows
    assert teacher.reply(requests[3:5]) == rows[3:5]


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
