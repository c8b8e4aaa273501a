"""The speed scripts of pretraining run where they can: the GPU's on a CPU too, in its smallest shape."""

import importlib.util
import random
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest


FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def beside_each_other(monkeypatch):
    """The folder of a script comes first on its path."""
    monkeypatch.syspath_prepend(FOLDER)


def script(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_gpu_script_runs_and_says_what_it_found(monkeypatch, capsys):
    options = "--shape tiny --steps 2 --rounds 1 --pairs 6 --pairs_per_forward 6 --sides reference ours".split()
    monkeypatch.setattr(sys, "argv", ["pretraining_gpu", *options])
    script("pretraining_gpu").main()
    said = capsys.readouterr().out
    for expected in ("bf16 matmul", "real tokens/s", "padding", "MFU", "ours: "):
        assert expected in said


def test_the_operations_it_counts_are_six_for_each_weight_and_token_and_those_of_attention():
    module = script("pretraining_gpu")
    config = SimpleNamespace(d_model=2, d_kv=3, num_heads=5, d_ff=7, num_layers=1, vocab_size=11)
    encoder, decoder = 4 * 2 * 15 + 2 * 2 * 7, 6 * 2 * 15 + 2 * 2 * 7 + 2 * 11
    weights = 6 * (3 * (encoder + 2 * 2 * 15) + 4 * decoder)
    assert module.needed(config, [([0] * 3, [0] * 4)]) == weights + 12 * 15 * (9 + 8 + 12)


@pytest.mark.parametrize("side", ["reference", "ours", "packed"])
def test_a_side_of_the_cpu_script_trains(side):
    draw = random.Random(0)
    pairs = [([draw.randrange(3, 99) for _ in range(9)], [draw.randrange(3, 99) for _ in range(70)]) for _ in range(8)]
    options = SimpleNamespace(shape="tiny", pairs=4, threads=1, seed=0)
    found = script("pretraining_speed").train(side, pairs, options)
    assert found["real"] == 4 * 79
    assert found["speed"] > 0
    assert found["padding"] == (pytest.approx(0.1, abs=0.1) if side == "packed" else 0)
