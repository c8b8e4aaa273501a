"""
How fast the scorer is, beside the plain search through two lists that the reference code does.

python tests/benchmarks/scorer_speed.py

Seconds are the processor's: both sides run on one thread and wait for nothing, and others may share the machine.
"""

import random
import resource
import time

from hub_tools.evaluation.rules import RULES
from hub_tools.evaluation.scoring import score_texts


WORDS = "food staff soup tea bread service menu price room view wine music table waiter".split()
POLARITIES = ("positive", "neutral", "negative")
CATEGORIES = ("food quality", "food prices", "service general", "ambience general")


def make_rows(n: int, task: str = "tsa", seed: int = 0) -> list[list]:
    """Predictions, references, sentences and flags of n sentences, none of which is predicted as it is written."""
    rng = random.Random(seed)
    columns: list[list] = [[], [], [], [], []]

    def item(target: str) -> str:
        polarity = rng.choice(POLARITIES)
        if task == "tsa":
            return f"{target} | {polarity}"
        words = rng.choice(("good", "none"))
        return f"{rng.choice(CATEGORIES)} | {polarity} | {rng.choice((target, target, 'none'))} | {words}"

    for number in range(n):
        targets = rng.sample(WORDS, 3)
        gold = [item(target) for target in targets[: rng.choice((0, 1, 1, 2, 3))]]
        said = [written if rng.random() < 0.8 else item(rng.choice(WORDS)) for written in gold]
        row = (" ; ".join(said) + " ", " ; ".join(gold), f"The {' '.join(targets)} of {number} is good.")
        for column, value in zip(columns, (*row, rng.random() < 0.4, rng.random() < 0.2), strict=True):
            column.append(value)
    return columns


def search_lists(predictions: list[str], references: list[str], sentences: list[str], task: str) -> float:
    """The paper's rule with lists, as its reference code searches them: quadratic in the number of items."""

    def usable(parts: list[str], sentence: str) -> bool:
        if task == "tsa":
            return len(parts) == 2 and parts[1] in (*POLARITIES, "conflict") and parts[0] in sentence
        said = len(parts) == 4 and all(part in sentence or part == "none" for part in parts[2:])
        return said and parts[1] in POLARITIES

    def read(column: list[str]) -> list[tuple]:
        found = []
        for index, text in enumerate(column):
            for item in text.split(";"):
                parts = [part.strip() for part in item.split("|")]
                if usable(parts, sentences[index]):
                    found.append((index, *parts))
        return found

    predicted, gold = read(predictions), read(references)
    precision = sum(item in gold for item in predicted) / len(predicted)
    recall = sum(item in predicted for item in gold) / len(gold)
    return 2 * precision * recall / (precision + recall)


def seconds(function, *arguments, repeats: int = 3) -> tuple[float, object]:
    """The best of several runs, and what the function returned."""
    best, result = float("inf"), None
    for _ in range(repeats):
        start = time.process_time()
        result = function(*arguments)
        best = min(best, time.process_time() - start)
    return best, result


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    for task in ("tsa", "acos"):
        print(f"{task}, the paper's rule and the strict one, all subsets")
        for n in (1_000, 10_000):
            columns = make_rows(n, task)
            ours, scores = seconds(score_texts, *columns, task)
            lists, f1 = seconds(search_lists, *columns[:3], task, repeats=1)
            assert scores["f1"] == f1
            print(f"{n:>9,} sentences: {ours:8.4f} s; search through lists {lists:8.4f} s ({lists / ours:,.0f} times)")
        for n in (100_000, 1_000_000):
            columns = make_rows(n, task)
            before = peak_mib()
            ours, _ = seconds(score_texts, *columns, task)
            more = peak_mib() - before
            print(f"{n:>9,} sentences: {ours:8.4f} s, {1e6 * ours / n:.2f} µs each, {more:.0f} MiB beyond the input")
    for rule in RULES[2:]:
        for task in ("tsa", "acos"):
            columns = make_rows(10_000, task)
            ours, _ = seconds(score_texts, *columns, task, [rule])
            print(f"   10,000 sentences of {task} with {rule} added: {ours:8.4f} s")


if __name__ == "__main__":
    main()
