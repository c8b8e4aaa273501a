"""
How fast the scorer is, beside the plain search through two lists that the reference code does.

python tests/benchmarks/scorer_speed.py
"""

import random
import time

from hub_tools.evaluation.scoring import score_texts


WORDS = "food staff soup tea bread service menu price room view wine music table waiter".split()
POLARITIES = ("positive", "neutral", "negative")


def make_rows(n: int, seed: int = 0) -> list[list]:
    """Predictions, references, sentences and flags of n sentences, none of which is predicted as it is written."""
    rng = random.Random(seed)
    columns: list[list] = [[], [], [], [], []]
    for number in range(n):
        targets = rng.sample(WORDS, 3)
        gold = [f"{target} | {rng.choice(POLARITIES)}" for target in targets[: rng.choice((0, 1, 1, 2, 3))]]
        said = [item if rng.random() < 0.8 else f"{rng.choice(WORDS)} | negative" for item in gold]
        row = (" ; ".join(said) + " ", " ; ".join(gold), f"The {' '.join(targets)} of {number}.")
        for column, value in zip(columns, (*row, rng.random() < 0.4, rng.random() < 0.2), strict=True):
            column.append(value)
    return columns


def search_lists(predictions: list[str], references: list[str], sentences: list[str]) -> float:
    """The paper's rule with lists, as its reference code searches them: quadratic in the number of pairs."""

    def read(column: list[str]) -> list[tuple]:
        found = []
        for index, text in enumerate(column):
            for item in text.split(";"):
                parts = [part.strip() for part in item.split("|")]
                if len(parts) == 2 and parts[1] in (*POLARITIES, "conflict") and parts[0] in sentences[index]:
                    found.append((index, *parts))
        return found

    predicted, gold = read(predictions), read(references)
    precision = sum(pair in gold for pair in predicted) / len(predicted)
    recall = sum(pair in predicted for pair in gold) / len(gold)
    return 2 * precision * recall / (precision + recall)


def seconds(function, *arguments, repeats: int = 3) -> tuple[float, object]:
    """The best of several runs, and what the function returned."""
    best, result = float("inf"), None
    for _ in range(repeats):
        start = time.perf_counter()
        result = function(*arguments)
        best = min(best, time.perf_counter() - start)
    return best, result


def main() -> None:
    for n in (1_000, 3_000):
        columns = make_rows(n)
        ours, scores = seconds(score_texts, *columns)
        lists, f1 = seconds(search_lists, *columns[:3], repeats=1)
        assert scores["f1"] == f1
        print(f"{n:>9,} sentences: {ours:8.4f} s; search through lists {lists:8.4f} s ({lists / ours:,.0f} times)")
    for n in (10_000, 100_000, 1_000_000):
        ours, _ = seconds(score_texts, *make_rows(n))
        print(f"{n:>9,} sentences: {ours:8.4f} s, {1e6 * ours / n:.2f} µs each")


if __name__ == "__main__":
    main()
