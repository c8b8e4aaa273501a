"""
How fast a step of pretraining is on a CPU, and what memory it needs, beside the shape of paper 1's reference code:
random batches padded to their longest pair, logits of all positions, an optimiser that goes tensor by tensor.

python tests/benchmarks/pretraining_speed.py [--shape small] [--pairs 20] [--rounds 1] [--threads 2]

Both start from the same random weights, with dropout, and train on the same pairs: Mixtral's replies to 500 reviews
(../shared/data, or FSA_DATA), cut to 128 and 400 tokens of a tokenizer that is trained on them. Each side has a
process of its own for its peak memory; its first step, in which torch and the optimiser settle, is not timed.
Processor time, since the machine may be shared. "Real" tokens are those of the pairs, source and target, not padding.
"Laying out" is reading the pairs, from a memory-mapped Arrow file, and making a batch of them.
"""

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from plain_optimizer import TensorByTensor
from pretraining_mapped import mapped
from transformers import T5Config, T5ForConditionalGeneration

from hub_tools.students.dropout import quicken_dropout
from hub_tools.students.models import escape_newlines, train_tokenizer
from hub_tools.students.optimizer import RMSScaledAdamW
from hub_tools.students.packing import SummedLoss, layout, packed, padded, padding
from hub_tools.teachers.recorded import read_recorded


DATA = Path(os.environ.get("FSA_DATA") or Path(__file__).resolve().parents[2].parent / "shared" / "data")
SHAPES = {
    "tiny": {"d_model": 64, "d_kv": 32, "d_ff": 128, "num_layers": 2, "num_heads": 2},
    "small": {"d_model": 512, "d_kv": 64, "d_ff": 2048, "num_layers": 6, "num_heads": 8},
    "base": {"d_model": 768, "d_kv": 64, "d_ff": 3072, "num_layers": 12, "num_heads": 12},
}
PAD, ENDS = 0, 1
RATE = 1e-3


def encoded_pairs() -> list[tuple[list[int], list[int]]]:
    """The sample as tokens of a vocabulary of 16,000, with which its texts are about as long as with T5's."""
    reviews, replies = read_recorded(DATA / "mixtral" / "test_500_4m8d.json")
    texts = {review["review_id"]: escape_newlines(review["text"].strip()) for review in reviews}
    pairs = [(texts[reply["review_id"]], escape_newlines(reply["reply"].strip())) for reply in replies]
    tokenizer = train_tokenizer([text for pair in pairs for text in pair], 16_000)

    def cut(text: str, most: int) -> list[int]:
        ids = tokenizer(text)["input_ids"]
        return ids if len(ids) <= most else [*ids[: most - 1], ENDS]

    return [(cut(source, 128), cut(target, 400)) for source, target in pairs]


def reference_loss(model, batch, rows) -> torch.Tensor:
    """Mean loss of a padded batch."""
    return model(**batch).loss


class OurLoss:
    """The same of a batch without padding."""

    def __init__(self, model):
        self.loss = SummedLoss(model)

    def __call__(self, model, batch, rows) -> torch.Tensor:
        return self.loss(batch) / sum(len(target) for _, target in rows)


def train(side: str, pairs, options) -> dict:
    """One side: two steps, of which the second is timed."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    config = {"vocab_size": 32_101, "decoder_start_token_id": PAD, "pad_token_id": PAD, "eos_token_id": ENDS}
    model = T5ForConditionalGeneration(T5Config(**SHAPES[options.shape], **config)).train()
    way = TensorByTensor if side == "reference" else RMSScaledAdamW
    optimizer = way(model.parameters(), RATE)
    if side != "reference":
        quicken_dropout(model)
    ways = {"packed": lambda rows: packed(rows, PAD, PAD), "reference": lambda rows: padded(rows, PAD)}
    lay = ways.get(side) or layout(model, pairs[:8], PAD)
    compute = reference_loss if side == "reference" else OurLoss(model)
    for seed in (options.seed + 1000, options.seed):
        chosen = random.Random(seed).sample(range(len(pairs)), options.pairs)
        start = time.process_time()
        rows = [pairs[index] for index in chosen]
        batch = lay(rows)
        laying = time.process_time() - start
        loss, share = compute(model, batch, rows), padding(batch, rows).both
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seconds = time.process_time() - start
    real = sum(len(source) + len(target) for source, target in rows)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    told = {"laying": laying / seconds, "laid": 1e3 * laying}
    return {"speed": real / seconds, "peak": peak, "padding": share, "loss": loss.item(), "real": real} | told


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--pairs", type=int, default=20, help="of a step")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sides", nargs="+", default=["reference", "ours"], help="also: packed (rows and masks)")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--encoded", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.side:
        with tempfile.TemporaryDirectory() as folder:
            pairs, _ = mapped(json.loads(options.encoded.read_text()), Path(folder))
            print(json.dumps(train(options.side, pairs, options)))
        return
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        encoded = Path(folder) / "pairs.json"
        encoded.write_text(json.dumps(encoded_pairs()))
        shared = [f"--{name}={getattr(options, name)}" for name in ("shape", "pairs", "threads")]
        for seed in range(options.seed, options.seed + options.rounds):
            found = {}
            for side in options.sides:
                command = [
                    sys.executable,
                    __file__,
                    *shared,
                    f"--side={side}",
                    f"--encoded={encoded}",
                    f"--seed={seed}",
                ]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                found[side] = json.loads(done.stdout)
                print(
                    "round {seed}, {side:9}: {speed:5.0f} real tokens per processor second, {padding:4.0%} padding,"
                    " {peak:5.2f} GB peak, loss {loss:.4f} ({real} tokens),"
                    " {laid:.1f} ms ({laying:.2%}) to lay out".format(seed=seed, side=side, **found[side]),
                    flush=True,
                )
            first, last = (found[options.sides[place]] for place in (0, -1))
            ratios.append((last["speed"] / first["speed"], last["peak"] / first["peak"]))
    speed, peak = (statistics.median(column) for column in zip(*ratios, strict=True))
    print(f"{options.sides[-1]}: {speed:.2f} x the speed of {options.sides[0]} at {peak:.0%} of its peak memory")


if __name__ == "__main__":
    main()
