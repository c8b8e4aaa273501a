"""Fifty SIGKILLs at random moments, each followed by a resume: nothing acknowledged is lost, nothing is paid twice."""

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from datasets import Dataset
from huggingface_hub import HfApi

from hub_tools.labelling.card import RepliesCard
from hub_tools.labelling.requests import Recorded
from hub_tools.labelling.upload import RepliesRepo
from hub_tools.reviews.sampling import write_rows
from hub_tools.teachers.journal import Journal
from tests.labelling.killed_run import CONCURRENCY, REVIEWS
from tests.recipes.recipe_files import load_recipe


KILLS = 50


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """The journal's folder and what was seen."""
    folder = tmp_path_factory.mktemp("killed")
    script = Path(__file__).with_name("killed_run.py")
    environment = os.environ | {"PYTHONPATH": str(script.parents[2]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script), str(folder), str(KILLS), "20261121"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, env=environment)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def test_no_acknowledged_reply_is_lost_and_none_is_there_twice(killed):
    _, seen = killed
    assert seen["kills"] == KILLS
    assert [life["lost"] for life in seen["lives"]] == [0] * (KILLS + 1)
    assert [life["repeated"] for life in seen["lives"]] == [0] * (KILLS + 1)
    recorded = [life["recorded"] for life in seen["lives"]]
    assert recorded == sorted(recorded)
    assert (recorded[-1], seen["prompts"]) == (seen["wanted"], seen["wanted"])


def test_no_more_is_asked_again_than_was_in_flight(killed):
    _, seen = killed
    assert max(life["again"] for life in seen["lives"]) <= CONCURRENCY
    assert seen["asked"] <= seen["wanted"] + KILLS * CONCURRENCY
    assert seen["asked"] > seen["wanted"]  # else no kill has hit a request in flight


def test_the_last_life_ends_by_itself(killed):
    _, seen = killed
    assert seen["lives"][-1]["status"] == 0


def test_the_corpus_is_that_of_an_undisturbed_run_to_the_byte(killed, tmp_path, monkeypatch):
    folder, _ = killed
    reviews = tmp_path / "reviews.parquet"
    write_rows(REVIEWS, reviews)
    namespace = f"ns-{uuid.uuid4().hex[:8]}"
    sentence = Dataset.from_dict({"id": ["1"], "sentence": ["This sentence stands in none of the reviews at all."]})
    sentence.push_to_hub(f"{namespace}/fsa-benchmark", "tsa-rest14", split="test")
    corpora = []
    for name in ("killed", "undisturbed"):
        with Journal(folder / f"{name}.sqlite") as journal:
            rows = [row for _, row in journal.rows()]
            card = RepliesCard(f"{namespace}/replies-{name}", [], reviews, len(rows))
            with RepliesRepo(card.repo_id, journal, reviews, "a1", card) as repo:
                repo.finish(Recorded(rows), None)
        monkeypatch.setattr(sys, "argv", ["build_corpus.py", "--namespace", namespace, "--replies", f"replies-{name}"])
        load_recipe("build_corpus").main()
        info = HfApi().dataset_info(f"{namespace}/sentiment-understanding-corpus", files_metadata=True)
        corpora.append({file.rfilename: file.lfs.sha256 for file in info.siblings if ".parquet" in file.rfilename})
    assert corpora[0] == corpora[1]
    assert len(corpora[0]) >= 2
