"""The transformers teacher: prompts, stops and lengths."""

import json
import shutil
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


def test_a_nucleus_of_next_to_nothing_is_the_likeliest_token(tiny_llama: Path):
    def reply(**settings: float) -> str:
        return TransformersTeacher(str(tiny_llama), dtype="float32", **settings).reply([_request("a")])[0]["reply"]

    assert reply(temperature=2.0, top_p=1e-6, max_new_tokens=5) == reply(max_new_tokens=5)
    assert reply(temperature=2.0, max_new_tokens=5) != reply(max_new_tokens=5)


def test_only_the_stop_tokens_of_a_models_generation_config_are_heard(tiny_llama: Path, tmp_path: Path):
    folder = shutil.copytree(tiny_llama, tmp_path / "Tiny-Llama")
    stops = [2, *range(3, 40)]
    wishes = {"eos_token_id": stops, "repetition_penalty": 1e6, "do_sample": True, "top_k": 1, "num_beams": 3}
    (folder / "generation_config.json").write_text(json.dumps(wishes))
    wishful = TransformersTeacher(str(folder), max_new_tokens=5, dtype="float32")
    plain = TransformersTeacher(str(tiny_llama), max_new_tokens=5, dtype="float32")
    assert wishful.stops == set(stops)
    plain.stops = set(stops)
    requests = [_request(text) for text in ("a", "bc", "Good soup!")]
    assert [row["reply"] for row in wishful.reply(requests)] == [row["reply"] for row in plain.reply(requests)]


def test_wrong_settings_say_what_is_allowed(tiny_llama: Path):
    with pytest.raises(ValueError, match="allowed: float32, bfloat16, float16"):
        TransformersTeacher(str(tiny_llama), dtype="int8")
    with pytest.raises(ValueError, match="temperature -1"):
        TransformersTeacher(str(tiny_llama), temperature=-1)
    with pytest.raises(ValueError, match="top_p 0 above 0"):
        TransformersTeacher(str(tiny_llama), top_p=0)
