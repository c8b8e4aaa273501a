"""The metric's Space: paste texts, see both rules' scores.  Run as: python app.py"""

from pathlib import Path

import evaluate
import gradio as gr


# By file: on the Hub, the folder is not called `fsa_f1`.
METRIC = evaluate.load(str(Path(__file__).resolve().parent / "fsa_f1.py"))

EXAMPLE = [
    "The Pad Thai was great, but the waiter ignored us.\nWe waited an hour for cold soup.\nI went there on Monday.",
    "Pad Thai | positive ; waiter | negative\nsoup | negative\n",
    "Pad Thai | positive ; service | negative\nsoup | negative ; soup | negative\nMonday | neutral",
    "tsa",
]
COUNTS = ("n_sentences", "n_gold", "n_predicted", "n_malformed", "n_invented", "n_repeated")


def score(sentences: str, references: str, predictions: str, task: str) -> tuple[list[list], list[list]]:
    """Score texts pasted one per line: a table of both rules in percent, and one of counts."""
    sentence_lines = sentences.rstrip("\n").split("\n")
    columns = (_lines(text, len(sentence_lines)) for text in (predictions, references))
    try:
        found = METRIC.compute(
            **dict(zip(("predictions", "references"), columns, strict=True)), sentences=sentence_lines, task=task
        )
    except (TypeError, ValueError) as error:
        raise gr.Error(f"{error} (one line per sentence; an empty line is no opinion)") from error
    rules = {"paper": "", "strict": "strict_"}
    table = [
        [rule, *(round(100 * found[prefix + name], 2) for name in ("precision", "recall", "f1"))]
        for rule, prefix in rules.items()
    ]
    return table, [[name.removeprefix("n_"), found[name]] for name in COUNTS]


def _lines(text: str, n_sentences: int) -> list[str]:
    """The lines of a pasted text; a final line break is no further line, unless the last sentence has no opinion."""
    lines = text.split("\n")
    return lines[:-1] if len(lines) == n_sentences + 1 and not lines[-1].strip() else lines


with gr.Blocks(title="fsa_f1") as demo:
    gr.Markdown(
        "# fsa_f1\nF1 of opinions written as text, `what | polarity ; what | polarity`, by the rule of "
        "[arXiv 2412.18552](https://arxiv.org/abs/2412.18552) and by a strict one. One line per sentence; an empty "
        "line is a sentence without opinions."
    )
    with gr.Row():
        boxes = [gr.Textbox(label=label, lines=8) for label in ("Sentences", "References", "Predictions")]
    task_choice = gr.Radio(
        [("targets (tsa)", "tsa"), ("aspect categories (asa)", "asa")], value="tsa", label="What stands before the |"
    )
    button = gr.Button("Score", variant="primary")
    with gr.Row():
        scores_table = gr.Dataframe(headers=["rule", "precision %", "recall %", "F1 %"], label="Scores")
        counts_table = gr.Dataframe(headers=["count", "value"], label="Counts")
    inputs, outputs = [*boxes, task_choice], [scores_table, counts_table]
    button.click(score, inputs, outputs, api_name="score")
    gr.Examples([EXAMPLE], inputs, outputs, score, cache_examples=False)


if __name__ == "__main__":
    demo.launch()  # loopback, unless the host (a Space) says otherwise in GRADIO_SERVER_NAME
