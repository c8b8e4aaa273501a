"""The repo of replies on a real (embedded) Hub: filled while a run goes on, and read back by another machine's."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
from datasets import load_dataset
from huggingface_hub import HfApi

from hub_tools.hub.errors import PushError
from hub_tools.hub.runs import find_finished_run, start_run
from hub_tools.labelling import upload
from hub_tools.labelling.requests import Wanted
from hub_tools.labelling.upload import RepliesRepo
from hub_tools.prompts import BUILDERS
from hub_tools.teachers.journal import Journal
from hub_tools.teachers.lexicon import LexiconTeacher
from hub_tools.teachers.request import Failure


TEACHER = LexiconTeacher()
REVIEWS = [{"review_id": f"r{number}", "text": f"The soup number {number} was superb."} for number in range(6)]
CARD = "---\nlanguage: en\n---\n"


class Machine:
    """One machine's journal, sample of reviews, and way to the Hub."""

    def __init__(self, folder: Path, repo_id: str, *, labelling: str = "a1", every: int = 0, reviews=REVIEWS):
        folder.mkdir(exist_ok=True)
        self.reviews = folder / "reviews.parquet"
        parquet.write_table(arrow.Table.from_pylist(reviews), self.reviews)
        self.journal = Journal(folder / "journal.sqlite")
        self.wanted = Wanted(lambda: iter(reviews), BUILDERS, TEACHER, self.journal)
        self.cards: list[tuple[int, bool]] = []
        self.repo = RepliesRepo(repo_id, self.journal, self.reviews, labelling, self.card, every=every)

    def card(self, rows: int, ended: bool) -> str:
        self.cards.append((rows, ended))
        return CARD

    def label(self, requests) -> None:
        rows = TEACHER.reply(list(requests))
        self.repo.after(self.journal.record(rows), self.wanted)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.repo.close()
        self.journal.close()


def names(repo_id: str) -> list[str]:
    return sorted(name for name in HfApi().list_repo_files(repo_id, repo_type="dataset") if "parquet" in name)


def replies(repo_id: str) -> Iterator[dict]:
    return load_dataset(repo_id, "replies", split="train").to_list()


def test_replies_are_on_the_hub_while_the_run_goes_on_and_whole_at_its_end(tmp_path, repo_id):
    with Machine(tmp_path, repo_id, every=4) as machine:
        requests = list(machine.wanted.unanswered())
        machine.label(requests[:4])
        machine.repo._push[0].result()
        assert names(repo_id) == ["replies/a1-00000.parquet", "reviews/train.parquet"]
        assert len(replies(repo_id)) == 4
        for start in range(4, 12, 2):
            machine.label(requests[start : start + 2])
        run = start_run("label_reviews", {}, {})
        machine.repo.finish(machine.wanted, run.finish())
    assert machine.cards[0] == (4, False)
    assert machine.cards[-1] == (12, True)
    assert sorted(row["request_id"] for row in replies(repo_id)) == sorted(row.request_id for row in requests)
    assert load_dataset(repo_id, "reviews", split="train").to_list() == REVIEWS
    assert find_finished_run(repo_id, "dataset", run.digest)
    assert HfApi().dataset_info(repo_id).private


def test_another_machine_goes_on_from_what_was_pushed(tmp_path, repo_id):
    with Machine(tmp_path / "first", repo_id, every=4) as first:
        first.label(list(first.wanted.unanswered())[:5])
        first.repo.finish(first.wanted, None)
    with Machine(tmp_path / "second", repo_id, every=4) as second:
        assert second.repo.fetch(second.wanted) == 5
        assert second.repo.fetch(second.wanted) == 0
        wanted = Wanted(lambda: iter(REVIEWS), BUILDERS, TEACHER, second.journal)
        assert wanted.left == 7
        second.label(wanted.unanswered())
        second.repo.finish(second.wanted, None)
    assert names(repo_id)[-1] == "reviews/train.parquet"
    assert len({row["request_id"] for row in replies(repo_id)}) == len(replies(repo_id)) == 12


def test_a_first_run_finds_nothing_to_go_on_from(tmp_path, repo_id):
    with Machine(tmp_path, repo_id) as machine:
        assert machine.repo.fetch(machine.wanted) == 0


def test_a_repo_of_something_else_is_not_taken_for_replies(tmp_path, repo_id):
    path = tmp_path / "x.parquet"
    parquet.write_table(arrow.table({"text": ["a"]}), path)
    HfApi().create_repo(repo_id, repo_type="dataset")
    HfApi().upload_file(repo_id=repo_id, repo_type="dataset", path_in_repo="replies/x.parquet", path_or_fileobj=path)
    with Machine(tmp_path / "m", repo_id) as machine, pytest.raises(PushError, match="lacks completion_tokens"):
        machine.repo.fetch(machine.wanted)


def test_shards_of_another_prompt_go_with_the_last_push(tmp_path, repo_id):
    with Machine(tmp_path, repo_id, labelling="old") as machine:
        machine.label(machine.wanted.unanswered())
        machine.repo.finish(machine.wanted, None)
    with Machine(tmp_path, repo_id, labelling="new", reviews=REVIEWS[:2]) as machine:
        machine.repo.finish(machine.wanted, None)
    assert names(repo_id) == ["replies/new-00000.parquet", "reviews/train.parquet"]
    assert {row["review_id"] for row in replies(repo_id)} == {"r0", "r1"}


def test_failures_are_kept_with_their_reasons(tmp_path, repo_id):
    with Machine(tmp_path, repo_id) as machine:
        first, *rest = machine.wanted.unanswered()
        machine.journal.record([], [Failure(first, "HTTP 400: too long", final=True)])
        machine.label(rest)
        machine.repo.finish(machine.wanted, None)
    path = HfApi().hf_hub_download(repo_id, "failures/train.parquet", repo_type="dataset")
    (row,) = parquet.read_table(path).to_pylist()
    assert (row["request_id"], row["reason"]) == (first.request_id, "HTTP 400: too long")


def test_a_hub_that_is_down_delays_a_push_and_stops_nothing(tmp_path, repo_id, monkeypatch, caplog):
    real = upload.push_parts

    def down(*arguments, **options):
        raise PushError("could not push: the Hub cannot be reached")

    with Machine(tmp_path, repo_id, every=2) as machine:
        requests = list(machine.wanted.unanswered())
        monkeypatch.setattr(upload, "push_parts", down)
        machine.label(requests[:2])
        machine.repo._push[0].exception()
        monkeypatch.setattr(upload, "push_parts", real)
        machine.label(requests[2:4])
        machine.label(requests[4:6])
        machine.repo.finish(machine.wanted, None)
    assert "cannot be reached. The next push brings these replies too" in caplog.text
    assert len(replies(repo_id)) == 6


def test_many_replies_make_several_shards(tmp_path, repo_id, monkeypatch):
    monkeypatch.setattr(upload, "SHARD_ROWS", 4)
    monkeypatch.setattr(upload, "WINDOW", 2)
    with Machine(tmp_path, repo_id) as machine:
        machine.label(machine.wanted.unanswered())
        machine.repo.finish(machine.wanted, None)
    assert names(repo_id)[:3] == [f"replies/a1-0000{number}.parquet" for number in range(3)]
    assert len(replies(repo_id)) == 12


def test_a_run_without_a_single_reply_has_nothing_to_push(tmp_path, repo_id):
    with Machine(tmp_path, repo_id) as machine, pytest.raises(PushError, match="no request has a reply"):
        machine.repo.finish(machine.wanted, None)
