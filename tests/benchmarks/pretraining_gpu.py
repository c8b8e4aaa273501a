"""
How fast pretraining is on a GPU, of what the GPU can do, and beside the shape of paper 1's reference code (random
batches padded to their longest pair, logits of all positions, an optimiser that goes tensor by tensor).

PYTHONPATH=. python tests/benchmarks/pretraining_gpu.py [--shape base] [--steps 10] [--rounds 3]
PYTHONPATH=. python tests/benchmarks/pretraining_gpu.py --shape tiny --steps 2 --rounds 1       (anywhere: does it run)

Needs torch, transformers and accelerate only. Weights and tokens are random; lengths are drawn like those of the
corpus (about 70 in, 218 out, at most 128 and 400). All sides take the same pairs, have bf16 where it gains, and are
timed round by round, one after another:

- reference: passes of 20 pairs, as the reference code has them
- ours:      packed rows, the head on real positions in chunks, the fused optimiser
- compiled:  the same through torch.compile

Ours and compiled have passes of 20 pairs, as the YAMLs in recipes/configs have them (they fit any GPU), and of 100, a
whole step of the paper's in one pass, for a GPU whose memory allows it; the name of the side says which.

"Laying out" is the host's time for a step's batches: pairs read from a memory-mapped Arrow file (from lists without
pyarrow, which comes with datasets) and made tensors. The GPU computes meanwhile, so at most so much is lost by it.

Model-FLOPs utilisation (MFU) counts the multiplications that the real tokens need, forward and back, without padding,
masked scores or anything computed twice, against a bf16 matmul measured here in the same run.
"""

import argparse
import math
import random
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from plain_optimizer import TensorByTensor
from pretraining_mapped import mapped
from transformers import T5Config, T5ForConditionalGeneration

from hub_tools.students.hardware import gains_from_bf16
from hub_tools.students.optimizer import RMSScaledAdamW
from hub_tools.students.packing import SummedLoss, packed, padded, padding
from hub_tools.students.step_plan import lengths_of


SHAPES = {
    "tiny": {"d_model": 64, "d_kv": 32, "d_ff": 128, "num_layers": 1, "num_heads": 2, "vocab_size": 500},
    "small": {"d_model": 512, "d_kv": 64, "d_ff": 2048, "num_layers": 6, "num_heads": 8, "vocab_size": 32_101},
    "base": {"d_model": 768, "d_kv": 64, "d_ff": 3072, "num_layers": 12, "num_heads": 12, "vocab_size": 32_101},
    "large": {"d_model": 1024, "d_kv": 64, "d_ff": 4096, "num_layers": 24, "num_heads": 16, "vocab_size": 32_101},
}
PAD, ENDS = 0, 1
RATE = 1e-3
REFERENCE_PASS = 20  # pairs, in the reference code


def drawn_pairs(count: int, vocabulary: int) -> list[tuple[list[int], list[int]]]:
    """Random tokens, as many as the corpus has."""
    draw = random.Random(0)

    def text(mean: float, spread: float, least: int, most: int) -> list[int]:
        length = min(most, max(least, round(draw.gauss(mean, spread))))
        return [*draw.choices(range(3, vocabulary), k=length - 1), ENDS]

    return [(text(70, 36, 20, 128), text(218, 103, 60, 400)) for _ in range(count)]


def needed(config: T5Config, pairs) -> float:
    """Floating-point operations that the pairs need, forward and back."""
    inner, layers = config.num_heads * config.d_kv, config.num_layers
    feed = 2 * config.d_model * config.d_ff
    project = config.d_model * inner  # each of q, k, v, o
    source = layers * (4 * project + feed) + layers * 2 * project  # and keys and values of the decoder's reading
    target = layers * (6 * project + feed) + config.d_model * config.vocab_size
    total = 0.0
    for a, b in ((len(pair[0]), len(pair[1])) for pair in pairs):
        scores = layers * inner * (a * a + b * b / 2 + a * b)  # a decoder looks at half of itself
        total += 6 * (a * source + b * target) + 12 * scores
    return total


class Side:
    """A model and a way to train it."""

    def __init__(self, name: str, pairs_per_forward: int, accelerator: Accelerator, options):
        torch.manual_seed(0)
        tokens = {"decoder_start_token_id": PAD, "pad_token_id": PAD, "eos_token_id": ENDS}
        self.name, self.accelerator, self.clip = name, accelerator, options.max_grad_norm
        self.pairs_per_forward, self.laying = pairs_per_forward, 0.0
        model = T5ForConditionalGeneration(T5Config(**SHAPES[options.shape], **tokens))
        self.model = model.to(accelerator.device).train()
        if name == "reference":
            self.optimizer = TensorByTensor(model.parameters(), RATE)
            self.lay, self.loss = partial(padded, pad=PAD), self.own_loss
        else:
            self.optimizer = RMSScaledAdamW(model.parameters(), RATE)
            self.lay = partial(packed, pad=PAD, start=PAD, masks=False)
            self.loss = SummedLoss(model)
            if name.startswith("compiled"):
                self.loss = torch.compile(self.loss)

    def own_loss(self, batch) -> torch.Tensor:
        """The model's, which keeps the logits, summed over its tokens."""
        return self.model(**batch).loss.float() * (batch["labels"] != -100).sum()

    def step(self, pairs, lengths: np.ndarray, chosen: range) -> tuple[float, float]:
        """Loss per token of a step over the pairs `chosen`, and the share of padding."""
        tokens, total, positions = int(lengths[chosen, 1].sum()), 0.0, 0.0
        for first in range(0, len(chosen), self.pairs_per_forward):
            began = time.perf_counter()
            rows = [pairs[index] for index in chosen[first : first + self.pairs_per_forward]]
            batch = self.lay(rows)
            self.laying += time.perf_counter() - began
            positions += sum(len(source) + len(target) for source, target in rows) / (1 - padding(batch, rows).both)
            batch = {key: value.to(self.accelerator.device, non_blocking=True) for key, value in batch.items()}
            with self.accelerator.autocast():
                loss = self.loss(batch)
            self.accelerator.backward(loss / tokens)
            total = total + loss.detach()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return float(total) / tokens, 1 - int(lengths[chosen].sum()) / positions


