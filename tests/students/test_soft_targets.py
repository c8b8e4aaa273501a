"""A teacher's likeliest pieces: what is kept is what it said, nothing stale is reused, a killed run goes on."""

import json
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from transformers import T5ForConditionalGeneration

from hub_tools.students import packing, soft_store, soft_targets
from hub_tools.students.soft_store import Draft, SoftTargets, ids_type
from hub_tools.students.soft_targets import same_tokenizer, write_soft_targets
from tests.students.test_packing import rows_of
from tests.tiny_models import tiny_model, tiny_tokenizer


TOKENIZER = tiny_tokenizer()
ROWS = rows_of(30)
FACTS = {"k": 2, "temperature": 1.0, "vocabulary": 300, "teacher": "t", "encoding": "e"}


def a_teacher(seed: int = 1) -> T5ForConditionalGeneration:
    """Larger than the student, and as sure of itself as a trained one: its first piece often has most of the mass."""
    teacher = tiny_model(TOKENIZER, seed=seed, d_model=64)
    with torch.no_grad():
        teacher.lm_head.weight.mul_(3)
    return teacher


@torch.no_grad()
def distributions(teacher, source, target, temperature=1.0):
    logits = teacher(input_ids=torch.tensor([source]), labels=torch.tensor([target])).logits[0]
    return (logits / temperature).log_softmax(-1)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr(soft_targets, "CHUNK_PAIRS", 8)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_what_is_kept_of_each_token_is_what_the_teacher_holds_likeliest(tmp_path, temperature):
    teacher = a_teacher()
    targets = write_soft_targets(teacher, ROWS, tmp_path, k=5, temperature=temperature, batch_tokens=50)
    assert len(targets) == len(ROWS)
    covered, loss = [], 0.0
    for (source, target), (ids, probabilities) in zip(ROWS, targets, strict=True):
        whole = distributions(teacher, source, target, temperature).exp()
        wanted = whole.topk(5)
        np.testing.assert_allclose(probabilities, wanted.values, atol=2.5e-4)
        # the pieces themselves, where no two are as likely to within rounding
        clear = ((wanted.values[:, :-1] - wanted.values[:, 1:]).min(-1).values > 1e-6).numpy()
        assert np.array_equal(ids[clear], wanted.indices.numpy()[clear])
        covered.append(wanted.values.sum(-1))
        loss -= distributions(teacher, source, target)[range(len(target)), target].sum().item()
    assert targets.facts["covered"] == pytest.approx(torch.cat(covered).mean().item(), abs=1e-5)
    assert targets.facts["teacher_loss"] == pytest.approx(loss / targets.facts["tokens"], rel=1e-4)
    assert targets.facts["tokens"] == sum(len(target) for _, target in ROWS)


def test_what_the_likeliest_lack_to_one_is_kept_to_a_thousandth(tmp_path):
    """Also where that is a ten-thousandth, of which float16 would leave nothing in numbers near 1."""
    lengths, rest = np.array([3]), np.array([1e-4, 3e-6, 0.2])
    masses = np.stack([1 - rest - rest / 3, rest / 3, rest], -1)
    with Draft(tmp_path, lengths, FACTS) as draft:
        draft.append(np.zeros((3, 2), np.int64), masses, 0.0, 1, 0.0)
    _, probabilities = SoftTargets.open(tmp_path)[0]
    np.testing.assert_allclose(1 - probabilities.astype(np.float64).sum(-1), rest, rtol=1e-3, atol=1e-6 / 8)


def test_a_token_takes_four_bytes_a_piece(tmp_path):
    targets = write_soft_targets(a_teacher(), ROWS, tmp_path, k=16)
    files = [targets.folder / name for name in ("ids.bin", "masses.bin")]
    assert sum(file.stat().st_size for file in files) == 64 * targets.facts["tokens"]
    assert targets.facts["bytes_per_token"] == 64
    assert [ids_type(size) for size in (32_101, 65_536, 65_537)] == [np.uint16, np.uint16, np.uint32]


def test_all_pieces_are_kept_where_k_is_larger_than_the_vocabulary(tmp_path):
    targets = write_soft_targets(a_teacher(), ROWS, tmp_path, k=10_000)
    ids, probabilities = targets[4]
    assert targets.facts["k"] == ids.shape[-1] == len(TOKENIZER)
    assert np.array_equal(np.sort(ids), np.broadcast_to(np.arange(len(TOKENIZER)), ids.shape))
    np.testing.assert_allclose(probabilities.sum(-1), 1, atol=1e-3)


def test_output_rows_beyond_the_tokenizer_are_nobodys(tmp_path):
    teacher = a_teacher()
    targets = write_soft_targets(teacher, ROWS, tmp_path, k=400, vocabulary=200)
    ids, probabilities = targets[0]
    assert ids.max() == 199
    whole = distributions(teacher, *ROWS[0])[:, :200].exp()
    wanted = (whole / whole.sum(-1, keepdim=True)).sort(-1, descending=True).values
    np.testing.assert_allclose(probabilities, wanted, atol=3e-4)


