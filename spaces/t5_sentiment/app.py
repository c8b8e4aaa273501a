"""The Space: a review in, its opinions out, highlighted in the text and as a table.

Reads: the students that FSA_STUDENT names (Hub ids or folders, comma separated), from the Hub that HF_ENDPOINT names.

    FSA_STUDENT=me/t5-sentiment-tsa-rest14 python app.py
"""

import os


os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read where gradio is imported

import html
from collections import Counter
from functools import lru_cache
from itertools import combinations

import gradio as gr
from extraction import Sentence, Student, StudentError, extract_sentences, load_student
from opinions import POLARITIES


PLACEHOLDER = "fsa-distill/t5-sentiment-tsa-rest14"
MAX_CHARACTERS = 5_000  # about 900 words: some ten seconds on the two cores of a free Space

# Colours of equal weight that stay apart for colour-blind eyes, each at least 4.5 : 1 against white; the sign and the
# word say the same, so that nothing hangs on colour.
COLOURS = {"positive": "#0f766e", "neutral": "#52606d", "negative": "#c2410c", "conflict": "#7c3aed"}
SIGNS = {"positive": "▲", "neutral": "●", "negative": "▼", "conflict": "◆"}
MIXED = "#7c3aed"
# A sentence of an "asa" student may carry several polarities at once.
LABELS = {
    " + ".join(several): COLOURS[several[0]] if len(several) == 1 else MIXED
    for size in range(1, len(POLARITIES) + 1)
    for several in combinations(POLARITIES, size)
}

EXAMPLES = [
    "The pasta was superb but the waiter ignored us for half an hour. We will not be back, which is a pity: the wine"
    " list is the best in town.",
    "Battery life is great and the keyboard feels solid. The screen is dim, though, and tech support never answered.",
    "We waited forty minutes for a table that we had booked. At least the dessert was worth it.",
    "It boots in seconds. I only wish it had not died after three weeks.",
]
EXAMPLE_LABELS = ["A restaurant, mixed", "A laptop", "Waiting for a table", "Nothing said outright"]

