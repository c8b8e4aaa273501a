"""The costly recipe, run whole on the embedded Hub: what it pushes, how it stops, and how it goes on."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from datasets import Dataset, load_dataset
from huggingface_hub import HfApi, hf_hub_download

from hub_tools import prompts
from hub_tools.teachers import lexicon
from hub_tools.teachers.journal import Journal
from tests.recipes.recipe_files import ROOT, load_recipe
from tests.teachers.faulty_server import serve


REVIEWS = 12


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs the recipe with these keys over the YAML's, and returns the repo's id."""
    rows = [
        f'{5 - number % 5},"The soup number {number} was superb, but the waiter ignored us."'
        for number in range(REVIEWS)
    ]
    (tmp_path / "mine.csv").write_text("\n".join(["stars,what_they_said", *rows]), encoding="utf-8")
    namespace = f"ns-{uuid.uuid4().hex[:8]}"
    values = {
        "namespace": namespace, "data": tmp_path, "runs": tmp_path / "runs", "replies": "replies-x",
        "files": "mine.csv", "scheme": "R11111", "text_column": "what_they_said", "rating_column": "stars",
        "domain": "restaurant", "licence": "cc-by-4.0", "near_duplicates": 0,
    }  # fmt: skip

    def label(**changes) -> str:
        flags = [f"--{key}={value}" for key, value in {**values, **changes}.items() if key != "files"]
        monkeypatch.setattr(sys, "argv", ["label_reviews.py", *flags, "--files", values["files"]])
        load_recipe("label_reviews").main()
        return f"{namespace}/{changes.get('replies', 'replies-x')}"

    label.repo_id = f"{namespace}/replies-x"
    return label


def replies(repo_id: str) -> list[dict]:
    return load_dataset(repo_id, "replies", split="train").to_list()


def run_facts(repo_id: str) -> dict:
    return json.loads(Path(hf_hub_download(repo_id, "run.json", repo_type="dataset")).read_text("utf-8"))


def card(repo_id: str) -> str:
    return Path(hf_hub_download(repo_id, "README.md", repo_type="dataset")).read_text("utf-8")


def test_a_csv_becomes_replies_and_reviews_in_a_private_repo_and_the_next_run_reuses_them(run, capsys):
    repo_id = run()
    assert len(replies(repo_id)) == 2 * REVIEWS
    reviews = load_dataset(repo_id, "reviews", split="train").to_list()
    assert {row["review_id"] for row in replies(repo_id)} == {row["review_id"] for row in reviews}
    assert {(row["domain"], row["licence"]) for row in reviews} == {("restaurant", "cc-by-4.0")}
    assert HfApi().dataset_info(repo_id).private
    assert run_facts(repo_id)["facts"]["totals"]["rows"] == 2 * REVIEWS
    assert "24 of 24 replies (100%)" in card(repo_id)
    run()
    assert "holds the replies of this very run; reused." in capsys.readouterr().out


