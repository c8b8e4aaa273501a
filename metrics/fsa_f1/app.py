"""The metric's Space: predictions pasted or in a file, scored under every rule.  Run as: python app.py"""

import os


os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read where gradio is imported

import html
from pathlib import Path

import evaluate
import gradio as gr
from files import read_scored


# By file: on the Hub, the folder is not called `fsa_f1`.
METRIC = evaluate.load(str(Path(__file__).resolve().parent / "fsa_f1.py"))

TASKS = [
    ("tsa: target | polarity", "tsa"),
    ("asa: category | polarity", "asa"),
    ("acos, asqp: category | polarity | target | opinion", "acos"),
    ("target | opinion | polarity", "target,opinion,polarity"),
]
FURTHER = ("partial", "instructabsa", "absa-quad")
SUBSETS = ("implicit", "implicit_aspect", "implicit_opinion", "multiple")
COUNTS = ("n_sentences", "n_gold", "n_predicted", "n_malformed", "n_invented", "n_repeated")
SCORE_HEADERS = ["Sentences", "Rule", "Precision", "Recall", "F1"]
CLASS_HEADERS = ["Precision", "Recall", "F1", "Gold", "Predicted", "Right"]
MAX_FILE = "20mb"  # some 100,000 sentences

EXAMPLES = [
    [
        "The Pad Thai was great, but the waiter left us.\nWe waited an hour for cold soup.\nI went there on Monday.",
        "Pad Thai | positive ; waiter | negative\nsoup | negative\n",
        "Thai | positive ; service | negative\nsoup | negative ; soup | neutral\nMonday | neutral",
        "tsa",
    ],
    [
        "The Pad Thai was great.\nNever again.",
        "food quality | positive | Pad Thai | great\nrestaurant general | negative | none | none",
        "food quality | positive | Thai | great\nservice general | negative | none | none",
        "acos",
    ],
]


def score_pasted(sentences: str, references: str, predictions: str, task: str, rules: list[str]) -> tuple:
    """What the page shows of texts pasted one per line."""
    sentence_lines = sentences.rstrip("\n").split("\n")
    n = len(sentence_lines)
    columns = {
        "predictions": _lines(predictions, n),
        "references": _lines(references, n),
        "sentences": sentence_lines,
    }
    return _shown(columns, task, rules, "(one line per sentence; an empty line is no opinion)")


def score_files(predictions: str | None, gold: str | None, task: str, rules: list[str]) -> tuple:
    """What the page shows of JSON lines: `prediction` and, in the same file or another, `sentence` and `reference`."""
    if not predictions:
        raise gr.Error("Choose a file of predictions first.")
    try:
        columns = read_scored(Path(predictions), Path(gold or predictions))
    except ValueError as error:
        raise gr.Error(_names(str(error), predictions, gold)) from error
    del columns["ids"]
    return _shown(columns, task, rules, "")


def _shown(columns: dict, task: str, rules: list[str], hint: str) -> tuple:
    columns = {name: column for name, column in columns.items() if column is not None}
    try:
        found = METRIC.compute(**columns, task=task, rule=rules or ["paper"])
    except (TypeError, ValueError) as error:
        raise gr.Error(f"{error} {hint}".strip()) from error
    parts = METRIC.breakdown(**{name: columns[name] for name in ("predictions", "references", "sentences")}, task=task)
    return (
        count_line(found),
        score_rows(found, rules),
        class_rows("Polarity", parts.get("polarity", {})),
        confusion_table(parts.get("confusion", {})),
        class_rows("Category", parts.get("category", {})),
        gr.update(visible="category" in parts),
    )


def count_line(found: dict) -> str:
    """The counts in words."""
    said = (f"<b>{found[name]:,}</b> {name.removeprefix('n_').replace('gold', 'in gold')}" for name in COUNTS)
    return f"<div role='status'>{' · '.join(said)}</div>"


