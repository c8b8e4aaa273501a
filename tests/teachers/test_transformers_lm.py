"""The transformers teacher: prompts, stops and lengths."""

from pathlib import Path

import pytest

from hub_tools.teachers.request import Request
from hub_tools.teachers.transformers_lm import TransformersTeacher


MESSAGES = [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]


@pytest.fixture(scope="module")
def teacher(tiny_llama: Path) -> TransformersTeacher:
    return TransformersTeacher(str(tiny_llama), max_new_tokens=5, dtype="float32")


def _request(review: str, number: int = 0) -> Request:
    return Request(f"{number:032x}", "r", review, "analysis", [{"role": "user", "content": review}])


def test_a_template_that_refuses_a_system_message_gets_it_with_the_first_user_message(teacher: TransformersTeacher):
    assert teacher.chat.prompt(MESSAGES) == "[user]S\n\nU[assistant]"


def test_a_tokenizer_without_a_template_gets_plain_turns(tiny_llama: Path):
    teacher = TransformersTeacher(str(tiny_llama), dtype="float32")
    teacher.chat.tokenizer.chat_template = None
    assert teacher.chat.prompt(MESSAGES) == "System: S\n\nUser: U\n\nAssistant:"


def test_tokens_are_counted_and_the_limit_is_told(teacher: TransformersTeacher):
    (row,) = teacher.reply([_request("abc")])
    assert row["prompt_tokens"] == len("[user]abc[assistant]")
    assert (row["finish_reason"], row["completion_tokens"]) == ("length", 5)
    assert row["teacher"] == "tiny-llama"


def test_a_reply_ends_at_the_stop_token(teacher: TransformersTeacher):
    stops, teacher.stops = teacher.stops, set(range(len(teacher.chat.tokenizer)))
    try:
        (row,) = teacher.reply([_request("abc")])
    finally:
        teacher.stops = stops
    assert (row["finish_reason"], row["completion_tokens"]) == ("stop", 1)


def test_a_batch_of_unequal_lengths_replies_as_one_by_one(teacher: TransformersTeacher):
    requests = [_request("x" * length, length) for length in (1, 90, 7)]
    together = teacher.reply(requests)
    assert together == [teacher.reply([request])[0] for request in requests]


def test_another_seed_samples_another_reply(tiny_llama: Path):
    replies = {
        TransformersTeacher(str(tiny_llama), temperature=2.0, seed=seed, dtype="float32").reply([_request("a")])[0][
            "reply"
        ]
        for seed in (1, 2)
    }
    assert len(replies) == 2


def test_wrong_settings_say_what_is_allowed(tiny_llama: Path):
    with pytest.raises(ValueError, match="allowed: float32, bfloat16, float16"):
        TransformersTeacher(str(tiny_llama), dtype="int8")
    with pytest.raises(ValueError, match="temperature -1"):
        TransformersTeacher(str(tiny_llama), temperature=-1)
