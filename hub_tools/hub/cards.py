"""Cards of models and datasets: typed facts in, the text of README.md out (metadata and Markdown).

A fact that is not given is left out of the card; nothing here makes one up. The texts are `templates/model.md` and
`templates/dataset.md`.

    facts = ModelFacts("me/t5-sentiment-tsa-rest14", "Sentiment T5 for restaurants", task="tsa", run=run, results=rows)
    push_model(folder, facts.repo_id, card=model_card(facts), run=run)
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub import DatasetCardData, HfApi, ModelCardData
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .columns import COLUMNS
from .eval_results import Result, Scores, model_index, spread
from .runs import Run


KINDS = tuple(COLUMNS)
WITH_TEACHER = ("distillation", "instructions")


@dataclass(frozen=True)
class Teacher:
    """Who wrote the texts a student learned from. `is_llm` is False for the rule-based stand-in."""

    name: str
    is_llm: bool
    revision: str | None = None
    sampling: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Source:
    """Something a dataset was made from, and the terms it is under."""

    name: str
    licence: str
    url: str | None = None
    note: str = ""


@dataclass(frozen=True)
class ModelFacts:
    """What a model card may say. Scores are those of this repo's checkpoint recipe over all its seeds."""

    repo_id: str
    title: str
    task: str | None = None  # "tsa", "asa", "acos", "asqp"; None: distilled, not fine-tuned
    summary: str = ""
    licence: str | None = None  # of the weights, as the Hub names it; several with commas between
    terms: Mapping[str, str | None] | None = None  # Hub id of a dataset → the licence that its card states
    language: str = "en"
    base_model: str | None = None  # a Hub id; None: trained from scratch, or from a local folder
    datasets: Sequence[str] = ()  # Hub ids of what it was trained on
    benchmark: str | None = None  # Hub id of what it was scored on
    teachers: Sequence[Teacher] = ()
    hyperparameters: Mapping[str, Any] | None = None
    parameters: int | None = None
    pairs: int | None = None
    tokens: int | None = None  # seen in training, padding not counted
    losses: Mapping[str, float] | None = None  # e.g. {"validation, start": 5.1, "validation, end": 2.2}
    # What a student that is not fine-tuned has learned from: "distillation", "span-corruption", "rating",
    # "instructions"; "": nothing yet
    objective: str = "distillation"
    measured: Mapping[str, str] | None = None  # what the run measured, in words; what is "" is left out
    curve: Sequence[Mapping[str, Any]] = ()  # losses over the run, a row a point
    picture: str | None = None  # path of a picture of them in the repo
    run: Run | None = None
    results: Sequence[Result] = ()
    limits: Sequence[str] = ()
    example: str = "The pasta was superb but the waiter ignored us."
    # The student reads sentences within the template that its config.json keeps as `fsa_instruction`.
    has_instruction: bool = False


@dataclass(frozen=True)
class CorpusFacts:
    """What only the card of a corpus says. Tables are lists of rows with the same keys."""

    variants: Mapping[str, str]  # config → what it is
    publish: str = "text"  # or "ids": the reviews are not in the corpus
    replies: Sequence[str] = ()  # Hub ids of the repos that hold the reviews
    gates: Sequence[Mapping[str, Any]] = ()
    gates_off: Sequence[str] = ()
    samples: Mapping[str, Sequence[Mapping[str, Any]]] | None = None  # reason → rejected rows
    stars: Mapping[str, int] | None = None  # stars → pairs
    lengths: str | None = None  # path of a picture in the repo
    leaks: Sequence[Mapping[str, Any]] | None = None  # of the benchmark itself; [] says that there are none
    licences: Sequence[Mapping[str, Any]] = ()
    cost: Sequence[Mapping[str, Any]] = ()
    prompts: Mapping[str, Sequence[Mapping[str, str]]] | None = None  # name → chat messages


@dataclass(frozen=True)
class DatasetFacts:
    """What a dataset card may say. Tables are lists of rows with the same keys."""

    repo_id: str
    kind: str
    title: str
    configs: Mapping[str, Mapping[str, int]]  # config → split → rows
    summary: str = ""
    licence: str | None = None
    language: str = "en"
    sources: Sequence[Source] = ()
    teachers: Sequence[Teacher] = ()
    columns: Mapping[str, str] | None = None  # default: the contract of the kind
    counts: Sequence[Mapping[str, Any]] = ()  # beyond rows per split
    rejected: Mapping[str, int] | None = None  # reason → pairs; {} says that nothing was
    contamination: Sequence[Mapping[str, Any]] | None = None  # findings; [] says that none were found
    reconstructed: Sequence[str] = ()
    run: Run | None = None
    limits: Sequence[str] = ()
    corpus: CorpusFacts | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind of a dataset card should be one of {', '.join(KINDS)}, found {self.kind!r}")
        if not self.configs or not all(self.configs.values()):
            raise ValueError(f"the card of {self.repo_id} needs its configs and their splits, found {self.configs}")


