"""What "Distilling Fine-grained Sentiment Understanding from LLMs" (arXiv 2412.18552) published, as data.

F1 in percent as printed, by the paper's rule, of other students and other teachers than ours: these numbers are shown
beside ours in a block of their own, and never ranked with them. Two averages of Table 4 do not follow from its cells
and are kept as printed: InstructABSA +1.05 (the cells give +1.07), Mixtral-8x7b without labels +2.48 (+2.40).

    >>> published(4).lines[0].method, published(4).lines[0].average
    ('T5-base', 56.2)
"""

from collections.abc import Sequence
from typing import NamedTuple


SOURCE = "Published, arXiv 2412.18552"
FSA = ("tsa-rest14", "tsa-laptop14", "asa-rest16", "asa-laptop16")
QUADS = ("acos-laptop16", "acos-rest16", "asqp-rest15", "asqp-rest16")


class PublishedLine(NamedTuple):
    """One method's scores, in the order of the table's `cells`."""

    teacher: str  # the heading the paper puts it under: an LLM, or "" for students without one
    method: str
    scores: tuple[float, ...]
    average: float | None  # as printed: the baseline's mean, the others' difference to it; None: none is printed


class PublishedTable(NamedTuple):
    """A table of the paper; `cells` are (benchmark config, subset)."""

    number: int
    caption: str
    split: str
    cells: tuple[tuple[str, str], ...]
    lines: tuple[PublishedLine, ...]


def published(number: int) -> PublishedTable:
    """Table 4, 6, 12 or 13 of the paper."""
    caption, split, cells, text = TABLES[number]
    return PublishedTable(number, caption, split, tuple(cells), tuple(_lines(text)))


def _lines(text: str) -> Sequence[PublishedLine]:
    """Reads `method | scores | average` under `[teacher]` headings."""
    lines, teacher = [], ""
    for line in text.strip().splitlines():
        if line.startswith("["):
            teacher = line.strip("[]")
            continue
        method, scores, *average = (part.strip() for part in line.split("|"))
        values = tuple(map(float, scores.split()))
        lines.append(PublishedLine(teacher, method, values, float(average[0]) if average else None))
    return lines


TABLE_4 = """
T5-base                   | 67.33 51.73 57.23 60.78 50.40 53.08 68.70 62.11 63.66 49.36 43.32 46.70 | 56.20
InstructABSA              | 67.88 52.11 55.89 62.94 51.61 54.09 71.49 66.17 63.10 49.77 42.76 49.39 | +1.05
DAPT                      | 68.31 52.77 58.80 61.42 51.00 53.77 71.31 66.01 65.28 50.23 44.06 46.03 | +1.22
Rating prediction         | 69.35 54.65 59.77 61.09 50.06 51.31 70.53 64.41 65.04 50.56 44.19 45.29 | +0.99
General distillation      | 66.91 51.65 57.45 59.54 48.20 52.29 67.15 60.34 61.22 46.91 39.86 45.35 | -1.46
[Llama-2-7b]
In-context learning       | 40.02 34.81 34.11 19.35 19.52 21.69 41.68 38.43 28.05 18.81 19.89 10.13 | -28.99
Supervised fine-tuning    | 70.72 58.47 61.81 63.39 54.16 55.94 75.44 70.03 71.03 57.55 51.60 55.25 | +5.92
Distil (ANL w/o R)        | 68.17 52.94 60.14 62.08 51.56 54.33 70.24 64.82 64.79 50.47 44.65 48.73 | +1.54
Distil (ANL w/o L)        | 68.74 53.98 60.26 62.71 52.61 54.34 70.72 64.55 63.62 51.21 44.87 47.51 | +1.73
Distil (ANL)              | 68.89 53.86 60.33 62.72 52.50 54.61 70.85 64.71 65.24 51.16 45.37 50.31 | +2.18
Distil (RW)               | 69.20 53.69 59.93 62.74 53.28 55.19 71.86 66.15 66.97 52.14 46.28 50.40 | +2.79
Distil (ANL&RW)           | 68.85 54.44 60.64 63.21 53.16 55.10 72.27 66.38 66.13 51.81 45.75 50.30 | +2.80
Distil (ANL&RW, 1M)       | 69.96 56.17 61.15 63.93 54.25 57.16 74.17 68.47 70.00 54.70 49.14 53.43 | +4.84
[Mixtral-8x7b]
In-context learning       | 51.15 43.15 45.42 30.74 32.00 39.29 54.87 49.83 50.91 28.68 26.52 29.48 | -16.03
Supervised fine-tuning    | 72.59 59.97 64.21 64.40 55.34 55.95 78.35 74.03 73.46 60.25 55.45 60.18 | +8.31
Distil (ANL w/o R)        | 68.12 53.04 59.49 62.92 52.66 56.82 69.21 63.05 64.18 50.90 45.14 50.54 | +1.81
Distil (ANL w/o L)        | 69.29 54.63 61.76 62.97 53.02 55.81 71.21 65.45 64.90 51.25 45.03 47.92 | +2.48
Distil (ANL)              | 69.21 54.34 61.16 63.07 53.60 54.93 71.51 65.66 66.32 51.68 46.19 50.36 | +2.80
Distil (RW)               | 68.95 54.00 60.22 62.21 51.27 53.40 71.96 66.02 65.92 52.16 46.42 50.45 | +2.38
Distil (ANL&RW)           | 69.69 54.96 61.82 63.77 53.63 57.43 72.13 66.60 66.92 52.94 47.30 51.91 | +3.73
Distil (ANL&RW, 1M)       | 71.21 58.08 62.48 65.04 55.01 59.07 75.33 70.07 71.34 55.30 49.05 54.42 | +6.00
[GPT-3.5]
In-context learning       | 51.28 43.11 48.35 28.69 30.73 35.07 56.63 52.75 52.23 28.90 29.25 32.54 | -15.41
Distil (ANL w/o R)        | 68.86 53.81 59.70 62.45 51.65 54.85 71.29 65.76 65.97 51.28 45.30 47.68 | +2.02
Distil (ANL w/o L)        | 68.99 54.20 60.54 62.34 52.30 55.10 71.84 65.48 66.93 51.79 45.80 50.36 | +2.61
Distil (ANL)              | 69.23 55.06 60.19 62.84 52.74 55.00 71.21 65.51 65.22 51.63 45.39 49.95 | +2.46
Distil (RW)               | 69.35 54.64 60.60 62.30 51.92 53.13 71.60 65.71 66.91 51.95 45.84 49.17 | +2.39
Distil (ANL&RW)           | 69.45 55.28 61.03 62.96 52.96 56.66 72.80 67.06 68.11 53.11 47.49 52.19 | +3.73
"""

