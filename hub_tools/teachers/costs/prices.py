"""What a teacher costs: US dollars per million tokens, from a small dated table or as the user says, and per hour."""

import re
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlparse


LOCAL = ("lexicon", "transformers", "vllm", "ray", "recorded")
BATCH_FACTOR = 0.5  # of the listed price, both ways, by OpenAI's batch API
OPENAI_HOST = "api.openai.com"
SOURCE = "https://developers.openai.com/api/docs/pricing"


@dataclass
class PriceSettings:
    """What the user pays, where that is known better than by the table. Prices in US dollars."""

    price_input: float = field(default=-1, metadata={"help": "USD per million tokens read; -1: by the price table"})
    price_output: float = field(default=-1, metadata={"help": "USD per million tokens written; -1: by the table"})
    price_gpu_hour: float = field(default=0, metadata={"help": "USD of one GPU for an hour"})
    gpus: int = field(default=0, metadata={"help": "GPUs paid for; 0: parallel sizes x workers"})


class Priced(Protocol):
    """The settings that decide a price: those of TeacherSettings and PriceSettings, in one object."""

    teacher: str
    model: str
    endpoints: list[str]
    tensor_parallel_size: int
    pipeline_parallel_size: int
    workers: int
    price_input: float
    price_output: float
    price_gpu_hour: float
    gpus: int


@dataclass(frozen=True)
class Price:
    """What tokens and time cost.

    Attributes:
        input, output: USD per million tokens read and written.
        hour: USD per hour of the run, over all its GPUs.
        surcharge: the most that a token read may cost, as a multiple of `input` (caches that charge for being filled).
        source: who says so, and when.
        note: what the user should know about it; often empty.
    """

    input: float
    output: float
    hour: float = 0.0
    surcharge: float = 1.0
    source: str = ""
    note: str = ""

    def cost(self, prompt_tokens: float, completion_tokens: float, hours: float = 0.0) -> float:
        """In USD, at the listed price.

        >>> Price(0.5, 1.5, hour=2.0).cost(2_000_000, 1_000_000, hours=3)
        8.5
        """
        return (prompt_tokens * self.input + completion_tokens * self.output) / 1e6 + hours * self.hour

    def at_most(self, prompt_tokens: float, completion_tokens: float, hours: float = 0.0) -> float:
        """In USD, with every surcharge: what a budget reckons with."""
        return self.cost(prompt_tokens * self.surcharge, completion_tokens, hours)


@dataclass(frozen=True)
class Listed:
    """A model's line in OpenAI's price list.

    Attributes:
        input, output: USD per million tokens.
        date: when the line was last seen to hold.
        thinks: it writes hidden reasoning unless told not to, which is billed as output; and it charges 1.25 times for
            input that it writes to its cache.
        retired: when OpenAI stops to serve it, if that is announced.
    """

    input: float
    output: float
    date: str = "2026-10-14"
    thinks: bool = False
    retired: str = ""


# Prices and dates of withdrawal: SOURCE, and https://developers.openai.com/api/docs/deprecations, as the package
# genai-prices 0.2.3 and the pages' copies of October and November 2026 give them.
TABLE = {
    "gpt-3.5-turbo": Listed(0.50, 1.50, retired="2026-10-23"),  # the teacher of paper 1 (arXiv 2412.18552)
    "gpt-4o": Listed(2.50, 10.00, retired="2027-01-14"),
    "gpt-4o-mini": Listed(0.15, 0.60, retired="2027-01-14"),
    "gpt-4.1": Listed(2.00, 8.00, retired="2027-01-14"),
    "gpt-4.1-mini": Listed(0.40, 1.60, retired="2027-01-14"),
    "gpt-4.1-nano": Listed(0.10, 0.40, retired="2026-10-23"),
    "gpt-5.4-mini": Listed(0.75, 4.50, thinks=True),
    "gpt-5.4-nano": Listed(0.20, 1.25, thinks=True),
    "gpt-5.6-luna": Listed(0.20, 1.20, thinks=True),
    "gpt-5.6-terra": Listed(2.00, 12.00, thinks=True),
    "gpt-6-luna": Listed(0.10, 0.50, thinks=True),
    "gpt-6-sol": Listed(2.00, 10.00, thinks=True),
    "gpt-6.1-terra": Listed(1.00, 5.00, "2026-10-26", thinks=True),
}
_SNAPSHOT = re.compile(r"-(\d{4}|\d{4}-\d{2}-\d{2})$")  # gpt-3.5-turbo-0125, gpt-4o-mini-2024-07-18


def price_of(settings: Priced) -> Price | None:
    """What the settings' teacher costs, or None where nobody says: `how_to_price` then tells what to do.

    Tokens of a teacher on one's own machine are free; its time may cost (`price_gpu_hour`). The user's own prices win
    over the table, and are taken as they are also for the batch API.

    Raises:
        ValueError: a negative price, or one of the two token prices without the other.
    """
    _check(settings)
    hour = settings.price_gpu_hour * gpus_of(settings)
    if settings.price_input >= 0:
        return Price(settings.price_input, settings.price_output, hour, source="as given")
    if settings.teacher in LOCAL:
        return Price(0.0, 0.0, hour, source="tokens of one's own machine are free")
    listed = TABLE.get(_SNAPSHOT.sub("", settings.model)) if _is_openai(settings.endpoints) else None
    if listed is None:
        return None
    factor = BATCH_FACTOR if settings.teacher == "openai-batch" else 1.0
    return Price(
        listed.input * factor,
        listed.output * factor,
        hour,
        surcharge=1.25 if listed.thinks else 1.0,
        source=f"{SOURCE}, {listed.date}" + (", half for batches" if factor < 1 else ""),
        note=_note(settings.model, listed),
    )


def how_to_price(settings: Priced) -> str:
    """One sentence for those whose teacher has no price."""
    where = "" if _is_openai(settings.endpoints) else f" at {', '.join(settings.endpoints)}"
    return (
        f"the price of {settings.model or 'the model'}{where} is unknown; give `price_input` and `price_output` in "
        "USD per million tokens (0 for a server of your own, with `price_gpu_hour` if its time costs)"
    )


def gpus_of(settings: Priced) -> int:
    """How many GPUs the run pays for: as given, or as many as its engines spread over."""
    return settings.gpus or settings.tensor_parallel_size * settings.pipeline_parallel_size * settings.workers


def _check(settings: Priced) -> None:
    for name in ("price_input", "price_output"):
        value = getattr(settings, name)
        if not (value >= 0 or value == -1):
            raise ValueError(f"`{name}` is {value}; allowed: USD per million tokens from 0, or -1 for the price table")
    if (settings.price_input < 0) != (settings.price_output < 0):
        raise ValueError("`price_input` and `price_output` come together: one of them is given, the other is not")
    if not settings.price_gpu_hour >= 0:
        raise ValueError(f"`price_gpu_hour` is {settings.price_gpu_hour}; allowed: USD from 0")
    if settings.gpus < 0:
        raise ValueError(f"`gpus` is {settings.gpus}; allowed: a number from 1, or 0 to count them from the settings")


def _is_openai(endpoints: list[str]) -> bool:
    """Other hosts charge what they like for a model of the same name."""
    return all(urlparse(endpoint).hostname == OPENAI_HOST for endpoint in endpoints)


def _note(model: str, listed: Listed) -> str:
    notes = []
    if listed.retired:
        notes.append(f"OpenAI's last day of {model} is {listed.retired}")
    if listed.thinks:
        notes.append(f"{model} may write hidden reasoning, billed as output: only the upper bound holds it")
    return "; ".join(notes)