# What gradio calls its parts may change with its version (6.31 here): without these rules the page is plainer, not
# broken. As it is, marked text is black on any theme, words break anywhere, and pieces of text stand apart like blocks
# (`font-size: 0` takes away the spaces between the pieces, not those inside).
CSS = """
.gradio-container { width: 100% !important; max-width: 860px !important; margin: 0 auto !important; }
#intro h1 { font-size: 1.75rem; line-height: 1.2; margin: .4rem 0 .3rem; }
#intro p, .quiet { color: var(--body-text-color-subdued); margin: 0; }
#summary .prose { padding: .15rem 0; }
.chips { display: flex; flex-wrap: wrap; gap: .4rem .5rem; align-items: center; }
.chip { color: #fff; border-radius: 999px; padding: .18rem .75rem; font-weight: 600; white-space: nowrap; }
.note { border-left: 4px solid #c2410c; padding: .55rem .8rem; background: var(--background-fill-secondary);
        border-radius: 4px; overflow-wrap: anywhere; }
#highlighted .empty { min-height: 4rem; }
#highlighted .textfield { display: block; line-height: 2; word-break: normal; overflow-wrap: anywhere; font-size: 0; }
#highlighted .token-container, #highlighted .token, #highlighted .text { display: inline; margin: 0; padding: 0; }
#highlighted .text, #highlighted .token.highlighted { font-size: 1.08rem; }
#highlighted .line-break { display: block; height: .4rem; }
#highlighted .token.highlighted { color: var(--body-text-color) !important; border-radius: 5px;
        padding: .16rem .3rem; box-decoration-break: clone; -webkit-box-decoration-break: clone; }
#highlighted .label { font-size: .75rem; text-transform: none; white-space: nowrap; margin-left: .2rem; }
#opinions td, #opinions th, #opinions .cell-wrap { font-family: var(--font) !important; }
#opinions td * { word-break: normal !important; overflow-wrap: break-word; }
@media (max-width: 600px) {
  .gradio-container > .main { padding: .8rem !important; }
  #intro h1 { font-size: 1.35rem; }
  #actions button { min-height: 44px; }
  #opinions .cell-wrap { padding: .35rem .3rem !important; }
}
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
    block_label_text_color="*primary_800",
    block_title_text_color="*primary_800",
    block_label_text_color_dark="*primary_100",
    block_title_text_color_dark="*primary_100",
    block_label_background_fill_dark="*primary_900",
    block_title_background_fill_dark="*primary_900",
)


# Exceptions are not kept: a student that is pushed later is found at the next click.
student_of = lru_cache(maxsize=4)(load_student)


def read_review(text: str | None, name: str) -> tuple[list[tuple[str, str | None]], dict, str]:
    """What the page shows of a review: highlighted text, table, and a line that sums up or says what went wrong."""
    try:
        student = student_of(name)
    except StudentError as error:
        return [], _table("tsa", []), _no_student(error)
    text = text or ""
    shortened = text[:MAX_CHARACTERS]
    [sentences] = extract_sentences(student, [shortened], batch_size=16)
    table = _table(student.task, sentences)
    summary = _summary(sentences, asked=bool(text.strip()), student=student)
    if len(text) > MAX_CHARACTERS:
        summary += _note(f"Only the first {MAX_CHARACTERS:,} of {len(text):,} characters were read.")
    return _highlight(shortened, sentences, student.task), table, summary


def _highlight(text: str, sentences: list[Sentence], task: str) -> list[tuple[str, str | None]]:
    if task == "asa":
        marks = [
            (sentence.start, sentence.end, _label([opinion["polarity"] for opinion in sentence.opinions]))
            for sentence in sentences
            if sentence.opinions
        ]
    else:
        places: dict[tuple[int, int], list[str]] = {}
        for sentence in sentences:
            for opinion in sentence.opinions:
                if opinion["start"] is None:  # a quad that only implies its target: the table has it
                    continue
                places.setdefault((opinion["start"], opinion["end"]), []).append(opinion["polarity"])
        marks = [(start, end, _label(polarities)) for (start, end), polarities in sorted(places.items())]
    pieces: list[tuple[str, str | None]] = []
    position = 0
    for start, end, label in marks:
        if start < position:  # inside a target that is shown already; the table has both
            continue
        if start > position:
            pieces.append((text[position:start], None))
        pieces.append((text[start:end], label))
        position = end
    if text[position:]:
        pieces.append((text[position:], None))
    return pieces


def _label(polarities: list[str]) -> str:
    return " + ".join(polarity for polarity in POLARITIES if polarity in polarities)


def _table(task: str, sentences: list[Sentence]) -> dict:
    rows = [
        [
            _what(opinion, task),
            f"{SIGNS[opinion['polarity']]} {opinion['polarity']}",
            sentence.text,
        ]
        for sentence in sentences
        for opinion in sentence.opinions
    ]
    return {**_headers(task), "data": rows}


def _what(opinion: dict, task: str) -> str:
    """What an opinion is on; of quads "target (aspect): opinion words", as far as the text has them."""
    if task == "tsa":
        return opinion["target"]
    aspect = opinion["category"].replace("_", " ")
    if task == "asa":
        return aspect
    words = "".join(f": {words}" for words in opinion["opinion_words"])
    return (f"{opinion['target']} ({aspect})" if opinion["target"] else aspect) + words


def _headers(task: str) -> dict:
    return {"headers": [{"tsa": "Target", "asa": "Aspect"}.get(task, "Opinion"), "Polarity", "Sentence"]}


def _summary(sentences: list[Sentence], asked: bool, student: Student) -> str:
    counts = Counter(opinion["polarity"] for sentence in sentences for opinion in sentence.opinions)
    if not asked:
        return _ready(student)
    if not counts:
        return "<div role='status' class='quiet'>No opinion found in this text.</div>"
    chips = "".join(
        f"<span class='chip' style='background:{COLOURS[polarity]}'>{SIGNS[polarity]} {count} {polarity}</span>"
        for polarity in POLARITIES
        if (count := counts[polarity])
    )
    where = f"in {len(sentences)} sentence{'s' if len(sentences) != 1 else ''}"
    return f"<div role='status' class='chips'>{chips}<span class='quiet'>{where}</span></div>"


def _ready(student: Student) -> str:
    names = {"tsa": "opinion targets", "asa": "aspect categories"}
    reads = names.get(student.task, "opinions with aspect, target and words")
    return f"<div role='status' class='quiet'>Ready: <b>{html.escape(student.name)}</b> reads {reads}.</div>"


def _no_student(error: StudentError) -> str:
    return _note(f"Nothing can be read yet: {error}. FSA_STUDENT should name a fine-tuned student.")


def _note(message: str) -> str:
    return f"<div role='alert' class='note'>{html.escape(message)}</div>"


def _status(name: str) -> str:
    try:
        return _ready(student_of(name))
    except StudentError as error:
        return _no_student(error)


def create_app(student_id: str) -> gr.Blocks:
    """The page for one student, or for several, comma separated (then with a choice between them)."""
    names = [name.strip() for name in student_id.split(",") if name.strip()] or [PLACEHOLDER]
    summary = gr.HTML(elem_id="summary", render=False)
    highlighted = gr.HighlightedText(label="In the text", color_map=LABELS, elem_id="highlighted", render=False)
    table = gr.Dataframe(
        **_headers("tsa"),
        label="Opinions",
        interactive=False,
        wrap=True,
        column_widths=["28%", "24%", "48%"],
        buttons=["copy"],
        elem_id="opinions",
        render=False,
    )
    shown = [highlighted, table, summary]
    with gr.Blocks(title="What reviews praise and blame", analytics_enabled=False) as app:
        gr.Markdown(
            "# What does this review praise and blame?\n"
            "A small T5 reads it sentence by sentence. Its card says what it learned from, and how often it errs.",
            elem_id="intro",
        )
        name = gr.Dropdown(names, value=names[0], label="Student", visible=len(names) > 1)
        text = gr.Textbox(
            label="Review (English)",
            placeholder="Paste a review of a restaurant or a laptop…",
            lines=4,
            max_lines=12,
            max_length=MAX_CHARACTERS,
        )
        with gr.Row(elem_id="actions"):
            clear = gr.Button("Clear", scale=1, min_width=100)
            submit = gr.Button("Find opinions", variant="primary", scale=3, min_width=160)
        gr.Examples(
            [[example] for example in EXAMPLES],
            text,
            shown,
            lambda example: read_review(example, names[0]),
            example_labels=EXAMPLE_LABELS,
            run_on_click=len(names) == 1,
            cache_examples=False,
            label="Or try one of these",
        )
        summary.render()
        highlighted.render()
        table.render()
        gr.on([submit.click, text.submit], read_review, [text, name], shown, api_name="read")
        name.change(read_review, [text, name], shown, api_visibility="private")
        clear.click(
            lambda name: ("", [], _table("tsa", []), _status(name)), name, [text, *shown], api_visibility="private"
        )
        app.load(_status, name, summary, api_visibility="private")
    return app


def main() -> None:
    """Serve the page: to this machine only, unless Hugging Face runs it as a Space."""
    app = create_app(os.environ.get("FSA_STUDENT", PLACEHOLDER))
    app.queue(max_size=32).launch(
        server_name="0.0.0.0" if "SPACE_ID" in os.environ else "127.0.0.1",
        theme=THEME,
        css=CSS,
        ssr_mode=False,
        footer_links=["api"],
    )


if __name__ == "__main__":
    main()