TABLE_6 = """
T5-base                   | 57.23 53.08 63.66 46.70 | 55.17
[Mixtral-8x7b]
R11111                    | 60.38 55.41 67.22 52.58 | +3.73
R00100                    | 60.87 53.11 68.35 51.91 | +3.39
R12421                    | 61.82 57.43 66.92 51.91 | +4.35
"""

TABLE_12 = """
T5-base                   | 75.77 68.35 74.70 51.63
DAPT                      | 76.46 69.31 76.85 51.95
Rating prediction         | 77.52 68.46 75.78 52.77
[Llama-2-7b]
In-context learning       | 43.07 18.44 46.42 19.14
Supervised fine-tuning    | 78.74 71.23 79.59 60.13
Distil (ANL&RW)           | 77.15 71.09 77.99 53.48
Distil (ANL&RW, 1M)       | 78.06 71.73 79.06 55.98
[Mixtral-8x7b]
In-context learning       | 53.54 29.74 60.56 29.53
Supervised fine-tuning    | 80.40 72.44 82.91 62.54
Distil (ANL&RW)           | 77.83 72.61 77.64 54.21
Distil (ANL&RW, 1M)       | 79.05 73.48 79.41 56.89
[GPT-3.5]
In-context learning       | 55.36 27.08 61.56 27.99
Distil (ANL&RW)           | 77.68 71.03 78.14 54.33
"""

TABLE_13 = """
T5-base                   | 44.35 59.77 48.23 59.17 | 52.88
[Llama-2-7b]
Distil (1M)               | 44.68 62.00 51.78 62.97 | +2.48
[Mixtral-8x7b]
Distil (1M)               | 45.44 62.41 52.99 62.87 | +3.05
[GPT-3.5]
Distil (100K)             | 45.21 63.09 50.38 61.95 | +2.28
"""

TABLES = {
    4: (
        "Fully supervised, official test sentences and the hard ones",
        "test_hard",
        [(config, subset) for config in FSA for subset in ("all", "implicit", "multiple")],
        TABLE_4,
    ),
    6: ("Sampling schemes of the reviews", "test_hard", [(config, "multiple") for config in FSA], TABLE_6),
    12: ("Original test sets", "test", [(config, "all") for config in FSA], TABLE_12),
    13: ("Sentiment quads", "test", [(config, "all") for config in QUADS], TABLE_13),
}
