"""
Memory of tokenising a corpus and of reading it in pretraining's order, from 10 thousand to 1 million pairs, beside the
obvious way: every pair in a list. Every measurement is a process of its own, and the peak is the one that the system
kept of it.

Both go through what `recipes/pretrain.py` calls, but that the pairs come from a file, no Hub: `read_corpus` with its
tally of stars and domains, the hold-out by review, and the steps.

Pairs are made of words by Zipf's law, as many as Yelp and Amazon reviews and Mixtral's replies to them have tokens.
Above 20,000 the same pairs come again: they are read, compared, joined and stored like all others, and only not
tokenised again, which would take long and no memory.

python tests/benchmarks/pretraining_memory.py [--output pretraining-memory.png] [--sizes 10000 100000 1000000]
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate, islice
from pathlib import Path

import numpy as np
from transformers import T5Tokenizer

from hub_tools.corpus.reading import Rows
from hub_tools.distilling import inputs
from hub_tools.distilling.arguments import Pretrain
from hub_tools.distilling.choice import split
from hub_tools.distilling.inputs import Reading
from hub_tools.students.encoded import EncodedPairs
from hub_tools.students.step_plan import plan_step


SIZES = (10_000, 100_000, 1_000_000)
DISTINCT = 20_000
LISTED = 100_000  # more pairs in a list would take gigabytes
STEPS, PAIRS_PER_STEP = 200, 100
VOCABULARY = 5_000
WORDS = {"input": (70, 40), "target": (218, 90)}  # mean and standard deviation


def words() -> list[str]:
    letters = random.Random(0)
    return ["".join(letters.choices("abcdefghijklmnopqrstuvwxyz", k=letters.randint(2, 7))) for _ in range(VOCABULARY)]


def write_tokenizer(folder: Path) -> None:
    """A tokenizer to which each word is a token."""
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    T5Tokenizer(vocab=special + [(f"▁{word}", -4.0) for word in dict.fromkeys(words())]).save_pretrained(folder)


def write_pairs(path: Path, size: int) -> None:
    """Lines of pairs of random words, two pairs of each review."""
    rng, vocabulary = random.Random(1), words()
    weights = list(accumulate(1 / rank for rank in range(1, VOCABULARY + 1)))
    with path.open("w", encoding="utf-8") as file:
        for number in range(size):
            texts = {
                side: " ".join(rng.choices(vocabulary, cum_weights=weights, k=max(10, round(rng.gauss(mean, spread)))))
                for side, (mean, spread) in WORDS.items()
            }
            facts = {"review_id": f"r{number // 2}", "rating": number // 2 % 5 + 1, "domain": f"d{number // 2 % 3}"}
            file.write(json.dumps(facts | texts) + "\n")


def read_pairs(path: Path, size: int) -> Iterator[dict]:
    """As many pairs, over and over."""
    for start in range(0, size, DISTINCT):
        with path.open(encoding="utf-8") as file:
            yield from map(json.loads, islice(file, size - start))


def reading(folder: Path, size: int) -> tuple[Pretrain, Reading]:
    """The recipe's arguments, and what it reads of so many pairs; read and tokenised the first time only."""
    arguments = Pretrain(namespace="me", name="student", runs=str(folder / f"{size}"))
    inputs.pairs_of = lambda *_: (Rows(lambda: read_pairs(folder / "pairs.jsonl", size)), Counter())
    tokenizer = T5Tokenizer.from_pretrained(folder / "tokenizer")
    return arguments, inputs.read_corpus(arguments, {inputs.corpus_of(arguments): "0" * 40}, {}, tokenizer)


def encode(folder: Path, size: int) -> str:
    """Our way to make it: a chunk at a time."""
    corpus = reading(folder, size)[1].encoded
    stored = sum(path.stat().st_size for path in (folder / f"{size}").rglob("*") if path.is_file())
    return f"{corpus.cost['tokens'] / size:.0f} tokens and {stored / size:.0f} bytes a pair"


def read(folder: Path, size: int) -> str:
    """Our way to read it: through the memory map, all but what is held out."""
    arguments, (encoded, tally, _) = reading(folder, size)
    # Of repeated pairs the reviews are repeated too; a corpus of this size has as many as there are numbers here.
    encoded.__dict__["reviews"] = np.arange(size, dtype=np.uint64) // 2 * np.uint64(0x9E3779B97F4A7C15)
    training, validation = split(encoded, tally, arguments)
    reviews = len(np.unique(training.reviews))
    return f"{read_steps(training)}; {reviews} reviews, {len(validation)} pairs held out"


def listed(folder: Path, size: int) -> str:
    """The obvious way to read it: every pair in a list of Python's, tokenised already."""
    return read_steps(list(reading(folder, size)[1].encoded))


def read_steps(pairs: EncodedPairs | list) -> str:
    """What pretraining asks of its pairs in its first steps."""
    chosen = [index for step in range(STEPS) for index in plan_step(step, len(pairs), PAIRS_PER_STEP, 42)]
    if isinstance(pairs, EncodedPairs):
        assert len(pairs.lengths) == len(pairs)
    began = time.process_time()
    tokens = sum(len(source) + len(target) for source, target in map(pairs.__getitem__, chosen))
    seconds = time.process_time() - began
    return f"{tokens} tokens of {len(chosen)} pairs, {1e6 * seconds / len(chosen):.1f} µs of processor each"


WAYS = {"encode": encode, "read": read, "listed": listed}


def measure(way: str, folder: Path, size: int) -> dict:
    """Peak memory (MB), seconds of the clock and of the processor of one way, in a fresh process."""
    command = [sys.executable, __file__, "--way", way, "--folder", str(folder), "--n", str(size)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def run_way(way: str, folder: Path, size: int) -> None:
    libraries = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    began = time.perf_counter()
    told = WAYS[way](folder, size)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    seconds, busy = time.perf_counter() - began, usage.ru_utime + usage.ru_stime
    peak = usage.ru_maxrss / 1024
    print(json.dumps({"peak": peak, "libraries": libraries, "seconds": seconds, "busy": busy, "told": told}))


LINES = {
    "encode": ("tokenised into one Arrow file, chunk by chunk", "#1f5fa8", "o"),
    "read": ("read from it through a memory map, 200 steps", "#3a9a78", "s"),
    "listed": ("read from a list of all pairs, 200 steps", "#b8442f", "^"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="where to draw the curve: .png or .svg")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--n", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        run_way(arguments.way, arguments.folder, arguments.n)
        return
    found: dict[str, list[tuple[int, dict]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pairs(folder / "pairs.jsonl", min(DISTINCT, max(arguments.sizes)))
        write_tokenizer(folder / "tokenizer")
        for size in arguments.sizes:
            for way in WAYS:
                if way == "listed" and size > LISTED:
                    continue
                result = measure(way, folder, size)
                found[way].append((size, result))
                print(
                    f"{size:>9,} {way:6} {result['peak']:7.0f} MB ({result['libraries']:.0f} of libraries) "
                    f"{result['seconds']:7.1f} s ({result['busy']:.1f} s of processor)  {result['told']}",
                    flush=True,
                )
    if arguments.output:
        from memory_curve import draw_curve  # here, for its libraries would count in what is measured

        draw_curve(found, LINES, "pairs of about 290 tokens", arguments.output, found["read"][0][1]["libraries"])


if __name__ == "__main__":
    main()