def interrupt_after(count: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lexicon teacher, three requests at a time, presses Ctrl-C in chunk `count`; returns what it is asked."""
    asked: list[str] = []
    reply = lexicon.LexiconTeacher.reply

    def replying(self, requests):
        asked.extend(request.request_id for request in requests)
        if len(asked) == 3 * count:
            os.kill(os.getpid(), signal.SIGINT)
        return reply(self, requests)

    monkeypatch.setattr(lexicon, "CHUNK", 3)
    monkeypatch.setattr(lexicon.LexiconTeacher, "reply", replying)
    # the rehearsal for the plan asks too
    monkeypatch.setattr("hub_tools.labelling.session.rehearsed", lambda prior, *others: prior)
    return asked


def test_ctrl_c_finishes_what_is_in_flight_and_the_same_command_goes_on(run, monkeypatch, capsys, tmp_path):
    asked = interrupt_after(2, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run()
    with Journal(tmp_path / "runs" / "replies-x.sqlite") as journal:
        assert len(journal) == len(asked) == 6
    repo_id = run()
    assert len(asked) == len(set(asked)) == 2 * REVIEWS
    assert len(replies(repo_id)) == 2 * REVIEWS
    assert "6 of 24 replies are in the journal; reused." in capsys.readouterr().out


def test_an_interrupted_run_that_pushes_on_the_way_leaves_its_replies_on_the_hub_for_another_machine(
    run, monkeypatch, tmp_path, capsys
):
    asked = interrupt_after(3, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run(push_every=3)
    repo_id = run(push_every=3, runs=tmp_path / "another-machine")
    assert len(asked) == len(set(asked)) == 2 * REVIEWS
    assert len(replies(repo_id)) == 2 * REVIEWS
    assert f"9 replies came from {repo_id}, pushed by an earlier run." in capsys.readouterr().out


def test_a_budget_stops_before_it_is_passed_and_a_higher_one_goes_on(run, capsys):
    with pytest.raises(SystemExit, match="3"):
        run(max_tokens=1000)
    repo_id = run.repo_id
    some = replies(repo_id)
    assert 0 < len(some) < 2 * REVIEWS
    assert sum(row["prompt_tokens"] + row["completion_tokens"] for row in some) <= 1000
    assert "run.json" not in HfApi().list_repo_files(repo_id, repo_type="dataset")
    assert "**Unfinished**" in card(repo_id)
    assert "stopped within the budget: max_tokens is 1,000" in capsys.readouterr().out
    run(max_tokens=1_000_000)
    assert len(replies(repo_id)) == 2 * REVIEWS
    assert run_facts(repo_id)["finished"]


def test_another_prompt_or_teacher_reuses_nothing_stale_and_says_what_it_set_aside(run, capsys):
    repo_id = run(prompts="analysis")
    with serve() as server:
        run(teacher="openai", model="tiny-chat", endpoints=server.url, prompts="analysis")
        assert server.asked.total() == REVIEWS
    out = capsys.readouterr().out
    assert "12 replies in" in out
    assert "answer something else and are set aside: 12 by lexicon 1-" in out
    assert {row["teacher"] for row in replies(repo_id)} == {"tiny-chat"}
    run(prompts="rewriting")
    assert "set aside: 12 by tiny-chat as served" in (said := capsys.readouterr().out)
    assert "12 to other prompts, or about other reviews" in said


def test_requests_that_failed_are_told_with_their_reasons_and_asked_again_alone(run, capsys):
    def fault(text: str, times: int) -> str:
        return "500" if "number 3 " in text and times <= 2 else "400" if "number 4 " in text else ""

    with serve(faults=fault) as server:
        options = {"teacher": "openai", "model": "tiny-chat", "endpoints": server.url, "attempts": 1}
        with pytest.raises(ValueError, match=r"got no reply: 2 × .*500.*asks again for those"):
            run(**options)
        assert server.asked.total() == 24
        with pytest.raises(ValueError, match=r"requests got no reply"):
            run(**options)
        assert server.asked.total() == 26
        repo_id = run(**options)
        assert server.asked.total() == 28
        assert "2 requests can have no reply: 2 × " in capsys.readouterr().out
        run(**options, ask_refused="true")
        assert server.asked.total() == 30
    assert len(replies(repo_id)) == 22
    failures = load_dataset(repo_id, "failures", split="train").to_list()
    assert [("maximum context length" in row["reason"]) for row in failures] == [True, True]


def test_a_prompt_that_was_edited_after_a_finished_run_is_asked_again(run, monkeypatch, capsys):
    run(prompts="analysis")
    build = prompts.BUILDERS["analysis"]
    monkeypatch.setitem(
        prompts.BUILDERS, "analysis", lambda review: [*build(review), {"role": "user", "content": "!"}]
    )
    repo_id = run(prompts="analysis")
    assert "12 to other prompts, or about other reviews" in capsys.readouterr().out
    assert len(replies(repo_id)) == REVIEWS


def test_another_sample_leaves_no_reply_about_a_review_that_is_not_there(run):
    run()
    repo_id = run(n=4, seed=7)
    reviews = {row["review_id"] for row in load_dataset(repo_id, "reviews", split="train")}
    assert len(reviews) == 4
    assert [row["review_id"] in reviews for row in replies(repo_id)] == [True] * 8
    assert len(replies(run())) == 2 * REVIEWS


def test_two_machines_in_turn_pay_for_nothing_twice(run, monkeypatch, tmp_path):
    def session(machine: str, chunks: int) -> None:
        with monkeypatch.context() as patch:
            asked = interrupt_after(chunks, patch)
            with pytest.raises(KeyboardInterrupt):
                run(push_every=3, runs=tmp_path / machine)
        everything.extend(asked)

    everything: list[str] = []
    session("a", 2)
    session("b", 2)
    session("a", 2)
    asked = interrupt_after(100, monkeypatch)
    repo_id = run(push_every=3, runs=tmp_path / "b")
    everything += asked
    assert len(everything) == len(set(everything)) == 2 * REVIEWS
    assert len(replies(repo_id)) == len({row["request_id"] for row in replies(repo_id)}) == 2 * REVIEWS


def test_a_run_without_a_single_reply_says_why(run):
    with serve(faults=lambda text, times: "500") as server, pytest.raises(ValueError, match=r"24 of 24 .*500"):
        run(teacher="openai", model="tiny-chat", endpoints=server.url, attempts=1)
    with pytest.raises(SystemExit, match="3"):
        run(max_tokens=10)


def test_an_error_on_the_way_leaves_what_there_is_on_the_hub_and_a_card_that_says_it_stopped(run):
    def fault(text: str, times: int) -> str:
        return "401" if "number 9 " in text else ""

    with serve(faults=fault) as server, pytest.raises(RuntimeError, match="401"):
        run(teacher="openai", model="tiny-chat", endpoints=server.url, concurrency=2, push_every=4)
    assert 4 <= len(replies(run.repo_id)) < 2 * REVIEWS
    assert "The run has stopped; the same command goes on" in card(run.repo_id)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_documented_command_is_heard_and_says_how_to_go_on(tmp_path, number):
    (tmp_path / "mine.csv").write_text("\n".join(["text", *(f"Soup {number} was good." for number in range(40))]))
    flags = {"namespace": "me", "data": tmp_path, "runs": tmp_path / "runs", "replies": "replies-x", "domain": "food"}
    flags |= {"teacher": "openai", "model": "tiny-chat", "concurrency": 4, "near_duplicates": 0}
    with serve(latency=0.4) as server:
        flags["endpoints"] = server.url
        recipe = [sys.executable, ROOT / "recipes" / "label_reviews.py", *(f"--{key}={flags[key]}" for key in flags)]
        command = [sys.executable, "-m", "hub_tools.hub.embedded", "run", "--root", tmp_path / "hub", "--"]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        process = subprocess.Popen(
            [*map(str, command), *map(str, recipe), "--files", "mine.csv"],
            cwd=ROOT,
            env=environment | {"PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
        )
        end = time.monotonic() + 120
        while server.answered.total() < 4 and time.monotonic() < end:
            time.sleep(0.02)
        process.send_signal(number)  # the outermost process passes it on; a terminal would tell all of them
        said = process.communicate(timeout=120)[1]
        with Journal(tmp_path / "runs" / "replies-x.sqlite") as journal:
            assert 4 <= len(journal) == server.asked.total() < 80
    assert process.returncode == 130, said
    assert "stopping: no further request is begun" in said
    assert "label_reviews: stopped. The same command goes on from what is finished." in said


def test_the_corpus_of_shards_is_the_corpus_of_the_whole_to_the_byte(run, monkeypatch):
    benchmark = {"id": ["1"], "sentence": ["This sentence stands in none of the reviews at all."]}
    whole = run(replies="replies-whole")
    namespace = whole.partition("/")[0]
    for split in ("validation", "test"):
        Dataset.from_dict(benchmark).push_to_hub(f"{namespace}/fsa-benchmark", "tsa-rest14", split=split)
    for index in (1, 0):
        run(shard=f"{index}/2")
    parts = [load_dataset(f"{namespace}/replies-x-{index}-of-2", "reviews", split="train") for index in range(2)]
    assert [len(part) for part in parts] == [REVIEWS // 2, REVIEWS // 2]

    digests = []
    for replies_name in ("replies-whole", "replies-x-*-of-2"):
        flags = ["--namespace", namespace, "--replies", replies_name]
        monkeypatch.setattr(sys, "argv", ["build_corpus.py", *flags])
        load_recipe("build_corpus").main()
        info = HfApi().dataset_info(f"{namespace}/sentiment-understanding-corpus", files_metadata=True)
        digests.append({file.rfilename: file.lfs.sha256 for file in info.siblings if ".parquet" in file.rfilename})
    assert digests[0] == digests[1]
    assert len(digests[0]) >= 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher": "gpt"}, r"teacher 'gpt' is unknown; allowed: lexicon, transformers, vllm, openai"),
        ({"teacher": "transformers"}, r"needs `model`"),
        ({"prompts": "summary"}, r"unknown prompt summary; allowed: analysis, rewriting"),
        ({"shard": "2/2"}, r"shard '2/2': expected i/n"),
        ({"push_every": -1}, r"`push_every` is -1"),
        ({"data": "/nowhere"}, r"/nowhere/mine.csv"),
        ({"text_column": "words"}, r"words"),
        ({"max_cost": 1, "teacher": "openai", "model": "m", "endpoints": "http://127.0.0.1:9/v1"}, r"price of m"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_spent(run, changes, message):
    with pytest.raises(ValueError, match=message):
        run(**changes)


def test_recorded_replies_are_pushed_as_if_they_had_just_come(tmp_path, monkeypatch, capsys):
    row = {
        "ID": 7,
        "Text": "Superb soup, slow service.",
        "Overall": 4.0,
        "mixtral_response": "I loved the superb soup.",
    }
    (tmp_path / "recorded.json").write_text(json.dumps(row) + "\n", encoding="utf-8")
    namespace = f"ns-{uuid.uuid4().hex[:8]}"
    flags = {
        "teacher": "recorded",
        "namespace": namespace,
        "replies": "replies-old",
        "data": tmp_path,
        "runs": tmp_path,
    }
    argv = ["label_reviews.py", *(f"--{key}={value}" for key, value in flags.items()), "--files", "recorded.json"]
    monkeypatch.setattr(sys, "argv", argv)
    load_recipe("label_reviews").main()
    (reply,) = replies(f"{namespace}/replies-old")
    assert (reply["teacher"], reply["prompt"], reply["reply"]) == (
        "mixtral-8x7b",
        "rewriting",
        row["mixtral_response"],
    )
    load_recipe("label_reviews").main()
    assert "holds the replies of this very run; reused." in capsys.readouterr().out