def score_rows(found: dict, rules: list[str]) -> list[list]:
    """A line per subset and rule, in percent; a subset without sentences has no score."""
    lines = []
    for subset, prefix in (("all", ""), *((name, f"{name}_") for name in SUBSETS)):
        size = found.get(f"n_{subset}" if prefix else "n_sentences")
        for rule in ("paper", "strict", *rules) if size is not None else ():
            key = prefix + ("" if rule == "paper" else f"{rule.replace('-', '_')}_")
            numbers = [f"{100 * found[key + name]:.2f}" if size else "–" for name in ("precision", "recall", "f1")]
            lines.append([f"{subset.replace('_', ' ')} ({size:,})", rule, *numbers])
    return lines


def class_rows(name: str, rows: dict[str, dict]) -> dict:
    """A line per polarity or category, by the strict rule's sets; a share of nothing is no share."""
    lines = []
    for label, row in rows.items():
        shares = [row[key] if row[of] else None for key, of in (("precision", "predicted"), ("recall", "support"))]
        shares.append(row["f1"] if row["support"] or row["predicted"] else None)
        numbers = ["–" if share is None else f"{100 * share:.2f}" for share in shares]
        lines.append([label, *numbers, row["support"], row["predicted"], row["right"]])
    return {"headers": [name, *CLASS_HEADERS], "data": lines}


