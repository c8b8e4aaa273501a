"""The Space as it is uploaded: its folder alone, a student from the embedded Hub, real clients and a real browser."""

import base64
import importlib.util
import json
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from gradio_client import Client
from huggingface_hub import SpaceCard, metadata_load

from hub_tools.hub.push import push_model
from tests.tiny_models import save_tiny_student


SPACE = Path(__file__).resolve().parents[2] / "spaces" / "t5_sentiment"
PASTA = "The pasta was superb but the waiter ignored us."
WORDS = {
    "tsa": [(PASTA, "pasta | positive ; waiter | negative"), ("Nothing to say.", "")],
    "asa": [(PASTA, "food style_options | positive ; service general | negative"), ("Nothing to say.", "")],
    "acos": [
        (PASTA, "food style_options | positive | pasta | superb"),
        ("We waited.", "service general | negative | none | waited"),
    ],
}


@pytest.fixture(scope="module")
def app():
    """The module app.py, with its siblings, as Python finds them when the folder is run."""
    before = set(sys.modules)
    sys.path.insert(0, str(SPACE))
    spec = importlib.util.spec_from_file_location("t5_sentiment_app", SPACE / "app.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(SPACE))
    for name in {"extraction", "opinions", "splitting"} - before:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def students(tmp_path_factory):
    """A student per task on the embedded Hub."""
    for task, lessons in WORDS.items():
        folder = save_tiny_student(tmp_path_factory.mktemp(task), task=task, lessons=lessons)
        push_model(folder, f"pages/{task}-student", card="---\nlicense: apache-2.0\n---\n# S\n")
    return ["pages/tsa-student", "pages/asa-student", "pages/acos-student"]


@pytest.fixture(scope="module")
def url(app, students):
    page = app.create_app(" , ".join(students) + ",pages/absent<script>")
    _, url, _ = page.launch(
        server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, ssr_mode=False, theme=app.THEME, css=app.CSS
    )
    yield url
    page.close(verbose=False)


@pytest.fixture(scope="module")
def client(url):
    return Client(url, verbose=False)


def pieces(highlighted):
    return [(piece["token"], piece["class_or_confidence"]) for piece in highlighted]


def test_targets_are_highlighted_and_listed_with_their_sentence(client, students):
    highlighted, table, summary = client.predict(f"{PASTA} Nothing to say.", students[0], api_name="/read")
    assert pieces(highlighted) == [
        ("The ", None),
        ("pasta", "positive"),
        (" was superb but the ", None),
        ("waiter", "negative"),
        (" ignored us. Nothing to say.", None),
    ]
    assert table["headers"] == ["Target", "Polarity", "Sentence"]
    assert table["data"] == [["pasta", "▲ positive", PASTA], ["waiter", "▼ negative", PASTA]]
    assert "▲ 1 positive" in summary
    assert "in 2 sentences" in summary


def test_aspects_highlight_their_sentence_by_all_its_polarities(client, students):
    highlighted, table, _ = client.predict(f"Nothing to say. {PASTA}", students[1], api_name="/read")
    assert pieces(highlighted) == [("Nothing to say. ", None), (PASTA, "positive + negative")]
    assert table["headers"][0] == "Aspect"
    assert [row[0] for row in table["data"]] == ["food style options", "service general"]


def test_quads_are_listed_with_aspect_and_words_and_highlight_the_targets_they_name(client, students):
    text = f"We waited. {PASTA}"
    highlighted, table, summary = client.predict(text, students[2], api_name="/read")
    assert pieces(highlighted) == [("We waited. The ", None), ("pasta", "positive"), (PASTA[9:], None)]
    assert table["headers"][0] == "Opinion"
    assert table["data"] == [
        ["service general: waited", "▼ negative", "We waited."],
        ["pasta (food style options): superb", "▲ positive", PASTA],
    ]
    assert "▼ 1 negative" in summary
    assert "reads opinions with aspect" in client.predict("", students[2], api_name="/read")[2]


def test_a_text_without_opinions_says_so(client, students):
    assert "No opinion found" in client.predict("Nothing to say.", students[0], api_name="/read")[2]


def test_without_a_text_the_page_is_ready(client, students):
    assert "reads opinion targets" in client.predict("", students[0], api_name="/read")[2]
    assert "reads aspect categories" in client.predict("", students[1], api_name="/read")[2]


def test_a_student_that_is_not_there_is_told_on_the_page(client):
    highlighted, table, message = client.predict("Fine.", "pages/absent<script>", api_name="/read")
    assert (highlighted, table["data"]) == ([], [])
    assert "could not load the student" in message
    assert "FSA_STUDENT" in message
    assert "<script>" not in message


def test_only_the_students_of_the_space_can_be_asked(client):
    with pytest.raises(Exception, match="not in the list of choices"):
        client.predict("Fine.", "/etc", api_name="/read")


def test_a_text_that_is_too_long_is_cut_and_the_page_says_where(app, students):
    text = "Nothing to say. " * 400
    highlighted, _, summary = app.read_review(text, students[0])
    assert "".join(piece for piece, _ in highlighted) == text[: app.MAX_CHARACTERS]
    assert "first 5,000 of 6,400 characters" in summary


def test_every_label_has_a_colour_and_the_text_is_always_whole(app):
    row = {"category": None, "opinion_words": None, "target": None}
    opinions = [row | {"start": 4, "end": 9, "polarity": polarity} for polarity in ("positive", "conflict")]
    opinions += [row | {"start": 4, "end": 7, "polarity": "negative"}]
    [(_, none), (word, label), (_, rest)] = app._highlight(PASTA, [app.Sentence(PASTA, 0, 47, opinions)], "tsa")
    assert (none, rest) == (None, None)
    assert label in app.LABELS
    assert word in ("pas", "pasta")
    assert len(app.LABELS) == 15


@pytest.mark.parametrize(("space_id", "host"), [(None, "127.0.0.1"), ("me/space", "0.0.0.0")])
def test_it_is_served_to_this_machine_only_unless_it_is_a_space(app, monkeypatch, space_id, host):
    seen = {}
    monkeypatch.setattr(app.gr.Blocks, "launch", lambda self, **options: seen.update(options))
    monkeypatch.delenv("SPACE_ID", raising=False)
    if space_id:
        monkeypatch.setenv("SPACE_ID", space_id)
    app.main()
    assert seen["server_name"] == host
    assert not seen.get("share")


def test_the_folder_runs_alone(tmp_path):
    shutil.copytree(SPACE, tmp_path / "space", ignore=shutil.ignore_patterns("__pycache__"))
    code = "import app, sys; app.create_app('me/x'); print([name for name in sys.modules if 'hub_tools' in name])"
    done = subprocess.run(
        [sys.executable, "-B", "-c", code], cwd=tmp_path / "space", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_the_card_of_the_space_is_valid(hub):
    SpaceCard.load(SPACE / "README.md").validate()
    data = metadata_load(SPACE / "README.md")
    assert data["sdk"] == "gradio"
    assert (SPACE / data["app_file"]).is_file()
    assert len(data["short_description"]) <= 60, "the Hub allows no more"


@pytest.fixture(scope="module")
def browser():
    """A phone-sized window of Chromium, by the WebDriver protocol: a function (method, path, body) → value."""
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("needs Debian's chromium and chromium-driver")
    driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True)
    port = next(line.split("port ")[1].strip(" .\n") for line in driver.stdout if "successfully on port" in line)

    def call(method, path, body=None):
        data = json.dumps(body or {}).encode() if method == "POST" else None
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    flags = (
        "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
        " --disable-component-update --disable-sync"
    )
    options = {"alwaysMatch": {"goog:chromeOptions": {"args": flags.split()}}}
    session = f"/session/{call('POST', '/session', {'capabilities': options})['sessionId']}"
    size = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    body = {"cmd": "Emulation.setDeviceMetricsOverride", "params": size}
    call("POST", f"{session}/goog/cdp/execute", body)
    yield lambda method, path, body=None: call(method, session + path, body)
    call("DELETE", session)
    driver.terminate()
    driver.wait()


def test_a_phone_shows_a_highlighted_sentence_without_scrolling_sideways(browser, url, tmp_path):
    def script(code):
        return browser("POST", "/execute/sync", {"script": code, "args": []})

    def wait_for(code):
        for _ in range(300):
            if found := script(code):
                return found
            time.sleep(0.1)
        (tmp_path / "page.png").write_bytes(base64.b64decode(browser("GET", "/screenshot")))
        raise AssertionError(f"never true on the page: {code}; see {tmp_path}/page.png")

    browser("POST", "/url", {"url": url})
    wait_for("return document.querySelector('#summary')?.innerText.includes('Ready')")
    script(
        f"const box = document.querySelector('textarea'); box.value = {json.dumps(PASTA)};"
        "box.dispatchEvent(new Event('input', {bubbles: true}));"
    )
    time.sleep(0.3)
    script("[...document.querySelectorAll('button')].find(b => b.innerText.includes('Find opinions')).click()")
    marked = "return [...document.querySelectorAll('#highlighted .highlighted')].map(e => e.innerText)"
    wait_for(marked.replace("return ", "return 0 < ").replace("map(e => e.innerText)", "length"))
    assert [" ".join(text.split()) for text in script(marked)] == ["pasta positive", "waiter negative"]
    assert script("return document.documentElement.scrollWidth") <= 390
    hosts = script("return performance.getEntriesByType('resource').map(e => new URL(e.name).host)")
    assert set(hosts) == {url.split("/")[2]}, "the page asks other hosts"
