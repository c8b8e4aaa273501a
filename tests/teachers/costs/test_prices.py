"""Prices: the user's, the table's, or an honest None."""

import re
from dataclasses import dataclass
from datetime import date

import pytest

from hub_tools.teachers.costs.budget import BudgetSettings
from hub_tools.teachers.costs.prices import SOURCE, TABLE, Price, gpus_of, how_to_price, price_of
from hub_tools.teachers.settings import TeacherSettings


@dataclass
class Settings(TeacherSettings, BudgetSettings):
    """What a labelling run reads from its YAML, as far as a price needs it."""


def openai(**values) -> Settings:
    return Settings(**{"teacher": "openai", "endpoints": ["https://api.openai.com/v1"], **values})


def test_the_table_knows_models_by_name_and_by_dated_snapshot():
    for model in ("gpt-4o-mini", "gpt-4o-mini-2024-07-18"):
        price = price_of(openai(model=model))
        assert (price.input, price.output) == (0.15, 0.60)
        assert price.source == f"{SOURCE}, 2026-10-14"
    assert price_of(openai(model="gpt-3.5-turbo-0125")).cost(1e6, 1e6) == 2.0


def test_batches_cost_half():
    once, batch = (price_of(openai(teacher=name, model="gpt-4.1")) for name in ("openai", "openai-batch"))
    assert (batch.input, batch.output) == (once.input / 2, once.output / 2) == (1.0, 4.0)
    assert "half for batches" in batch.source


def test_models_that_think_say_so_and_may_charge_for_their_cache():
    price = price_of(openai(model="gpt-6-luna"))
    assert "hidden reasoning" in price.note
    assert price.cost(1e6, 0) == pytest.approx(0.10)
    assert price.at_most(1e6, 0) == pytest.approx(0.125)


def test_a_model_that_is_withdrawn_says_when():
    assert price_of(openai(model="gpt-3.5-turbo")).note == "OpenAI's last day of gpt-3.5-turbo is 2026-10-23"


def test_every_line_of_the_table_is_dated_and_positive():
    for model, listed in TABLE.items():
        assert re.fullmatch(r"gpt-[\w.-]+", model)
        assert 0 < listed.input < listed.output
        assert date(2026, 1, 1) < date.fromisoformat(listed.date) <= date(2026, 11, 21)
        assert not listed.retired or date.fromisoformat(listed.retired)


@pytest.mark.parametrize("teacher", ["lexicon", "transformers", "vllm", "ray", "recorded"])
def test_tokens_of_ones_own_machine_are_free_and_its_time_is_not(teacher):
    price = price_of(Settings(teacher=teacher, model="gpt-4o", price_gpu_hour=1.5, gpus=4))
    assert price.cost(10**9, 10**9) == 0
    assert price.cost(10**9, 10**9, hours=2) == 12


def test_gpus_are_counted_from_how_the_engines_spread():
    assert gpus_of(Settings(tensor_parallel_size=4, pipeline_parallel_size=2, workers=3)) == 24
    assert gpus_of(Settings(tensor_parallel_size=4, gpus=5)) == 5


@pytest.mark.parametrize(
    "values",
    [
        {"model": "gpt-9-nova"},
        {"model": "gpt-4o", "endpoints": ["http://127.0.0.1:8000/v1"]},
        {"model": "gpt-4o", "endpoints": ["https://api.openai.com/v1", "https://cheap.example/v1"]},
        {"model": "gpt-4o", "endpoints": ["https://api.openai.com.evil.example/v1"]},
    ],
)
def test_an_unknown_model_or_another_host_has_no_price_and_says_how_to_give_one(values):
    settings = openai(**values)
    assert price_of(settings) is None
    told = how_to_price(settings)
    assert values["model"] in told
    assert "`price_input` and `price_output`" in told


def test_the_users_prices_win_also_over_free_ones():
    assert price_of(openai(model="gpt-4o", price_input=1.0, price_output=2.0)).cost(1e6, 1e6) == 3.0
    assert price_of(Settings(teacher="vllm", price_input=1.0, price_output=0)).cost(1e6, 1e6) == 1.0
    own = price_of(openai(model="x", endpoints=["http://h/v1"], price_input=0, price_output=0, price_gpu_hour=2))
    assert own == Price(0, 0, hour=2, source="as given")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"price_input": 1.0}, "`price_input` and `price_output` come together"),
        ({"price_input": -2, "price_output": 1}, "`price_input` is -2"),
        ({"price_input": float("nan"), "price_output": 1}, "`price_input` is nan"),
        ({"price_gpu_hour": -1}, "`price_gpu_hour` is -1"),
        ({"gpus": -1}, "`gpus` is -1"),
    ],
)
def test_prices_that_make_no_sense_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        price_of(Settings(**values))
