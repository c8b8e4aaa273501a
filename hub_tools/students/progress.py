"""How far a grid is: a live table in a terminal, plain lines elsewhere, and always a table on disk."""

import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table

from hub_tools.evaluation.grid import Cell, CellStore
from hub_tools.students.crew import News
from hub_tools.students.finetuning import Epoch


HEADER = ("config", "model", "train", "seeds", "validation F1", "test F1", "strict", "s per seed", "now")
NOTE = (
    "F1 in percent on all sentences of the test split that stands for the config, mean ± standard deviation over the"
    " seeds finished so far, by the paper's rule and the strict one."
)


class Progress:
    """Listens to the news of cells and shows them; `file` holds the results of every run in the store's folder."""

    def __init__(self, cells: Sequence[Cell], store: CellStore, epochs: int, file: Path, console: Console):
        self.store, self.epochs, self.file, self.console = store, epochs, file, console
        self.cells = {cell: store.summary(cell) for cell in cells}
        self.now: dict[Cell, str] = {}
        self.live = Live(console=console, get_renderable=self.table, refresh_per_second=2, vertical_overflow="visible")

    def __enter__(self) -> "Progress":
        found = sum(summary is not None for summary in self.cells.values())
        self.say(f"finetune: {len(self.cells)} cells{f', {found} finished before' if found else ''}.")
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.console.is_terminal:
            self.live.stop()
        self.write()

    def hear(self, news: News) -> None:
        """Shows what happened to a cell."""
        cell = news.cell
        if news.what == "finished":
            self.cells[cell] = self.store.summary(cell)
            self.write()
        if isinstance(news.more, Epoch):
            ended = int(self.now[cell].split()[0]) + 1 if cell in self.now else 1
            self.now[cell] = f"{ended} of {self.epochs} epochs, validation {100 * news.more.f1:.2f}"
        elif news.what == "running":
            self.now[cell] = f"0 of {self.epochs} epochs"
        else:
            self.now.pop(cell, None)
        line = self.line(news)
        if line and (news.what in ("failed", "elsewhere") or not self.console.is_terminal):
            self.say(line)

    def line(self, news: News) -> str:
        """The news in one line; "" for an epoch."""
        done = sum(summary is not None for summary in self.cells.values())
        start = f"finetune: [{done}/{len(self.cells)}] {news.cell}: "
        summary = self.cells[news.cell]
        if news.what == "finished" and summary:
            scores = f"test F1 {100 * summary['f1']:.2f}, validation {100 * summary['validation_f1']:.2f}"
            return f"{start}{scores}, {summary['seconds']:.0f} s"
        if news.what == "elsewhere":
            return f"{start}process {news.more} of another launch is at work on it; asked again later"
        return {"running": f"{start}running", "failed": f"{start}FAILED: {news.more}"}.get(news.what, "")

    def say(self, line: str) -> None:
        """One line, above the table where there is one."""
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def table(self) -> Table:
        """What is finished, mean and spread over seeds, and what is being computed."""
        shown = Table(caption_justify="left")
        for number, name in enumerate(HEADER):
            shown.add_column(name, justify="left" if number in (0, 1, 8) else "right")
        for line in lines(list(self.cells), list(self.cells.values()), self.now):
            shown.add_row(*line)
        return shown

    def write(self) -> None:
        """The table of everything that is finished in the store's folder, as Markdown on disk."""
        if self.console.quiet:  # another process than the main one
            return
        summaries = sorted(self.store.summaries(), key=lambda each: [str(value) for value in each["cell"].values()])
        cells = [Cell(**summary["cell"]) for summary in summaries]
        rows = [HEADER[:-1], [":--", ":--", *["--:"] * 6], *(line[:-1] for line in lines(cells, summaries, {}))]
        table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        draft = self.file.with_name(f".{self.file.name}.{os.getpid()}")
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        draft.write_text(f"Fine-tuning, as of {stamp}\n\n{table}\n\n{NOTE}\n", encoding="utf-8")
        os.replace(draft, self.file)


def lines(cells: Sequence[Cell], summaries: Sequence[dict | None], now: dict[Cell, str]) -> list[list[str]]:
    """A line per group of cells that differ in the seed only, in the columns of `HEADER`."""
    groups: dict[tuple, list[tuple[Cell, dict | None]]] = {}
    for cell, summary in zip(cells, summaries, strict=True):
        groups.setdefault(cell.group, []).append((cell, summary))
    found = []
    for (model, config, share, form), members in groups.items():
        finished = [summary for _, summary in members if summary]
        scores = [spread([100 * each[name] for each in finished]) for name in ("validation_f1", "f1", "strict_f1")]
        seconds = f"{statistics.mean(each['seconds'] for each in finished):.0f}" if finished else "–"
        doing = "; ".join(f"seed {cell.seed}: {now[cell]}" for cell, _ in members if cell in now)
        name = model if form == "plain" else f"{model} ({form})"
        seeds = f"{len(finished)} of {len(members)}"
        found.append([config, name, f"{share:.0%}", seeds, *scores, seconds, doing])
    return found


def spread(values: Sequence[float]) -> str:
    """`"41.20 ± 0.35"`; no spread of a single value, "–" of none."""
    if not values:
        return "–"
    mean = f"{statistics.mean(values):.2f}"
    return f"{mean} ± {statistics.stdev(values):.2f}" if len(values) > 1 else mean
