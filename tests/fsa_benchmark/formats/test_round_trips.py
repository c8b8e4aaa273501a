"""Whatever a format holds comes back as it was, and whatever it does not hold is counted before it is gone."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub_tools.benchmarks.formats import FORMATS, Losses, content, fitted, read
from hub_tools.benchmarks.formats.problems import Problems
from hub_tools.benchmarks.formats.rows import Draft, opinion, rows_of


WORDS = st.sampled_from(
    ["soup", "Pad Thai", "n't", "a", "soups", "😀", "日本", "é", '"q"', "it's", "a,b", "####", "x#", "\\", "$T", "T$",
     "$T$", "[1]", "<b>", "&amp;", "]]>", "none", "{'a'", "null", "N\u2028L", "=1+1", "-999", "O", "½"]
)  # fmt: skip
GAPS = st.sampled_from([" "] * 12 + ["  ", "\t", "\n", "\r\n", "\r", "\x85", "\u00a0", "\x0b", "\x00", "", ", "])
LABELS = st.sampled_from(["FOOD#QUALITY", "food quality", "a_b", "é#日", "x, 'y'", "[z"])
POLARITY = st.sampled_from(["positive", "neutral", "negative", "conflict"])


@st.composite
def sentences(draw):
    """A sentence, and where its words stand."""
    text, spans = draw(st.sampled_from(["", "", "", " ", "\ufeff"])), []
    for _ in range(draw(st.integers(1, 6))):
        word = draw(WORDS)
        spans.append((len(text), len(text) + len(word)))
        text += word + draw(GAPS)
    return text, spans


@st.composite
def drafts(draw):
    """A sentence with opinions such as any file might give."""
    text, spans = draw(sentences())
    kind = draw(st.sampled_from(["plain", "quads", "several"]))
    opinions = []
    for _ in range(draw(st.integers(0, 3))):
        first, last = sorted(draw(st.tuples(st.sampled_from(spans), st.sampled_from(spans))))
        span = (first[0], last[1]) if draw(st.integers(0, 4)) else (None, None)
        category = draw(st.none() | LABELS) if span[0] is not None else draw(LABELS)
        place = draw(st.sampled_from(spans))
        said = text[slice(*place)]
        words = {
            "plain": st.none(),
            "quads": st.sampled_from([[], [said]]),
            "several": st.sampled_from([None, [], [said], [said, "not there"], ["|", " x "], ["[1]"]]),
        }[kind]
        target = text[slice(*span)] if span[0] is not None else None
        opinions.append(opinion(target, *span, category=category, polarity=draw(POLARITY), words=draw(words)))
    flags = draw(
        st.sampled_from([{}, {}, {}, {"hard": True}, {"implicit": None}, {"implicit": False, "multiple": True}])
    )
    return text, opinions, flags


def make_rows(many, task="tsa"):
    """Rows of drafts; those that no row can hold (a ';' in a target, …) are left out."""
    listed = [Draft(n, f"r{n // 2}:{n}", text, items, flags=flags) for n, (text, items, flags) in enumerate(many)]
    return rows_of(listed, task, Problems("made up"))


def come_back(rows, name, task, tmp_path):
    losses = Losses()
    format = FORMATS[name]
    kept = fitted(rows, format, task, losses)
    if not kept:
        return kept, kept, losses
    path = tmp_path / f"file{format.suffix}"
    path.write_bytes(content(rows, name, task, Losses()))
    return kept, read(path, name, task).rows, losses


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(many=st.lists(drafts(), min_size=1, max_size=4))
def test_what_is_read_back_is_what_was_fitted_and_without_losses_that_is_all(name, many, tmp_path):
    task = (FORMATS[name].tasks or ("tsa",))[0]
    rows = make_rows(many, task)
    kept, back, losses = come_back(rows, name, task, tmp_path)
    assert back == kept
    if not losses:
        same_ids = rows if "id" in FORMATS[name].holds else [row | {"id": str(n)} for n, row in enumerate(rows, 1)]
        assert kept == same_ids


@pytest.mark.parametrize("name", ["jsonl"])
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(many=st.lists(drafts(), min_size=1, max_size=4))
def test_benchmark_rows_lose_nothing_as_json_lines(name, many, tmp_path):
    rows = make_rows(many)
    kept, back, losses = come_back(rows, name, "tsa", tmp_path)
    assert not losses
    assert back == kept == rows