def model_card(facts: ModelFacts) -> str:
    """README.md of a distilled or fine-tuned student, with `model-index` where there are results."""
    own = facts.benchmark and model_index(Scores(facts.results, facts.benchmark))
    data = ModelCardData(
        language=facts.language,
        license=facts.licence.split(", ") if facts.licence and "," in facts.licence else facts.licence,
        library_name="transformers",
        # The Hub has no text2text-generation any more; the tag says it for those who look for it.
        pipeline_tag="text-generation",
        tags=[
            "text2text-generation",
            "sentiment-analysis",
            "aspect-based-sentiment-analysis",
            *(["distillation"] if facts.task or facts.objective in WITH_TEACHER else []),
            "t5",
        ],
        base_model=facts.base_model,
        datasets=list(dict.fromkeys([*facts.datasets, *filter(None, [facts.benchmark])])) or None,
        metrics=["f1"] if own else None,
        model_name=facts.title if own else None,
        eval_results=own or None,
    )
    return _render(
        "model.md",
        data.to_yaml(),
        facts,
        scores=[_score_row(result) for result in facts.results],
        subsets={result.subset for result in facts.results},
        beams=(facts.hyperparameters or {}).get("num_beams", 1),
    )


def dataset_card(facts: DatasetFacts) -> str:
    """README.md of a dataset; `push_dataset` adds the `configs` to its metadata."""
    data = DatasetCardData(
        language=facts.language,
        license=facts.licence,
        pretty_name=facts.title,
        size_categories=[_size_category(sum(sum(splits.values()) for splits in facts.configs.values()))],
        task_categories=["text-generation"] if facts.kind in ("benchmark", "corpus") else None,
        tags=["sentiment-analysis", "aspect-based-sentiment-analysis", *(["synthetic"] if facts.teachers else [])],
    )
    columns = facts.columns if facts.columns is not None else COLUMNS[facts.kind]
    return _render("dataset.md", data.to_yaml(), facts, columns=columns)


def stated_licence(repo_id: str, repo_type: str, revision: str | None = None) -> str | None:
    """What the card of a repo on the Hub states as its licence at `revision` (default: main), several with commas."""
    card = HfApi().repo_info(repo_id, repo_type=repo_type, revision=revision).card_data
    found = card.get("license") if card else None
    return ", ".join(found) if isinstance(found, list) else found


def _score_row(result: Result) -> dict[str, str]:
    return {
        "model": result.system or "**this model**",
        "config": result.config,
        "split": result.split,
        "subset": result.subset,
        "sentences": f"{result.sentences:,}" if result.sentences is not None else "",
        "F1, paper rule": spread(result.f1),
        "F1, strict rule": spread(result.strict_f1),
        "seeds": str(len(result.f1)),
    }


def _size_category(rows: int) -> str:
    bounds = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M", 10_000_000: "1M<n<10M"}
    return next((name for bound, name in bounds.items() if rows < bound), "10M<n<100M")


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table; columns that are empty in every row are left out."""
    names = [name for name in rows[0] if any(row[name] not in ("", None) for row in rows)]
    lines = [names, ["---"] * len(names)] + [[_cell(row[name]) for name in names] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else f"{value}"
    return text.replace("|", "\\|").replace("\n", " ") if value is not None else ""


def _excerpt(text: str, most: int = 280) -> str:
    """A text in one line of Markdown, cut after `most` characters, that cannot pass for markup."""
    line = re.sub(r"([\\`*_\[\]<>#|!])", r"\\\1", " ".join(text.split()))
    return line if len(line) <= most else f"{line[:most].rstrip(chr(92))}…"


def _render(template: str, metadata: str, facts: ModelFacts | DatasetFacts, **more: Any) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["table"] = _table
    environment.filters["excerpt"] = _excerpt
    environment.filters["code"] = partial(json.dumps, ensure_ascii=False)
    text = environment.get_template(template).render(facts=facts, metadata=metadata.strip(), **more)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
