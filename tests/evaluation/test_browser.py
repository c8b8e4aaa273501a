"""The error browser: its page holds the data unchanged, asks nobody for anything, and filters in a real browser."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tools.evaluation.browser import BrowserError, page_data, write_browser
from hub_tools.evaluation.scoring import score_texts


HOSTILE = (
    'The "soup" </script><script>alert(1)</script> & <img src=x onerror=alert(2)> \u2028 it\'s 🍜 {{title}} --><!--'
)
ROWS = [
    {
        "id": "1",
        "sentence": "The fried rice was great, the waiter rude.",
        "reference": "fried rice | positive ; waiter | negative",
        "prediction": "fried rice | positive ; waiter | positive",
        "implicit": False,
        "multiple": True,
        "hard": False,
    },
    {
        "id": "2",
        "sentence": "The wine list is long.",
        "reference": "wine list | positive",
        "prediction": "wine | positive ; beer | positive ; ???",
        "implicit": True,
        "multiple": False,
        "hard": True,
    },
    {
        "id": "3",
        "sentence": "I liked the bread.",
        "reference": "bread | positive",
        "prediction": "bread | positive",
        "implicit": False,
        "multiple": False,
        "hard": False,
    },
    {
        "id": "4",
        "sentence": HOSTILE,
        "reference": "soup | positive ; 🍜 | negative",
        "prediction": "soup | positive ; </script><b>x | negative",
        "implicit": False,
        "multiple": True,
        "hard": False,
    },
]


class Page(HTMLParser):
    """The page as a browser's parser sees it: scripts, attributes, and text by element."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.content, self.key = [], [], {}, None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *attribute) for attribute in attrs]
        self.key = (tag, dict(attrs).get("id"))

    def handle_endtag(self, tag):
        self.key = None

    def handle_data(self, data):
        self.content[self.key] = self.content.get(self.key, "") + data


@pytest.fixture
def page(tmp_path):
    def write(rows=ROWS, title="Errors", task="tsa", **options):
        path = tmp_path / "errors.html"
        write_browser(rows, path, title, task, **options)
        assert [file.name for file in tmp_path.iterdir()] == ["errors.html"]
        return Page(path.read_text(encoding="utf-8"))

    return write


def data_of(page):
    return json.loads(page.content["script", "data"])


def test_the_page_holds_the_rows_unchanged(page):
    shown = data_of(page())["rows"]
    assert [row["sentence"] for row in shown] == [row["sentence"] for row in ROWS]
    assert [row["reference"] for row in shown] == [row["reference"] for row in ROWS]
    assert [row["systems"][0]["prediction"] for row in shown] == [row["prediction"] for row in ROWS]
    assert [row["flags"] for row in shown] == [["multiple"], ["implicit", "hard"], [], ["multiple"]]


def test_findings_say_kind_and_place(page):
    [rice, waiter], wine, _, soup = (row["systems"][0]["findings"] for row in data_of(page())["rows"])
    assert (rice["kind"], rice["gold"], rice["spans"]) == ("right", 0, [[4, 14], None])
    assert (waiter["kind"], waiter["predicted"]) == ("wrong_polarity", ["waiter", "positive"])
    assert [finding["kind"] for finding in wine] == ["wrong_boundary", "invented", "malformed"]
    assert wine[2]["text"] == "???"
    # Places count characters: an emoji is one.
    noodles = data_of(page())["rows"][3]
    start, end = noodles["spans"][1][0]
    assert noodles["sentence"][start:end] == "🍜"
    assert [finding["kind"] for finding in soup] == ["right", "missed", "invented"]


def test_no_text_of_a_row_becomes_markup(page):
    found = page(title=HOSTILE)
    assert found.tags.count("script") == 2
    assert "img" not in found.tags
    assert "b" not in found.tags
    assert found.content["title", None] == HOSTILE
    assert data_of(found)["rows"][3]["sentence"] == HOSTILE


