"""What the fine-tuned students had learned before: their pretraining runs side by side, as their repos tell it."""

from collections.abc import Mapping, Sequence

from hub_tools.evaluation.typesetting import Block, Cell, Table


Runs = Mapping[tuple[str, str], Mapping]  # (repo, commit) → what run.json says of the run that left these weights

COUNTS = {"Pairs": "pairs", "Reviews": "reviews", "Steps": "steps", "Tokens": "tokens"}
NOTE = (
    "From `run.json` of each student's repo at the commit that was fine-tuned; –: there is none, as of a model before "
    "any pretraining of ours. Pairs and reviews: those learned from, without the held-out ones. Tokens: read and "
    "written, over all steps. Hours: of training alone, on that run's machine. Validation loss: the last, in nats per "
    "target token; between objectives it does not compare."
)


def students_of(rows: Sequence[Mapping]) -> list[tuple[str, str, str]]:
    """(label, repo, commit) of what was fine-tuned, in the rows' order; a label may stand for several commits."""
    named = [tuple(row.get(name) for name in ("model", "repo_id", "revision")) for row in rows]
    return [student for student in dict.fromkeys(named) if all(student)]


def pretraining_table(rows: Sequence[Mapping], runs: Runs) -> list[Table]:
    """A line a student, dashes where nothing is known of its pretraining; no table where that is so of all."""
    found = [(*student, runs.get(student[1:])) for student in students_of(rows)]
    if not any(run for *_, run in found):
        return []
    names = ("Student", "Repo and commit", "Git revision", "Learned", "Corpus", *COUNTS, "Hours", "Validation loss")
    lines: list[list[Cell]] = [
        [label, f"{repo}@{commit[:12]}", *(of_run(run) if run else [None] * (len(names) - 2))]
        for label, repo, commit, run in found
    ]
    columns = [("", name) for name in names]
    title = "How the students were pretrained"
    return [Table("pretraining", title, columns, [Block("", lines)], NOTE, text_columns=5)]


def of_run(run: Mapping) -> list[Cell]:
    """The cells that tell of a pretraining run; None for what an older version did not write down."""
    facts = run.get("facts") or {}
    counts = [facts.get(name) for name in COUNTS.values()]
    hours, loss = facts.get("hours"), facts.get("validation_loss")
    return [
        short(run.get("git_revision") or "") or None,
        learned(run.get("config") or {}),
        corpus(run.get("config") or {}, run.get("inputs") or {}),
        *(None if count is None else f"{count:,}" for count in counts),
        None if hours is None else f"{hours:.2f}",
        None if loss is None else f"{loss:.3f}",
    ]


def short(revision: str) -> str:
    """
    A commit of git in twelve digits; that files differed from it is not cut off.

    >>> short("440cf6f597a61c0d3bbad0049adab87d42be5334+dirty")
    '440cf6f597a6+dirty'
    """
    commit, plus, dirty = revision.partition("+")
    return commit[:12] + plus + dirty


def learned(config: Mapping) -> str:
    """
    The objective, and what else decided the targets and which of the pairs were learned.

    >>> learned({"objective": "distillation", "soft_teacher": "t5-large", "keep_share": 0.5, "keep_how": "hard"})
    'distillation; distributions of t5-large; 50 % of the pairs (hard)'
    """
    parts = [config.get("objective") or "distillation"]
    parts += [f"distributions of {config['soft_teacher']}"] if config.get("soft_teacher") else []
    share = config.get("keep_share", 1)
    return "; ".join(parts + ([f"{100 * share:.0f} % of the pairs ({config['keep_how']})"] if share < 1 else []))


def corpus(config: Mapping, inputs: Mapping[str, str]) -> str:
    """
    The dataset and its commit, and the parts of it that were asked for.

    >>> corpus({"namespace": "me", "corpus_configs": ["analysis"]}, {"me/sentiment-understanding-corpus": "c0ffee"})
    'me/sentiment-understanding-corpus@c0ffee (analysis)'
    """
    name = config.get("instructions") or config.get("corpus") or "sentiment-understanding-corpus"
    repo = name if "/" in name else f"{config.get('namespace', '')}/{name}"
    parts = [*(config.get("corpus_configs") or ()), *(config.get("teachers") or ())]
    commit = f"@{inputs[repo][:12]}" if repo in inputs else ""
    return f"{repo}{commit}" + (f" ({', '.join(parts)})" if parts else "")
