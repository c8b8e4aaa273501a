"""Counting tokens: exactly with the teacher's tokenizer, honestly estimated without, and never above the bound."""

import sys
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tools.prompts import BUILDERS
from hub_tools.teachers.chat import ChatTokenizer
from hub_tools.teachers.costs import counting
from hub_tools.teachers.costs.counting import byte_bound, counter_for
from hub_tools.teachers.settings import TeacherSettings


MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Très bon café ☕"}]


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def test_a_local_teachers_own_tokenizer_counts_exactly(tiny_llama):
    counter = counter_for(TeacherSettings(teacher="vllm", model=str(tiny_llama)))
    assert counter.count(MESSAGES) == counter.bound(MESSAGES) == ChatTokenizer(str(tiny_llama)).count(MESSAGES)
    assert (counter.error, counter.how) == (0, f"by the tokenizer of {tiny_llama}")
    assert counter.quick(MESSAGES) >= counter.bound(MESSAGES)


def test_an_endpoint_counts_by_the_tokenizer_that_is_named(tiny_llama):
    counter = counter_for(TeacherSettings(teacher="openai", model="served-name", tokenizer=str(tiny_llama)))
    assert counter.count(MESSAGES) == ChatTokenizer(str(tiny_llama)).count(MESSAGES)


def test_a_tokenizer_that_cannot_be_read_is_said_and_bytes_are_counted(tmp_path):
    for model in (str(tmp_path / "nothing"), "nobody/no-such-model"):
        counter = counter_for(TeacherSettings(teacher="transformers", model=model))
        assert f"estimated, 4.15 bytes a token (the tokenizer of {model} cannot be used: " in counter.how
        assert counter.error > 0


def test_an_endpoint_without_a_tokenizer_is_estimated_and_says_so():
    counter = counter_for(TeacherSettings(teacher="openai", model="some-model"))
    assert counter.how == "estimated, 4.15 bytes a token (no `tokenizer` is named)"
    messages = BUILDERS["analysis"]("The soup was cold. " * 10)
    # cl100k makes 319 tokens of the prompt, and five of each sentence.
    assert counter.count(messages) == pytest.approx(319 + 50, rel=counter.error)


def test_the_lexicon_counts_words():
    counter = counter_for(TeacherSettings())
    assert counter.count(MESSAGES) == counter.bound(MESSAGES) == 4


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_no_byte_level_tokenizer_passes_the_bound_on_bytes(texts):
    messages = [{"role": "user", "content": text} for text in texts]
    tokens_of_bytes = sum(len(f"[user]{text}".encode()) for text in texts) + len("[assistant]")
    assert tokens_of_bytes <= byte_bound(messages)
    counter = counter_for(TeacherSettings(teacher="openai", model="some-model"))
    assert counter.count(messages) <= counter.bound(messages)


def test_tiktoken_counts_where_it_is_installed_and_its_file_is_at_hand(tmp_path, monkeypatch):
    """The package is not among ours: a stand-in of its two functions, and its cache's real file name."""

    class Encoding:
        name = "o200k_base"

        def encode_ordinary(self, text):
            return text.split()

    package, model = ModuleType("tiktoken"), ModuleType("tiktoken.model")
    package.get_encoding = lambda name: Encoding()
    model.encoding_name_for_model = {"gpt-4o": "o200k_base"}.__getitem__
    monkeypatch.setitem(sys.modules, "tiktoken", package)
    monkeypatch.setitem(sys.modules, "tiktoken.model", model)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    settings = TeacherSettings(teacher="openai", model="gpt-4o")
    assert "estimated" in counter_for(settings).how
    (tmp_path / "fb374d419588a4632f3f557e76b4b70aebbca790").touch()
    counter = counter_for(settings)
    assert counter.how == "by tiktoken's o200k_base"
    assert counter.count(MESSAGES) == (2 + 4) + (4 + 4) + 3
    assert counter.bound(MESSAGES) > counter.count(MESSAGES)
    assert "estimated" in counter_for(TeacherSettings(teacher="openai", model="other")).how
    assert counting.ESTIMATE_ERROR > 0
