"""
How much of what processes compute is padding, and how long they wait for each other, when they share out the steps of
pretraining: on Mixtral's replies to 500 real reviews (../shared/data, or FSA_DATA). Counts positions, so it needs no
GPU; a position is taken to cost the same wherever it is.

python tests/benchmarks/pretraining_shares.py [--processes 1 2 4 8] [--pairs_per_forward 20 100] [--steps 100]
python tests/benchmarks/pretraining_shares.py --lengths tests/students/mixtral_lengths.txt    (writes them for a test)

The packed layout (a GPU's) is beside shares taken by turns, every process its n-th pair of the sorted pass, which is
what they were before. Waiting is until the step's end, where the processes exchange gradients (DDP), and until each
pass's end, where they gather weights (FSDP2).
"""

import argparse
import random
from pathlib import Path

import numpy as np
from pretraining_speed import encoded_pairs

from hub_tools.students.packing import packed
from hub_tools.students.step_plan import forward_passes, lengths_of, shares


def by_turns(passes, lengths, processes, *, alike):
    """The plain way, to compare with."""
    return [[indices[process::processes] for process in range(processes)] for indices in passes]


WAYS = {"by tokens": shares, "by turns": by_turns}


def positions(pairs, part) -> int:
    """That a process computes of a part."""
    if not part:
        return 0
    batch = packed([pairs[index] for index in part], 0, 0, masks=False)
    return batch["input_ids"].numel() + batch["labels"].numel()


def measure(pairs, lengths, steps, share, processes: int, pairs_per_forward: int) -> tuple[float, float, float]:
    """Of all steps: padding; padding and waiting with one exchange a step; the same with one a pass."""
    real = computed = by_step = by_pass = 0
    for step in steps:
        passes = forward_passes(step, lengths, pairs_per_forward, alike=False)
        cut = share(passes, lengths, processes, alike=False)
        taken = np.array([[positions(pairs, part) for part in parts] for parts in cut])
        real += int(lengths[step].sum())
        computed += taken.sum()
        by_step += processes * taken.sum(0).max()
        by_pass += processes * taken.max(1).sum()
    return tuple(float(1 - real / whole) for whole in (computed, by_step, by_pass))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--pairs_per_forward", type=int, nargs="+", default=[20, 100])
    parser.add_argument("--pairs", type=int, default=100, help="of a step, as in the paper")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--lengths", type=Path, help="only write the lengths of the sample's pairs, a pair a line")
    options = parser.parse_args()
    pairs = encoded_pairs()
    lengths = lengths_of(pairs)
    if options.lengths:
        np.savetxt(options.lengths, lengths, fmt="%d")
        return
    draw = random.Random(0)
    steps = [draw.sample(range(len(pairs)), options.pairs) for _ in range(options.steps)]
    print("pairs a pass | processes | shared out | padding | with waiting, DDP | with waiting, FSDP2")
    for pairs_per_forward in options.pairs_per_forward:
        for processes in options.processes:
            for way, share in WAYS.items() if processes > 1 else [("alone", shares)]:
                found = measure(pairs, lengths, steps, share, processes, pairs_per_forward)
                padding, by_step, by_pass = (f"{100 * part:.1f} %" for part in found)
                print(f"{pairs_per_forward} | {processes} | {way} | {padding} | {by_step} | {by_pass}", flush=True)


if __name__ == "__main__":
    main()
