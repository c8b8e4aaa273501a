"""The tables of a corpus, written row by row: a Parquet file per config, of the same bytes for the same rows."""

from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as arrow
import pyarrow.parquet as parquet
from datasets import Features, Value

from hub_tools.prompts.analysis import AnalysisReply

from .pairs import Judged
from .variants import VARIANTS, ablated, ablated_id, config_name, unions


ROWS = 1_000  # of one table in memory, and in one row group
PAIR = Features(
    {name: Value("string") for name in ("pair_id", "review_id", "domain")}
    | {"rating": Value("float32")}
    | {name: Value("string") for name in ("prompt", "teacher", "input", "target", "source", "licence")}
)
REJECTED = Features({**PAIR, "reason": Value("string"), "detail": Value("string")})


class CorpusTables:
    """Writes judged pairs to `<folder>/<config>.parquet`; leaving the `with` block closes the files.

    Args:
        folder: an empty folder.
        publish: `text`, or `ids`: then `input` is null everywhere. What was rejected has no `target` either: some was
            rejected because it is the review.

    """

    def __init__(self, folder: Path, publish: str = "text") -> None:
        self._folder, self._with_text = Path(folder), publish == "text"
        self._writers: dict[str, parquet.ParquetWriter] = {}
        self._waiting: dict[str, list[dict]] = {}
        self._parts: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def add(self, judged: Judged) -> None:
        """Write a pair to its part and to the ablations, or to `rejected`."""
        pair = judged.pair if self._with_text else {**judged.pair, "input": None}
        if judged.reason:
            target = pair["target"] if self._with_text else None
            self._write("rejected", {**pair, "target": target, "reason": judged.reason, "detail": judged.detail})
            return
        part = config_name(pair["teacher"], pair["domain"], pair["prompt"])
        if part in VARIANTS or part == "rejected":
            raise ValueError(
                f"teacher {pair['teacher']!r} and domain {pair['domain']!r} make config {part!r}: rename one"
            )
        self._parts[part] = pair["prompt"]
        self._write(part, pair)
        if isinstance(judged.read, AnalysisReply):
            for variant, text in ablated(judged.read).items():
                self._write(variant, {**pair, "pair_id": ablated_id(pair["pair_id"], variant), "target": text})

    @property
    def files(self) -> dict[str, Path]:
        """The file of each config that has one of its own, parts first."""
        return {config: self._folder / f"{config}.parquet" for config in self.sizes if config in self._counts}

    @property
    def unions(self) -> dict[str, list[str]]:
        """The configs that are made of others' files."""
        return unions(list(self._parts.items()))

    @property
    def sizes(self) -> dict[str, int]:
        """Rows of every config: parts, in the order of their first rows, variants, and `rejected`."""
        parts = {part: self._counts[part] for part in self._parts}
        united = {variant: sum(parts[part] for part in members) for variant, members in self.unions.items()}
        rest = {config: rows for config, rows in self._counts.items() if config not in parts}
        return {**parts, **united, **dict(sorted(rest.items()))}

    def _write(self, config: str, row: dict) -> None:
        waiting = self._waiting.setdefault(config, [])
        waiting.append(row)
        self._counts[config] = self._counts.get(config, 0) + 1
        if len(waiting) == ROWS:
            self._flush(config)

    def _flush(self, config: str) -> None:
        schema = (REJECTED if config == "rejected" else PAIR).arrow_schema
        if config not in self._writers:
            self._writers[config] = parquet.ParquetWriter(self._folder / f"{config}.parquet", schema)
        self._writers[config].write_table(arrow.Table.from_pylist(self._waiting[config], schema=schema))
        self._waiting[config] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for config, rows in self._waiting.items():
            if rows and not error:
                self._flush(config)
        for writer in self._writers.values():
            writer.close()
