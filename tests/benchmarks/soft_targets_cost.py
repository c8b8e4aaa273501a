"""
What learning from a teacher's distributions costs beside learning from its text: on the disk, to make, and in a step.

python tests/benchmarks/soft_targets_cost.py [--teacher base] [--student small] [--pairs 20] [--pass 5] [--rounds 3]

Random weights of T5's shapes and random tokens in lengths of the corpus (70 in, 218 out on the average). The same
pairs on both sides, forward and backward pass, one thread, processor time, since the machine may be shared.
"""

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path

import torch
from transformers import T5Config, T5ForConditionalGeneration

from hub_tools.students.packing import SummedLoss, packed
from hub_tools.students.soft_loss import SoftLoss, SoftPairs, soft_collate
from hub_tools.students.soft_targets import write_soft_targets


SHAPES = {
    "tiny": {"d_model": 128, "d_kv": 64, "d_ff": 384, "num_layers": 2, "num_heads": 2},
    "small": {"d_model": 512, "d_kv": 64, "d_ff": 2048, "num_layers": 6, "num_heads": 8},
    "base": {"d_model": 768, "d_kv": 64, "d_ff": 3072, "num_layers": 12, "num_heads": 12},
}
VOCABULARY, PAD, START = 32_101, 0, 0


def a_model(shape: str) -> T5ForConditionalGeneration:
    torch.manual_seed(0)
    return T5ForConditionalGeneration(
        T5Config(vocab_size=VOCABULARY, decoder_start_token_id=START, pad_token_id=PAD, dropout_rate=0.0,
                 **SHAPES[shape])
    )  # fmt: skip


def some_pairs(count: int) -> list[tuple[list[int], list[int]]]:
    draw = random.Random(0)

    def text(average: int, limit: int) -> list[int]:
        length = min(limit, max(8, round(draw.gauss(average, average / 2))))
        return [draw.randrange(3, VOCABULARY) for _ in range(length - 1)] + [1]

    return [(text(70, 128), text(218, 400)) for _ in range(count)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--teacher", choices=SHAPES, default="base")
    parser.add_argument("--student", choices=SHAPES, default="small")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--pass", type=int, default=5, dest="per_pass", help="pairs of the pass that is timed")
    parser.add_argument("--k", type=int, default=16)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = some_pairs(options.pairs)
    tokens = sum(len(target) for _, target in rows)
    teacher = a_model(options.teacher)
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        targets = write_soft_targets(teacher, rows, Path(folder), k=options.k, temperature=options.temperature)
        seconds = time.process_time() - start
        per_pair = targets.facts["bytes_per_token"] * tokens / len(rows)
        print(f"disk: {targets.facts['bytes_per_token']} bytes a target token, {per_pair:,.0f} a pair of these")
        print(f"made by a teacher of T5-{options.teacher}'s shape: {tokens / seconds:,.0f} target tokens/s")
        print("  (with the trial of layouts, which takes four passes over 8 pairs, once)")
        del teacher
        rows, pairs = rows[: options.per_pass], list(SoftPairs(rows, targets))[: options.per_pass]
        tokens, student = sum(len(target) for _, target in rows), a_model(options.student)
        ways = {
            "text": (SummedLoss(student), lambda: packed(rows, PAD, START)),
            "teacher": (SoftLoss(student, 0.5, targets.temperature), lambda: soft_collate(pairs, PAD, START)),
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, (loss, collate) in ways.items():
                start = time.process_time()
                batch = collate()
                middle = time.process_time()
                student.zero_grad()
                loss(batch).backward()
                found[name].append((middle - start, time.process_time() - middle))
        for name, rounds in found.items():
            collating, passes = (statistics.median(column) for column in zip(*rounds, strict=True))
            print(
                f"{name:8}: batch {1000 * collating:5.1f} ms, passes {passes:6.2f} s, {tokens / passes:5.0f} tokens/s"
            )
        ratios = [soft[1] / plain[1] for plain, soft in zip(found["text"], found["teacher"], strict=True)]
        print(f"passes with the teacher's distributions take {statistics.median(ratios):.2f} x (median)")


if __name__ == "__main__":
    main()
