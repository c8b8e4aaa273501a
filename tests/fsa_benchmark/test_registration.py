"""Task ids and `eval.yaml`: one task per score, and what the results of fine-tuning name finds its task."""

import doctest
import re

import pytest
import yaml

from hub_tools.benchmarks import fsa, quads, registration
from hub_tools.benchmarks.configs import splits_of, subsets_of
from hub_tools.benchmarks.registration import eval_yaml, task_id, tasks


CONFIGS = [*fsa.CONFIGS, *quads.CONFIGS]


def test_the_examples_in_the_docstring_hold():
    assert doctest.testmod(registration).failed == 0


def test_eval_yaml_is_what_the_hub_asks_for():
    read = yaml.safe_load(eval_yaml("FSA benchmark", "Opinions: who, what, how ✓", CONFIGS))
    assert (read["name"], read["description"]) == ("FSA benchmark", "Opinions: who, what, how ✓")
    assert read["evaluation_framework"]
    assert all(set(task) == {"id", "config", "split"} for task in read["tasks"])
    ids = [task["id"] for task in read["tasks"]]
    assert len(set(ids)) == len(ids) == 4 * 3 * 2 * 2 + 2 * 4 * 2 + 2 * 3 * 2
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in ids)
    assert {"id": "asqp-rest15-multiple-strict", "config": "asqp-rest15", "split": "test"} in read["tasks"]


@pytest.mark.parametrize("config", CONFIGS)
def test_every_score_of_the_results_has_a_task(config):
    listed = {task["id"] for task in tasks([config])}
    made = {
        task_id(config, subset, rule, split)
        for split in splits_of(config)
        for subset in subsets_of(config)
        for rule in registration.RULES
        if not (config.startswith("asqp") and subset == "implicit_opinion")  # nobody annotated one
    }
    assert made == listed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tsa-rest15", "all"), "unknown config 'tsa-rest15'; allowed: tsa-rest14, "),
        (("tsa-rest14", "implicit_aspect"), "unknown subset 'implicit_aspect' of tsa-rest14; allowed: all, implicit"),
        (("acos-rest16", "all", "partial"), "unknown rule 'partial' of acos-rest16; allowed: paper, strict"),
        (("acos-rest16", "all", "paper", "test_hard"), "unknown split 'test_hard' of acos-rest16; allowed: test"),
    ],
    ids=["config", "subset", "rule", "split"],
)
def test_what_the_benchmark_does_not_have_has_no_task(arguments, message):
    with pytest.raises(ValueError, match=message):
        task_id(*arguments)
