"""The dataset card of a repo of replies: how far the run is, and what it is made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet

from hub_tools.hub.cards import DatasetFacts, Source, Teacher, dataset_card
from hub_tools.hub.runs import Run
from hub_tools.teachers.costs.amounts import dollars, hours
from hub_tools.teachers.costs.progress import Progress

from .drawing import licences_of


LICENCE_UNKNOWN = "their own terms; not for redistribution"


@dataclass
class RepliesCard:
    """Called with the number of replies in the repo and whether the session has ended, it writes the card.

    Attributes:
        reviews: Parquet file of the review rows.
        wanted: replies in all.
        drawn: what became of the reviews read: count by name.
        progress: of the session, while there is one.
        run: set once the run has ended.
    """

    repo_id: str
    teachers: list[Teacher]
    reviews: Path
    wanted: int
    drawn: Mapping[str, Any] = field(default_factory=dict)
    progress: Progress | None = None
    run: Run | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, rows: int, ended: bool) -> str:
        """README.md."""
        counts = [{"reviews": name.replace("_", " "), "count": count} for name, count in self.drawn.items() if count]
        return dataset_card(
            DatasetFacts(
                repo_id=self.repo_id,
                kind="replies",
                title=f"Replies of {', '.join(teacher.name for teacher in self.teachers)}",
                summary=self._state(rows, ended),
                configs={
                    "replies": {"train": rows},
                    "reviews": {"train": parquet.read_metadata(self.reviews).num_rows},
                },
                sources=[
                    Source(name, licence or LICENCE_UNKNOWN, note="Keep it private.")
                    for name, licence in licences_of(self.reviews).items()
                ],
                teachers=self.teachers,
                counts=[row for row in counts if isinstance(row["count"], int)],
                run=self.run,
            )
        )

    def _state(self, rows: int, ended: bool) -> str:
        share = f"{rows:,} of {self.wanted:,} replies ({rows / max(self.wanted, 1):.0%})"
        if self.run:
            totals, cost = self.facts.get("totals") or {}, self.facts.get("cost")
            if not totals:
                return share + "."
            spent = f"{totals['prompt_tokens']:,} tokens read, {totals['completion_tokens']:,} written"
            money = "" if cost is None else f", {dollars(cost)}"
            return f"{share}: {spent}, {hours(totals['seconds'] / 3600)} of labelling{money}."
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        state = "The run has stopped; the same command goes on" if ended else "The run goes on"
        return f"**Unfinished**: {share} on {now}{'' if ended else self._pace(rows)}. {state}."

    def _pace(self, rows: int) -> str:
        if not self.progress or not self.progress.replies:
            return ""
        per_second = self.progress.replies / max(self.progress.used.seconds, 1e-9)
        left = hours(max(self.wanted - rows, 0) / per_second / 3600)
        return f", {per_second:,.1f} replies/s, about {left} left"
