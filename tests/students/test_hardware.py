"""Where bf16 makes training faster, and the reason that is logged."""

import pytest
import torch

from hub_tools.students.hardware import gains_from_bf16


@pytest.mark.parametrize(
    ("lines", "gains"),
    [
        ("processor : 0\nflags\t\t: fpu avx2 avx512f avx512_vnni\n", False),
        ("flags\t\t: fpu avx512f avx512_bf16 fma\n", True),
        ("flags\t\t: fpu amx_bf16 amx_tile\n", True),
        ("Features\t: fp asimd bf16 i8mm\n", True),
        ("model name\t: a bf16 marvel\nflags\t\t: fpu\n", False),
        ("", False),
    ],
    ids=["avx512", "avx512_bf16", "amx", "arm", "only_in_its_name", "empty"],
)
def test_a_cpu_gains_when_it_has_bf16_units(tmp_path, lines, gains):
    (tmp_path / "cpuinfo").write_text(lines)
    found = gains_from_bf16("cpu", tmp_path / "cpuinfo")
    assert bool(found) is gains
    assert ("has bf16 units" in found.why) is gains


def test_a_cpu_of_which_nothing_can_be_read_does_not_gain(tmp_path):
    found = gains_from_bf16(torch.device("cpu"), tmp_path / "none")
    assert not found
    assert "cannot be read" in found.why


@pytest.mark.parametrize("there", [True, False], ids=["bf16", "older"])
def test_a_gpu_gains_when_it_has_bf16_units(monkeypatch, there):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: there)
    found = gains_from_bf16("cuda:0")
    assert bool(found) is there
    assert "GPU" in found.why


def test_of_other_devices_nothing_is_claimed():
    assert not gains_from_bf16("meta")
    assert "meta" in gains_from_bf16("meta").why
