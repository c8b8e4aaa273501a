"""Intervals, paired tests and what a test set can show: `resampling` on counts, `comparing` from prediction rows."""

from hub_tools.evaluation.statistics.comparing import Comparison, Scored, compare, members, score_runs
from hub_tools.evaluation.statistics.resampling import (
    Interval,
    Paired,
    holm,
    noise_line,
    paired_test,
    score_interval,
    seed_interval,
    smallest_difference,
)
from hub_tools.evaluation.statistics.variation import StatisticsError, check_counts, f1_by_seed, mean_f1


__all__ = [
    "Comparison",
    "Interval",
    "Paired",
    "Scored",
    "StatisticsError",
    "check_counts",
    "compare",
    "f1_by_seed",
    "holm",
    "mean_f1",
    "members",
    "noise_line",
    "paired_test",
    "score_interval",
    "score_runs",
    "seed_interval",
    "smallest_difference",
]
