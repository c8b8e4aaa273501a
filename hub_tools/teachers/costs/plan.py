"""What a labelling run will take, before anything is spent: requests, tokens, money, hours, disk, each as a range."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple, Protocol

from .amounts import Range, dollars, hours, megabytes, whole
from .budget import Limits, Spent, check_limits
from .counting import TokenCounter
from .estimates import NO_PRIOR, Builders, Prior, estimate_tokens
from .prices import Price, gpus_of, how_to_price, price_of


class Stored(NamedTuple):
    """Bytes on the disk: `row` for each reply, and `factor` times its text. Measured 2026-11-21 on 5,000 replies."""

    row: float
    factor: float


JOURNAL, PARQUET = Stored(150, 1.2), Stored(50, 0.52)


class Planned(Limits, Protocol):
    """The settings that a plan reads: those of TeacherSettings and BudgetSettings, in one object."""

    requests_per_minute: int
    tokens_per_minute: int


@dataclass(frozen=True)
class Plan:
    """What a run will take. Ranges are of what is still to be asked; `estimates.estimate_tokens` tells what they mean.

    Attributes:
        teacher: its kind and model.
        requests, answered: to be asked, and answered before.
        input_tokens, output_tokens: read and written.
        output_at_most: if every reply is as long as allowed.
        cost, cost_at_most: USD; None where a price is unknown.
        hours, gpu_hours: None where the throughput is unknown, or no GPU is paid for.
        journal_bytes, parquet_bytes: on the disk.
        notes: what the numbers rest on.
        doubts: which limits the run would pass, or may pass; empty when it fits them all.
    """

    teacher: str
    requests: int
    answered: int
    input_tokens: Range
    output_tokens: Range
    output_at_most: int
    cost: Range | None
    cost_at_most: float | None
    hours: Range | None
    gpu_hours: Range | None
    journal_bytes: Range
    parquet_bytes: Range
    notes: list[str]
    doubts: list[str]

    def as_rows(self) -> list[list[str]]:
        """The table's lines: what, low, most likely, high, at most."""
        rows = [
            ["requests", "", whole(self.requests), "", ""],
            ["answered before", "", whole(self.answered), "", ""],
            _line("input tokens", self.input_tokens, whole),
            _line("output tokens", self.output_tokens, whole, self.output_at_most),
            _line("price", self.cost, dollars, self.cost_at_most),
            _line("time", self.hours, hours),
            _line("GPU time", self.gpu_hours, hours),
            _line("journal", self.journal_bytes, megabytes),
            _line("Parquet", self.parquet_bytes, megabytes),
        ]
        return [row for row in rows if row[0] != "GPU time" or self.gpu_hours]

    def as_json(self) -> dict:
        """The same as JSON values: tokens, USD, hours, bytes."""
        return asdict(self)


def plan(
    reviews: Sequence[Mapping],
    n_reviews: int,
    builders: Builders,
    settings: Planned,
    counter: TokenCounter,
    prior: Prior = NO_PRIOR,
) -> Plan:
    """Extrapolates from a sample of the reviews to all of them. Opens nothing but what the counter does.

    Args:
        reviews: the sample, rows with `text`.
        n_reviews: how many reviews are to be labelled.
        builders: prompt name → function from a review's text to chat messages.
        settings: of the teacher and the budget, in one object.
        counter: of prompt tokens.
        prior: what earlier sessions tell.

    Raises:
        ValueError: no reviews or prompts, a limit on cost without a price, or another setting that makes no sense.
    """
    if not reviews or not builders:
        raise ValueError("there is nothing to label: no review fits the settings, or `prompts` names none")
    price = price_of(settings)
    check_limits(settings, price)
    everything = n_reviews * len(builders)
    requests = max(everything - prior.answered, 0)
    share = requests / everything  # answered ones are spread over reviews and prompts like the rest
    tokens = estimate_tokens(reviews, n_reviews, builders, settings.max_new_tokens, counter, prior.replies)
    read, written, at_most = tokens.read * share, tokens.written * share, requests * settings.max_new_tokens
    took, how_long = _hours(requests, read + written, written, settings, prior)
    cost = _cost(price, read, written, took)
    certain = None if cost is None or price is None else price.at_most(read.high, at_most, took.high if took else 0)
    has_gpus = settings.teacher in ("transformers", "vllm", "ray") or settings.price_gpu_hour > 0
    return Plan(
        teacher=f"{settings.teacher} {settings.model}".strip(),
        requests=requests,
        answered=prior.answered,
        input_tokens=read,
        output_tokens=written,
        output_at_most=at_most,
        cost=cost,
        cost_at_most=certain,
        hours=took,
        gpu_hours=took * gpus_of(settings) if took and has_gpus else None,
        journal_bytes=written * (counter.bytes_per_token * JOURNAL.factor) + Range.of(JOURNAL.row * requests),
        parquet_bytes=written * (counter.bytes_per_token * PARQUET.factor) + Range.of(PARQUET.row * requests),
        notes=[*tokens.notes, how_long, *_price_notes(settings, price, took)],
        doubts=_doubts(settings, prior.spent, read + written, price, cost, took),
    )


