"""`eval.yaml`, by which a Hub takes a dataset for a benchmark, and the ids of its tasks.

Models say their scores in `.eval_results/*.yaml` as one value per task of a benchmark, so everything that a score
depends on is in the id: config, subset, rule, and the test set where it is not the one that paper 1 reports.

    >>> task_id("tsa-rest14", "implicit"), task_id("acos-rest16", "implicit_aspect", "strict")
    ('tsa-rest14-implicit-paper', 'acos-rest16-implicit-aspect-strict')
    >>> task_id("tsa-rest14", "all", split="test")
    'tsa-rest14-official-all-paper'
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import product

import yaml

from hub_tools.benchmarks.card import CONFIGS
from hub_tools.benchmarks.configs import headline_split, splits_of, subsets_of


FILE = "eval.yaml"
FRAMEWORK = "fsa-distill"
RULES = ("paper", "strict")
EMPTY = {("asqp-rest15", "implicit_opinion"), ("asqp-rest16", "implicit_opinion")}  # ASQP annotates none


def task_id(config: str, subset: str, rule: str = "paper", split: str | None = None) -> str:
    """The id, a slug, of the F1 on one subset by one rule: `<config>[-official]-<subset>-<rule>`.

    Args:
        split: the headline split if None; "test" of an FSA config is the official test set alone ("official").

    Raises:
        ValueError: a config, subset, rule or split that the benchmark does not have.
    """
    if config not in CONFIGS:
        raise ValueError(f"unknown config {config!r}; allowed: {', '.join(CONFIGS)}")
    for name, value, allowed in (
        ("subset", subset, subsets_of(config)),
        ("rule", rule, RULES),
        ("split", split or headline_split(config), splits_of(config)),
    ):
        if value not in allowed:
            raise ValueError(f"unknown {name} {value!r} of {config}; allowed: {', '.join(allowed)}")
    official = "-official" if split not in (None, headline_split(config)) else ""
    return f"{config}{official}-{subset.replace('_', '-')}-{rule}"


def tasks(configs: Iterable[str]) -> Iterator[dict[str, str]]:
    """Every task of these configs as `eval.yaml` lists them: `id`, `config`, `split`; none without sentences."""
    for config in configs:
        for split, subset, rule in product(splits_of(config), subsets_of(config), RULES):
            if (config, subset) not in EMPTY:
                yield {"id": task_id(config, subset, rule, split), "config": config, "split": split}


def eval_yaml(name: str, description: str, configs: Sequence[str]) -> str:
    """The text of `eval.yaml`, for the root of the dataset's repo.

    Raises:
        ValueError: unknown config.
    """
    content = {
        "name": name,
        "description": description,
        "evaluation_framework": FRAMEWORK,
        "tasks": list(tasks(configs)),
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)
