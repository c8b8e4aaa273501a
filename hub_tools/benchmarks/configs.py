"""What the name of a config says: its task, the splits that it is tested on, and the subsets that are scored.

>>> task_of("tsa-mine"), splits_of("tsa-mine"), subsets_of("asqp-rest16")
('tsa', ('test_hard', 'test'), ('all', 'implicit_aspect', 'implicit_opinion', 'multiple'))
"""

from hub_tools.opinions import fields_of


SUBSETS = ("all", "implicit", "multiple")
QUAD_SUBSETS = ("all", "implicit_aspect", "implicit_opinion", "multiple")


def task_of(config: str) -> str:
    """`"tsa-rest14"` → `"tsa"`."""
    return config.partition("-")[0]


def is_quads(config: str) -> bool:
    """Whether its opinions are quads, which quote opinion words too.

    Raises:
        ValueError: the name does not begin with a task.
    """
    return "opinion" in fields_of(task_of(config))


def splits_of(config: str) -> tuple[str, ...]:
    """The splits that a config is tested on, the headline split first; the quads have no hard one."""
    return ("test",) if is_quads(config) else ("test_hard", "test")


def headline_split(config: str) -> str:
    """The split whose scores stand for a config: `test_hard`, which the paper reports, or a quad set's `test`."""
    return splits_of(config)[0]


def subsets_of(config: str) -> tuple[str, ...]:
    """The subsets that are scored; of quads, either half may be implicit."""
    return QUAD_SUBSETS if is_quads(config) else SUBSETS
