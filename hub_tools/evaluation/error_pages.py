"""Error browsers for a whole results dataset: a page per config and model, the baseline's answers beside."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from hub_tools.benchmarks.configs import task_of
from hub_tools.evaluation.browser import BrowserError, write_browser


SHOWN = ("id", "sentence", "reference", "prediction", "implicit", "multiple", "hard", "model")


def write_pages(
    rows: Sequence[Mapping], predictions: Sequence[Mapping], baseline: str, folder: Path
) -> tuple[list[Path], list[str]]:
    """
    Writes `<config>-<model>.html` for each model but the baseline, or for the baseline where it is alone.

    Shown is each model's run with the best validation F1 (where that is not known, the first): ten seeds' answers to
    one sentence are for statistics, not for reading.

    Args:
        rows, predictions: as `tables.complete` gives them; only of models trained on all sentences.

    Returns:
        The pages, and a sentence for each that could not be written.
    """
    validation = {_run(row): row["validation_f1"] for row in rows if row.get("validation_f1") is not None}
    runs: dict[str, dict[str, dict[tuple, list[Mapping]]]] = {}
    for row in predictions:
        if row["train_share"] == 1:
            of_model = runs.setdefault(row["config"], {}).setdefault(row["model"], {})
            of_model.setdefault(_run(row), []).append(
                {**{name: row.get(name) for name in SHOWN}, "seed": f"{row['seed']}"}
            )
    pages, problems = [], []
    for config, models in runs.items():
        best = {model: of[max(of, key=lambda run: validation.get(run, -1))] for model, of in models.items()}
        against = best.get(baseline)
        for number, (model, shown) in enumerate(best.items()):
            if model == baseline and len(best) > 1:
                continue
            other = against if model != baseline else None
            path = folder / f"{_slug(config)}-{_slug(model) or number}.html"
            if path in pages:
                path = path.with_stem(f"{path.stem}-{number}")
            title = f"{config}: {model}" + (f" and {baseline}" if other else "")
            try:
                write_browser(shown, path, title, task_of(config), other, names=(model, baseline))
                pages.append(path)
            except BrowserError as error:
                problems.append(f"No error browser of {model} on {config}: {error}")
    return pages, problems


def _run(row: Mapping) -> tuple:
    return tuple(row[name] for name in ("model", "config", "train_share", "seed"))


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
