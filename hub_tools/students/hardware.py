"""What the machine at hand is good at: whether bf16 makes training faster here, and why; and when memory is short."""

from pathlib import Path
from typing import NamedTuple

import torch


# As Linux names them: matrix units, and dot products of bf16 pairs (x86; Arm's BF16 extension)
BF16_FLAGS = ("amx_bf16", "avx512_bf16", "bf16", "svebf16")


class Gain(NamedTuple):
    """Whether something is gained, and the reason, for the log."""

    gains: bool
    why: str

    def __bool__(self) -> bool:
        return self.gains


def is_short_memory(error: BaseException) -> bool:
    """Whether torch, or Python, says by `error` that memory is short; on a CPU torch has no type for it."""
    text = str(error)
    short = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return short or "not enough memory" in text or "can't allocate memory" in text


def gains_from_bf16(device: torch.device | str, cpuinfo: Path = Path("/proc/cpuinfo")) -> Gain:
    """
    Whether training is faster in bf16 than in float32 on `device`: true or false, and `.why` says the reason.

    On a CPU without bf16 units a bf16 matmul takes 3 to 4 times as long as a float32 one, because it is done in
    float32 after a conversion.
    """
    device = torch.device(device)
    if device.type == "cuda":
        # Also asks the driver; emulated bf16 (before Ampere) is supported but gains nothing
        gains = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
        return Gain(gains, f"the GPU {'has' if gains else 'has no'} bf16 units")
    if device.type != "cpu":
        return Gain(False, f"nothing is known of bf16 on {device.type}")
    try:
        flags = {
            flag
            for line in cpuinfo.read_text(encoding="utf-8").splitlines()
            if line.partition(":")[0].strip() in ("flags", "Features")
            for flag in line.partition(":")[2].split()
        }
    except OSError:
        return Gain(False, f"the CPU's features cannot be read from {cpuinfo}")
    if units := [flag for flag in BF16_FLAGS if flag in flags]:
        return Gain(True, f"the CPU has bf16 units ({', '.join(units)})")
    return Gain(False, f"the CPU has no bf16 units (none of {', '.join(BF16_FLAGS)})")