def timed(device: torch.device, work) -> tuple[float, object]:
    """Seconds that `work` takes, the device's work included, and what it returns."""
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.synchronize()
    start = time.perf_counter()
    found = work()
    if on_gpu:
        torch.cuda.synchronize()
    return time.perf_counter() - start, found


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations a second of a large square matmul, the best of some."""
    size = 8192 if device.type == "cuda" else 512
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    repeat = 20 if device.type == "cuda" else 3
    seconds = min(timed(device, lambda: [a @ b for _ in range(repeat)])[0] for _ in range(5))
    return repeat * 2 * size**3 / seconds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", choices=SHAPES, default="base")
    parser.add_argument("--steps", type=int, default=10, help="of a round, on other pairs each")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=100, help="of a step, as in the paper")
    parser.add_argument("--pairs_per_forward", type=int, nargs="+", default=[20, 100], help="on our sides")
    parser.add_argument("--sides", nargs="+", default=["reference", "ours", "compiled"])
    parser.add_argument("--max_grad_norm", type=float, default=1.0)
    options = parser.parse_args()
    bf16 = gains_from_bf16("cuda" if torch.cuda.is_available() else "cpu")
    accelerator = Accelerator(mixed_precision="bf16" if bf16 else "no")
    device = accelerator.device
    on_gpu = device.type == "cuda"
    rate = matmul_rate(device, torch.bfloat16)
    name = torch.cuda.get_device_name() if on_gpu else "CPU"
    precision = "bf16" if bf16 else "float32"
    print(f"{name}, torch {torch.__version__}: bf16 matmul {rate / 1e12:.4g} TFLOP/s; {precision}, since {bf16.why}")

    drawn = drawn_pairs(options.pairs * options.steps, SHAPES[options.shape]["vocab_size"])
    with tempfile.TemporaryDirectory() as folder:
        pairs, origin = mapped(drawn, Path(folder))
        sizes = ", ".join(map(str, options.pairs_per_forward))
        print(f"Pairs are read {origin}; steps of {options.pairs}; our passes of {sizes} pairs (the YAMLs' are of 20)")
        compare(pairs, drawn, rate, accelerator, options)


def compare(pairs, drawn, rate: float, accelerator: Accelerator, options) -> None:
    """Times all sides on `pairs`, which are the `drawn` ones wherever they are read from; prints what comes out."""
    device, lengths = accelerator.device, lengths_of(drawn)
    on_gpu = device.type == "cuda"
    steps = [range(first, first + options.pairs) for first in range(0, len(drawn), options.pairs)]
    real = int(lengths.sum())
    several = len(options.pairs_per_forward) > 1
    sides = []
    for name in options.sides:
        for size in [REFERENCE_PASS] if name == "reference" else options.pairs_per_forward:
            label = f"{name}-{size}" if several and name != "reference" else name
            sides.append(Side(label, size, accelerator, options))
    speeds: dict[str, list[float]] = {side.name: [] for side in sides}
    peaks = {}
    for side in sides:  # compilation, the optimiser's moments, the allocator
        seconds, _ = timed(device, lambda side=side: [side.step(pairs, lengths, chosen) for chosen in steps])
        print(f"{side.name:12}: {seconds:.1f} s to warm up", flush=True)
    for number in range(options.rounds):
        for side in sides:
            if on_gpu:
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
                held = torch.cuda.memory_allocated()
            side.laying = 0.0
            seconds, found = timed(device, lambda side=side: [side.step(pairs, lengths, chosen) for chosen in steps])
            loss, share = (statistics.mean(column) for column in zip(*found, strict=True))
            speeds[side.name].append(real / seconds)
            # Beyond what the three models and optimisers hold between steps
            peaks[side.name] = (torch.cuda.max_memory_allocated() - held) / 1e9 if on_gpu else math.nan
            use = needed(side.model.config, drawn) / seconds / rate
            print(
                f"round {number}, {side.name:12}: {real / seconds:9.0f} real tokens/s, {share:4.0%} padding,"
                f" MFU {use:5.1%}, {peaks[side.name]:5.1f} GB for activations and gradients, loss {loss:.3f},"
                f" laying out {1e3 * side.laying / len(steps):.1f} ms a step, {side.laying / seconds:.1%} of its time",
                flush=True,
            )
    first, *others = speeds
    for side in others:
        ratio = statistics.median(ours / theirs for ours, theirs in zip(speeds[side], speeds[first], strict=True))
        print(f"{side}: {ratio:.2f} x the speed of {first}, {peaks[side] / peaks[first]:.0%} of its memory")


if __name__ == "__main__":
    main()
