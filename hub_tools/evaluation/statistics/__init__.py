"""Intervals, paired tests and what a test set can show: `resampling` on counts, `comparing` from prediction rows."""

from hub_tools.evaluation.statistics.resampling import (
    Interval,
    Paired,
    StatisticsError,
    check_counts,
    f1_by_seed,
    holm,
    mean_f1,
    noise_line,
    paired_test,
    score_interval,
    seed_interval,
    smallest_difference,
)


__all__ = [
    "Interval",
    "Paired",
    "StatisticsError",
    "check_counts",
    "f1_by_seed",
    "holm",
    "mean_f1",
    "noise_line",
    "paired_test",
    "score_interval",
    "seed_interval",
    "smallest_difference",
]