@pytest.mark.parametrize("long", [1, 64], ids=["joined", "packed"])
def test_batches_change_no_more_than_rounding(tmp_path, monkeypatch, long):
    monkeypatch.setattr(packing, "LONG", long)
    teacher = a_teacher().train()  # and dropout is none of the teacher's
    teacher.config.dropout_rate = 0.5
    for module in teacher.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    small = write_soft_targets(teacher, ROWS, tmp_path / "small", k=3, batch_tokens=1)
    large = write_soft_targets(teacher, ROWS, tmp_path / "large", k=3, batch_tokens=10_000)
    assert teacher.training
    for (source, target), (_, few), (_, many) in zip(ROWS, small, large, strict=True):
        np.testing.assert_allclose(few, many, atol=1e-3)
        np.testing.assert_allclose(many, distributions(teacher.eval(), source, target).exp().topk(3).values, atol=1e-3)


@contextmanager
def interrupted(teacher, calls):
    """A Ctrl-C in the forward pass after so many."""

    def count(*_):
        nonlocal calls
        calls -= 1
        if calls < 0:
            raise KeyboardInterrupt

    hook = teacher.get_encoder().register_forward_pre_hook(count)
    yield
    hook.remove()


def test_the_same_are_not_made_twice_and_others_are_neither_reused_nor_lost(tmp_path):
    teacher, kept = a_teacher(), {}
    changes = {
        "first": {},
        "other k": {"k": 3},
        "other temperature": {"temperature": 2.0},
        "other vocabulary": {"vocabulary": 300},
        "other rows": {"rows": [*ROWS[1:], ROWS[0]]},
        "a teacher trained on": {"teacher": a_teacher(seed=2)},
    }
    for name, change in changes.items():
        made = {"teacher": teacher, "rows": ROWS, "k": 2, **change}
        kept[name] = write_soft_targets(made.pop("teacher"), made.pop("rows"), tmp_path, **made).folder
    assert len(set(kept.values())) == len(changes)
    with interrupted(teacher, 0):
        assert write_soft_targets(teacher, ROWS, tmp_path, k=2, batch_tokens=7).folder == kept["first"]
    for folder in kept.values():
        assert len(SoftTargets.open(folder)) == len(ROWS)


def test_the_same_weights_under_another_name_are_the_same_teacher(tmp_path):
    teacher = a_teacher()
    teacher.save_pretrained(tmp_path / "moved")
    moved = T5ForConditionalGeneration.from_pretrained(tmp_path / "moved")
    folders = {write_soft_targets(each, ROWS, tmp_path, k=2).folder for each in (teacher, moved)}
    assert len(folders) == 1