def confusion_table(matrix: dict[str, dict[str, int]]) -> str:
    """Gold polarities down, predicted ones across, each cell as dark as its share of its row."""
    if not matrix:
        return "<p>This task has no polarity to confuse.</p>"
    columns = list(next(iter(matrix.values())))
    head = "".join(f"<th scope='col'>{html.escape(column)}</th>" for column in columns)
    body = ""
    for gold, row in matrix.items():
        total = sum(row.values())
        cells = "".join(_cell(gold, column, row.get(column, 0), total) for column in columns)
        body += f"<tr><th scope='row'>{html.escape(gold)}</th>{cells}</tr>"
    return (
        f"<table class='confusion'><caption>Gold in rows, predicted in columns; items that agree in all but the "
        f"polarity</caption><thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _cell(gold: str, said: str, count: int, total: int) -> str:
    if gold == "spurious" and said == "missed":
        return "<td></td>"
    colour = "15, 118, 110" if gold == said else "194, 65, 12"
    return f"<td style='background: rgba({colour}, {0.45 * count / total if total else 0:.2f})'>{count:,}</td>"


def _lines(text: str, n_sentences: int) -> list[str]:
    """The lines of a pasted text; a final line break is no further line, unless the last sentence has no opinion."""
    lines = text.split("\n")
    return lines[:-1] if len(lines) == n_sentences + 1 and not lines[-1].strip() else lines


def _names(message: str, *paths: str | None) -> str:
    """The message with files as the user knows them, not where the server put them."""
    for path in filter(None, paths):
        message = message.replace(path, Path(path).name)
    return message


CSS = """
.gradio-container { width: 100% !important; max-width: 1000px !important; margin: 0 auto !important; }
#scores td, #scores th, #polarities td, #polarities th, #categories td, #categories th, .cell-wrap {
  font-family: var(--font) !important; font-variant-numeric: tabular-nums; }
.confusion { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.confusion caption { text-align: left; padding: .3rem 0; color: var(--block-label-text-color); }
.confusion th, .confusion td { padding: .4rem .8rem; text-align: right;
  border: 1px solid var(--border-color-primary); }
.confusion th[scope=row] { text-align: left; }
@media (max-width: 600px) { .confusion th, .confusion td { padding: .3rem .2rem; font-size: .75rem; } }
"""
THEME = gr.themes.Soft(
    primary_hue="teal",
    neutral_hue="slate",
    # No web fonts: the page asks nothing of other hosts, and looks the same offline.
    font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
    font_mono=["ui-monospace", "Consolas", "monospace"],
).set(  # the theme's own teal and grey are too pale to read
    background_fill_primary="*neutral_50",  # the theme's own: `set` of gradio 6.31 would forget it
    body_text_color_subdued="*neutral_600",
    body_text_color_subdued_dark="*neutral_300",
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_dark="*primary_700",
    checkbox_label_background_fill_selected="*primary_700",
    block_label_text_color="*primary_800",
    block_title_text_color="*primary_800",
    block_label_text_color_dark="*primary_100",
    block_title_text_color_dark="*primary_100",
    block_label_background_fill_dark="*primary_900",
    block_title_background_fill_dark="*primary_900",
)

with gr.Blocks(title="fsa_f1", analytics_enabled=False) as demo:
    gr.Markdown(
        "# fsa_f1: whose rule gives which score?\n"
        "F1 of opinions written as text, `target | polarity ; target | polarity`, by the rule of "
        "[arXiv 2412.18552](https://arxiv.org/abs/2412.18552), strictly, and by the rules that others use. The card "
        "says what each counts, and how it can be fooled."
    )
    with gr.Row():
        task = gr.Dropdown(
            TASKS, value="tsa", label="Task", info="Or write fields, joined by commas", allow_custom_value=True
        )
        rules = gr.CheckboxGroup(list(FURTHER), value=list(FURTHER), label="Rules beside paper and strict")
    with gr.Tab("Files"):
        with gr.Row():
            files = [
                gr.File(label=label, file_types=[".jsonl", ".json"], height=150)
                for label in ("Predictions (.jsonl)", "Gold (.jsonl)")
            ]
        gr.Markdown(
            'A line per sentence. Predictions: `{"id": …, "prediction": …}`; gold: `{"id": …, "sentence": …, '
            '"reference": …}`, and `"implicit"`, `"multiple"` (true or false) for these subsets; or all in one '
            "file. Without ids, files are joined line by line."
        )
        score_file = gr.Button("Score files", variant="primary")
    with gr.Tab("Paste"):
        with gr.Row():
            boxes = [
                gr.Textbox(label=label, lines=6, min_width=260) for label in ("Sentences", "References", "Predictions")
            ]
        gr.Markdown("One line per sentence; an empty line is a sentence without opinions.")
        score_paste = gr.Button("Score", variant="primary")
        examples_at = gr.Column()
    counts = gr.HTML(elem_id="counts")
    scores, polarities, categories = (
        gr.Dataframe(
            headers=headers,
            label=label,
            interactive=False,
            buttons=["copy"],
            elem_id=name,
            max_height=1000,
            render=False,
        )
        for name, headers, label in (
            ("scores", SCORE_HEADERS, "Scores, %"),
            ("polarities", ["Polarity", *CLASS_HEADERS], "Per polarity, strict, %"),
            ("categories", ["Category", *CLASS_HEADERS], "Per category, strict, %"),
        )
    )
    scores.render()
    polarities.render()
    confusion = gr.HTML(elem_id="confusion")
    with gr.Column(visible=False) as by_category:
        categories.render()
    outputs = [counts, scores, polarities, confusion, categories, by_category]
    score_paste.click(score_pasted, [*boxes, task, rules], outputs, api_name="score")
    score_file.click(score_files, [*files, task, rules], outputs, api_name="score_files")
    with examples_at:
        gr.Examples(
            EXAMPLES,
            [*boxes, task],
            outputs,
            lambda *texts: score_pasted(*texts, list(FURTHER)),
            run_on_click=True,
            cache_examples=False,
            example_labels=["Targets", "Quads"],
        )


def main() -> None:
    """Serve the page: to this machine only, unless Hugging Face runs it as a Space."""
    demo.queue(max_size=32).launch(
        server_name="0.0.0.0" if "SPACE_ID" in os.environ else "127.0.0.1",
        theme=THEME,
        css=CSS,
        max_file_size=MAX_FILE,
        ssr_mode=False,
        footer_links=["api"],
    )


if __name__ == "__main__":
    main()