def _hours(requests: int, tokens: Range, written: Range, settings: Planned, prior: Prior) -> tuple[Range | None, str]:
    """How long the run takes, as fast as the teacher writes and its rate limits let it."""
    pace = settings.throughput or prior.tokens_per_second
    servers = max(len(settings.endpoints), 1)
    at_least = Range.of(0)
    if settings.teacher == "openai":
        if settings.requests_per_minute:
            at_least = Range.of(requests / (60 * settings.requests_per_minute * servers))
        if settings.tokens_per_minute:
            at_least = at_least.at_least(tokens * (1 / (60 * settings.tokens_per_minute * servers)))
    if pace:
        source = "as given" if settings.throughput else "as measured"
        return (written * (1 / (3600 * pace))).at_least(at_least), f"time: {pace:,.0f} tokens/s written, {source}"
    if at_least.high:
        return at_least, "time: as fast as the rate limits allow; the teacher may be slower (give `throughput`)"
    return None, "time: unknown until `throughput` (tokens/s that the teacher writes) is given or a session has run"


def _cost(price: Price | None, read: Range, written: Range, took: Range | None) -> Range | None:
    if price is None or (price.hour and took is None):
        return None
    spans = took or Range.of(0)
    return Range(
        price.cost(read.low, written.low, spans.low),
        price.cost(read.mid, written.mid, spans.mid),
        price.cost(read.high, written.high, spans.high),
    )


def _price_notes(settings: Planned, price: Price | None, took: Range | None) -> list[str]:
    if price is None:
        return [f"price: {how_to_price(settings)}"]
    if price.hour and took is None:
        return [f"price: ${price.hour:g} an hour, and the time is unknown"]
    per_hour = [f"${price.hour:g} an hour for {gpus_of(settings)} GPU(s)"] if price.hour else []
    listed = f"${price.input:g} and ${price.output:g} per million tokens read and written ({price.source})"
    return [f"price: {'; '.join([listed, *per_hour, *filter(None, [price.note])])}"]


def _doubts(
    settings: Planned, spent: Spent, tokens: Range, price: Price | None, cost: Range | None, took: Range | None
) -> list[str]:
    """The limits that the run, with what earlier sessions used, would not fit."""
    so_far = price.at_most(spent.prompt_tokens, spent.completion_tokens, spent.hours) if price else 0.0
    checked = [
        ("max_cost", settings.max_cost, so_far, cost, dollars),
        ("max_tokens", settings.max_tokens, spent.tokens, tokens, whole),
        ("max_hours", settings.max_hours, spent.hours, took, hours),
    ]
    return [
        doubt
        for name, limit, used, amount, form in checked
        if limit and (doubt := _doubt(name, limit, used, amount, form))
    ]


def _doubt(name: str, limit: float, used: float, amount: Range | None, form: Callable[[float], str]) -> str | None:
    if amount is None:
        return None  # the notes say what is missing; the run itself keeps the limit
    total = amount + Range.of(used)
    if total.high <= limit:
        return None
    before = f", {form(used)} of it used before" if used else ""
    if total.mid > limit:
        return (
            f"{name} is {form(limit)}, but the run takes about {form(total.mid)}{before}: it would stop at the limit"
        )
    return f"{name} is {form(limit)}; the run may take up to {form(total.high)}{before}: it may stop at the limit"


def _line(name: str, amount: Range | None, form: Callable[[float], str], at_most: float | None = None) -> list[str]:
    if amount is None:
        return [name, "", "unknown", "", ""]
    last = "" if at_most is None else form(at_most)
    if amount.low == amount.high:
        return [name, "", form(amount.mid), "", last]
    return [name, form(amount.low), form(amount.mid), form(amount.high), last]
