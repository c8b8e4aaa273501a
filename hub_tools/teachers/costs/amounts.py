"""Amounts of money, tokens, hours and bytes as ranges, and as people read them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """From `low` to `high`, most likely `mid`."""

    low: float
    mid: float
    high: float

    @classmethod
    def of(cls, value: float) -> "Range":
        """What is certain."""
        return cls(value, value, value)

    def __add__(self, other: "Range") -> "Range":
        return Range(self.low + other.low, self.mid + other.mid, self.high + other.high)

    def __mul__(self, factor: float) -> "Range":
        return Range(self.low * factor, self.mid * factor, self.high * factor)

    def at_least(self, other: "Range") -> "Range":
        """The larger of the two, edge by edge."""
        return Range(max(self.low, other.low), max(self.mid, other.mid), max(self.high, other.high))


def whole(value: float) -> str:
    """1,234,568"""
    return f"{value:,.0f}"


def dollars(value: float) -> str:
    """Cents, and more digits for less than a dollar: $12.30, $0.0042."""
    return f"${value:,.2f}" if value >= 1 or value == 0 else f"${value:.4f}"


def hours(value: float) -> str:
    """Hours, with minutes below ten: 5 min, 3.2 h, 120 h."""
    if value < 1:
        return f"{60 * value:.0f} min" if value >= 1 / 60 or value == 0 else f"{3600 * value:.0f} s"
    return f"{value:,.1f} h" if value < 100 else f"{value:,.0f} h"


def megabytes(value: float) -> str:
    """Megabytes of 1,000,000 bytes: 0.3 MB, 1,200 MB."""
    return f"{value / 1e6:,.1f} MB" if value < 1e8 else f"{value / 1e6:,.0f} MB"
