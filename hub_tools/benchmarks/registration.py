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

from hub_tools.benchmarks import fsa, quads


FILE = "eval.yaml"
FRAMEWORK = "fsa-distill"
RULES = ("paper", "strict")
EMPTY = {("asqp-rest15", "implicit_opinion"), ("asqp-rest16", "implicit_opinion")}  # ASQP annotates none


def headline_split(config: str) -> str:
    """The split that papers report: `test_hard` of the FSA configs, `test` of the quads, which have no hard one.

    Raises:
        ValueError: unknown config.
    """
    return splits_of(config)[0]


def splits_of(config: str) -> tuple[str, ...]:
    """The splits that a config is tested on, the headline split first.

    Raises:
        ValueError: unknown config.
    """
    if config in fsa.CONFIGS:
        return ("test_hard", "test")
    if config in quads.CONFIGS:
        return ("test",)
    raise ValueError(f"unknown config {config!r}; allowed: {', '.join([*fsa.CONFIGS, *quads.CONFIGS])}")


def subsets_of(config: str) -> tuple[str, ...]:
    """The subsets that are scored; of quads, either half may be implicit.

    Raises:
        ValueError: unknown config.
    """
    if len(splits_of(config)) == 1:
        return ("all", "implicit_aspect", "implicit_opinion", "multiple")
    return ("all", "implicit", "multiple")


def task_id(config: str, subset: str, rule: str = "paper", split: str | None = None) -> str:
    """The id, a slug, of the F1 on one subset by one rule: `<config>[-official]-<subset>-<rule>`.

    Args:
        split: the headline split if None; "test" of an FSA config is the official test set alone ("official").

    Raises:
        ValueError: a config, subset, rule or split that the benchmark does not have.
    """
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