def test_the_page_asks_nobody_for_anything_and_its_policy_says_so(page):
    found = page()
    outside = [
        (tag, name, value) for tag, name, value in found.attributes if name in ("src", "href", "action", "srcset")
    ]
    assert outside == [("a", "href", "#results")]
    [policy] = [value for _, name, value in found.attributes if name == "content" and "default-src" in (value or "")]
    assert policy.startswith("default-src 'none'; ")
    for kind, key in (("style", ("style", None)), ("script", ("script", None))):
        digest = base64.b64encode(hashlib.sha256(found.content[key].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    for key in (("style", None), ("script", None)):
        assert not re.search(r"https?://|url\(|@import|innerHTML|eval\(", found.content[key])


def test_the_same_rows_make_the_same_bytes(tmp_path):
    for name in ("a.html", "b.html"):
        write_browser(ROWS, tmp_path / name, "Errors", "tsa")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_half_a_surrogate_pair_can_be_written(page):
    row = {"id": "1", "sentence": "Odd \ud83c.", "reference": "", "prediction": ""}
    assert data_of(page([row]))["rows"][0]["sentence"] == "Odd \ud83c."


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=20), min_size=1, max_size=3))
def test_any_text_survives_the_page(texts):
    from hub_tools.evaluation.browser import _script_safe

    written = _script_safe({"rows": texts})
    assert json.loads(written) == {"rows": texts}
    assert not set("<>&\u2028\u2029") & set(written)


def test_its_counts_are_the_scorers_strict_ones():
    columns = [[row[name] for row in ROWS] for name in ("prediction", "reference", "sentence")]
    scores = score_texts(*columns)
    counts = [system["counts"] for row in page_data(ROWS, "tsa")["rows"] for system in row["systems"]]
    right, predicted, gold = map(sum, zip(*counts, strict=True))
    assert right / predicted == pytest.approx(scores["strict_precision"])
    assert right / gold == pytest.approx(scores["strict_recall"])


def test_quads_have_categories_and_implicit_subsets():
    row = {"id": "1", "sentence": "I liked it.", "prediction": ""}
    data = page_data([row | {"reference": "food quality | positive | none | liked"}], "asqp")
    assert (data["fields"], data["categories"]) == (["category", "polarity", "target", "opinion"], ["food quality"])
    assert data["rows"][0]["flags"] == ["implicit_aspect"]
    assert data["rows"][0]["spans"] == [[None, None, None, [2, 7]]]


def test_seeds_are_told_apart_and_joined_by_seed():
    rows = [ROWS[2] | {"seed": seed} for seed in (10, 9)]
    others = [
        row | {"prediction": f"bread | {polarity}"}
        for row, polarity in zip(rows[::-1], ("neutral", "negative"), strict=True)
    ]
    data = page_data(rows, "tsa", others, ("A", "B"))
    assert data["seeds"] == ["9", "10"]
    assert [row["systems"][1]["prediction"] for row in data["rows"]] == ["bread | negative", "bread | neutral"]


def test_two_systems_must_answer_the_same_sentences():
    with pytest.raises(BrowserError, match="no prediction for sentence 2"):
        page_data(ROWS, "tsa", ROWS[:1])
    with pytest.raises(BrowserError, match="sentence 1 or its gold is not the same in both files"):
        page_data(ROWS[:1], "tsa", [ROWS[0] | {"reference": ""}])
    with pytest.raises(BrowserError, match="no rows"):
        page_data([], "tsa")


# --- in a real browser -----------------------------------------------------------------------------------------------

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture
def browse(tmp_path):
    """The text of the page's elements as Chromium leaves them, for an address's part after '#'."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    path = tmp_path / "errors.html"
    others = [row | {"prediction": row["reference"]} for row in ROWS[:2]] + [
        row | {"prediction": ""} for row in ROWS[2:]
    ]
    write_browser(ROWS, path, "Errors", "tsa", others, ("ours", "theirs"))

    def dump(address):
        command = [
            CHROMIUM,
            "--headless",
            "--no-sandbox",  # containers run as root, and the page is the test's own
            "--disable-gpu",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=3000",
            "--dump-dom",
            f"{path.as_uri()}#{address}",
        ]
        done = subprocess.run(command, capture_output=True, timeout=60, check=True)
        return done.stdout.decode()

    return dump


def shown_ids(dom):
    return re.findall(r'<li class="row" data-id="(\d+)"', dom)


def test_a_real_browser_filters_by_its_address(browse):
    dom = browse("compare=ba&kind=wrong_polarity&who=0&q=FRIED")
    assert shown_ids(dom) == ["1"]
    assert '<p id="status" role="status">1 of 4 sentences</p>' in dom
    assert 'aria-pressed="true"' in dom


def test_a_real_browser_runs_no_markup_of_a_sentence(browse):
    dom = browse("id=4")
    assert shown_ids(dom) == ["4"]
    assert "&lt;img src=x onerror=alert(2)&gt;" in dom
    assert "<img" not in dom
    assert "<b>x" not in dom