def test_an_interrupted_run_goes_on_where_it_was_and_ends_with_the_same_bytes(tmp_path, monkeypatch):
    teacher = a_teacher()
    whole = write_soft_targets(teacher, ROWS, tmp_path / "whole", k=3, batch_tokens=20)
    with interrupted(teacher, 10), pytest.raises(KeyboardInterrupt):
        write_soft_targets(teacher, ROWS, tmp_path / "parts", k=3, batch_tokens=20)
    (draft,) = (tmp_path / "parts").iterdir()
    done = json.loads((draft / "progress.json").read_text())["pairs"]
    assert 0 < done < len(ROWS)
    with pytest.raises(ValueError, match="no finished soft targets"):
        SoftTargets.open(draft)
    with (draft / "ids.bin").open("ab") as file:
        file.write(b"what a kill left of a chunk")
    read, reading = [], soft_targets._read
    monkeypatch.setattr(soft_targets, "_read", lambda _, rows, *rest: read.extend(rows) or reading(_, rows, *rest))
    parts = write_soft_targets(teacher, ROWS, tmp_path / "parts", k=3, batch_tokens=20)
    assert sorted(read) == sorted(ROWS[done:])
    for name in ("ids.bin", "masses.bin", "ends.npy"):
        assert (parts.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    assert {**parts.facts, "seconds": 0} == {**whole.facts, "seconds": 0}
    assert not (parts.folder / "progress.json").exists()


KILLED = """
import os, signal, sys
import numpy as np
from pathlib import Path
sys.path.insert(0, sys.argv[3])
import importlib.util
spec = importlib.util.spec_from_file_location("soft_store", sys.argv[4])
store = importlib.util.module_from_spec(spec)
spec.loader.exec_module(store)
calls, kill_at, fsync = 0, int(sys.argv[2]), os.fsync
def counted(number):
    global calls
    if calls == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
    calls += 1
    fsync(number)
os.fsync = counted
lengths = np.array([3, 1, 4, 1, 5])
facts = {"k": 2, "temperature": 1.0, "vocabulary": 300, "teacher": "t", "encoding": "e"}
with store.Draft(Path(sys.argv[1]), lengths, facts) as draft:
    while draft.pairs < 5:
        tokens = range(sum(lengths[:draft.pairs]), sum(lengths[:draft.pairs + 1]))
        ids = np.array([[token, token + 100] for token in tokens])
        masses = np.array([[0.5, 0.25, 0.25]] * len(ids))
        draft.append(ids, masses, 1.0, 1, 0.0)
"""


def test_killed_at_every_write_it_ends_as_an_undisturbed_one(tmp_path):
    """SIGKILL before the nth time that something is brought to the disk, then again from there, until all is done."""

    def run(folder, kill_at):
        arguments = [sys.executable, "-c", KILLED, str(folder), str(kill_at), str(tmp_path), soft_store.__file__]
        return subprocess.run(arguments, check=False, timeout=60).returncode

    assert run(tmp_path / "whole", 1000) == 0
    kills = 0
    while run(tmp_path / "killed", kills % 7) != 0:  # at the first write nothing can ever be done
        kills += 1
        assert kills < 60
    assert kills > 5
    for name in ("ids.bin", "masses.bin", "ends.npy", "soft_targets.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert [SoftTargets.open(tmp_path / "killed")[number][0][0, 0] for number in range(5)] == [0, 3, 4, 8, 9]


def test_a_second_process_waits_for_the_first_and_uses_what_it_wrote(tmp_path):
    lengths, entered = np.array([1, 1]), threading.Event()
    seen = []

    def second():
        entered.set()
        with Draft(tmp_path, lengths, FACTS) as draft:
            seen.append(draft.pairs)

    with Draft(tmp_path, lengths, FACTS) as draft:
        waiting = threading.Thread(target=second)
        waiting.start()
        entered.wait()
        for _ in range(2):
            assert not seen
            draft.append(np.zeros((1, 2), np.int64), np.full((1, 3), 1 / 3), 0.0, 1, 0.0)
    waiting.join(timeout=30)
    assert seen == [2]


@pytest.mark.parametrize("name", ["ids.bin", "masses.bin", "ends.npy", "soft_targets.json"])
def test_damaged_files_are_found_out(tmp_path, name):
    folder = write_soft_targets(a_teacher(), ROWS, tmp_path, k=2).folder
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"damaged .*delete the folder"):
        SoftTargets.open(folder)


def test_a_draft_that_lost_a_part_is_found_out(tmp_path):
    with Draft(tmp_path, np.array([2, 2]), FACTS) as draft:
        draft.append(np.zeros((2, 2), np.int64), np.full((2, 3), 1 / 3), 0.0, 1, 0.0)
    (tmp_path / "masses.bin").write_bytes(b"")
    with pytest.raises(ValueError, match=r"damaged .*too short.*delete the folder"):
        Draft(tmp_path, np.array([2, 2]), FACTS).__enter__()


def test_a_disk_too_small_is_refused_before_the_teacher_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(OSError, match=r"need another .* GB.* smaller k \(now 16\)"):
        write_soft_targets(a_teacher(), ROWS, tmp_path)


def test_a_teacher_that_overflows_is_said_to(tmp_path):
    teacher = a_teacher()
    with torch.no_grad():
        teacher.lm_head.weight[3] = float("inf")
    with pytest.raises(FloatingPointError, match="float32 or bfloat16"):
        write_soft_targets(teacher, ROWS, tmp_path, k=2)


@pytest.mark.parametrize("change", [{"k": 0}, {"temperature": 0.0}, {"vocabulary": 0}, {"batch_tokens": 0}])
def test_numbers_out_of_range_are_refused(tmp_path, change):
    with pytest.raises(ValueError, match="Soft targets need"):
        write_soft_targets(a_teacher(), ROWS, tmp_path, **change)


def test_pairs_that_are_none_or_of_another_vocabulary_are_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one pair"):
        write_soft_targets(a_teacher(), [], tmp_path)
    with pytest.raises(ValueError, match="token id 5000, the soft teacher knows those below 321"):
        write_soft_targets(a_teacher(), [([5, 1], [5000, 1])], tmp_path)


def test_a_teacher_must_have_the_students_pieces():
    same_tokenizer(tiny_tokenizer(), tiny_tokenizer())
    with pytest.raises(ValueError, match=r"1 ids differ, first 320: None / '\[NL\]'"):
        same_tokenizer(tiny_tokenizer(newline_token=False), tiny_tokenizer())
    with pytest.raises(ValueError, match=r"ids differ, first \d+: '.+' / '.+', \d+: "):
        same_tokenizer(tiny_tokenizer(), tiny_tokenizer(["Other words."]))
    other = tiny_tokenizer()
    other.eos_token = "<unk>"
    with pytest.raises(ValueError, match="eos_token_id is 2, the student's 1"):
        same_tokenizer(tiny_tokenizer(), other)
