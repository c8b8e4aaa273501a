"""
Memory and time of reading and sampling reviews, from 10 thousand to 1 million, beside the obvious way: all of them in
a list. Every measurement is a process of its own, and the peak is the one that the system kept of it.

python tests/benchmarks/reviews_memory.py [--output reviews-memory.png] [--sizes 10000 100000 300000 1000000]
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as arrow
import pyarrow.parquet as parquet

from hub_tools.reviews.readers import read_reviews
from hub_tools.reviews.sampling import REVIEW_SCHEMA, sample_to_parquet
from hub_tools.reviews.settings import ReviewSettings


SIZES = (10_000, 100_000, 300_000, 1_000_000)
LISTED = 300_000  # a million in a list would take gigabytes
VOCABULARY = 20_000
WORDS = 80
NEAR, EXACT = 0.03, 0.01


def synthetic_lines(size: int, seed: int = 0) -> Iterator[str]:
    """Lines of Yelp's form, some 80 words each by Zipf's law; some repeat a recent one, some with a word changed."""
    rng = random.Random(seed)
    vocabulary = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(VOCABULARY)]
    totals, total = [], 0.0
    for rank in range(1, VOCABULARY + 1):
        total += 1 / rank
        totals.append(total)
    recent: list[list[str]] = []
    for number in range(size):
        chance = rng.random()
        if recent and chance < NEAR + EXACT:
            words = list(rng.choice(recent))
            if chance < NEAR:
                words[rng.randrange(len(words))] = f"new{number}"
        else:
            words = rng.choices(vocabulary, cum_weights=totals, k=max(10, round(rng.gauss(WORDS, 30))))
            recent = [*recent[-99:], words]
        stars = rng.choices((1, 2, 3, 4, 5), (15, 8, 11, 22, 44))[0]
        yield json.dumps(
            {"review_id": f"r{number}", "business_id": "b", "stars": float(stars), "text": " ".join(words) + "."}
        )


def write_reviews(path: Path, size: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in synthetic_lines(size))


def streamed(reviews: Path, draft: Path, n: int) -> str:
    """Our way, as `label_reviews` goes it."""
    settings = ReviewSettings(files=[str(reviews)], domain="restaurant")
    facts = sample_to_parquet(read_reviews(settings), draft, n)
    return f"{facts.exact_repeats} repeats, {facts.near_duplicates} near-duplicates, {facts.drawn} drawn"


def listed(reviews: Path, draft: Path, n: int) -> str:
    """The obvious way: every row in a list, every text in a set, no near-duplicates."""
    rows, texts = [], set()
    for row in read_reviews(ReviewSettings(files=[str(reviews)], domain="restaurant")):
        if row["text"] not in texts and 3 <= len(row["text"].split()) <= 180:
            texts.add(row["text"])
            rows.append(row)
    weights = (1, 2, 4, 2, 1)
    rng = random.Random(42)
    rows.sort(key=lambda row: rng.random() ** (1 / weights[int(row["rating"]) - 1]), reverse=True)
    parquet.write_table(arrow.Table.from_pylist(rows[:n], REVIEW_SCHEMA), draft)
    return f"{min(n, len(rows))} drawn"


def measure(way: str, reviews: Path, n: int) -> dict:
    """Peak memory (MB), seconds of the clock and of the processor of one way, in a fresh process."""
    command = [sys.executable, __file__, "--way", way, "--reviews", str(reviews), "--n", str(n)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def run_way(way: str, reviews: Path, n: int) -> None:
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=reviews.parent) as folder:
        told = {"streamed": streamed, "listed": listed}[way](reviews, Path(folder) / "sample.parquet", n)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    seconds, busy = time.perf_counter() - began, usage.ru_utime + usage.ru_stime
    print(json.dumps({"peak": usage.ru_maxrss / 1024, "seconds": seconds, "busy": busy, "told": told}))


LINES = {
    "streamed": ("read and sampled row by row, every row drawn", "#1f5fa8", "o"),
    "listed": ("all rows in a list", "#b8442f", "^"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="where to draw the curve: .png or .svg")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--reviews", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--n", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        run_way(arguments.way, arguments.reviews, arguments.n)
        return
    found: dict[str, list[tuple[int, dict]]] = {"streamed": [], "listed": []}
    for size in arguments.sizes:
        with tempfile.TemporaryDirectory() as folder:
            reviews = Path(folder) / "yelp.json"
            write_reviews(reviews, size)
            for way in found:
                if way == "listed" and size > LISTED:
                    continue
                result = measure(way, reviews, size)
                found[way].append((size, result))
                print(
                    f"{size:>9,} {way:8} {result['peak']:7.0f} MB {result['seconds']:7.1f} s "
                    f"({result['busy']:.1f} s of processor)  {result['told']}",
                    flush=True,
                )
    if arguments.output:
        from memory_curve import draw_curve  # here, for its libraries would count in what is measured

        draw_curve(found, LINES, "reviews of about 80 words", arguments.output)


if __name__ == "__main__":
    main()
