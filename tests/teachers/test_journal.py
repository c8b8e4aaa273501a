"""The journal gives back what it was given: replies once, failures until a reply comes, sums, sessions and notes."""

import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from hub_tools.teachers import journal as journal_module
from hub_tools.teachers.journal import COLUMNS, Journal
from hub_tools.teachers.request import Failure, Request


def _row(number: int, **fields: Any) -> dict:
    row: dict = {name: f"{name} {number}" for name in COLUMNS} | {"prompt_tokens": number, "completion_tokens": 1}
    return {**row, "request_id": f"q{number}", **fields}


def _failure(number: int, reason: str = "timed out", final: bool = False) -> Failure:
    return Failure(Request(f"q{number}", f"review {number}", "Good soup.", "analysis", []), reason, final)


def _reasons(journal: Journal) -> dict[str, str]:
    return {failure["request_id"]: failure["reason"] for failure in journal.failures()}


@pytest.fixture
def journal(tmp_path: Path):
    with Journal(tmp_path / "j.db") as journal:
        yield journal


def test_rows_come_back_whole_and_in_order(tmp_path: Path):
    path = tmp_path / "new" / "replies.db"
    with Journal(path) as journal:
        assert journal.record([_row(2), _row(1)]) == 2
        assert journal.record([_row(3), _row(1, reply="later"), _row(3, reply="again")]) == 1
    with Journal(path) as journal:
        assert journal.path == path
        assert list(journal.rows()) == [(1, _row(2)), (2, _row(1)), (3, _row(3))]
        assert list(journal.rows(after=2)) == [(3, _row(3))]
        assert list(journal.rows(after=3)) == []
        assert journal.last_position() == len(journal) == len(journal.known()) == 3
        assert journal.known().contains(["q1", "q2", "q3", "q4"]) == [True, True, True, False]


def test_what_is_recorded_is_known_at_once(journal: Journal):
    known = journal.known()
    journal.record([_row(1)])
    assert "q1" in known
    assert "q2" not in known


def test_replies_are_read_a_few_at_a_time_and_as_of_the_call(journal: Journal, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(journal_module, "_SOME", 3)
    journal.record([_row(n) for n in range(1, 9)])
    rows = journal.rows()
    assert next(rows) == (1, _row(1))
    journal.record([_row(9)])  # a reader does not keep the writer waiting
    assert [position for position, _ in rows] == list(range(2, 9))
    journal.record([], [_failure(n) for n in range(20, 28)])
    assert [failure["request_id"] for failure in journal.failures()] == [f"q{n}" for n in range(20, 28)]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"finish_reason": None}, "'q2' lacks finish_reason"),
        ({"prompt_tokens": "7"}, "'q2': prompt_tokens is str, not int"),
        ({"reply": ["good"]}, "'q2': reply is list, not str"),
    ],
)
def test_a_row_that_breaks_the_contract_writes_nothing_of_its_call(journal: Journal, fields: dict, said: str):
    with pytest.raises(ValueError, match=said):
        journal.record([_row(1), _row(2, **fields)])
    with pytest.raises(ValueError, match="'q2' lacks"):
        journal.record([{"request_id": "q2"}])
    assert len(journal) == 0
    assert journal.record([_row(1)]) == 1


def test_text_that_no_encoding_can_hold_is_stored_replaced(journal: Journal):
    journal.record(
        [_row(1, reply="good \ud83d", sampling="\udc00"), _row(2, reply="crème brûlée")], [_failure(3, "\ud83d")]
    )
    assert [row["reply"] for _, row in journal.rows()] == ["good ?", "crème brûlée"]
    assert _reasons(journal) == {"q3": "?"}


def test_a_failure_stays_until_a_reply_or_a_later_failure_comes(journal: Journal):
    assert journal.record([_row(1)], [_failure(2), _failure(3, "too long", final=True), _failure(4)]) == 1
    journal.record([], [_failure(2, "refused")])
    assert list(journal.failures()) == [
        {"request_id": "q3", "review_id": "review 3", "prompt": "analysis", "reason": "too long", "final": True},
        {"request_id": "q4", "review_id": "review 4", "prompt": "analysis", "reason": "timed out", "final": False},
        {"request_id": "q2", "review_id": "review 2", "prompt": "analysis", "reason": "refused", "final": False},
    ]
    assert journal.final_failures().contains(["q2", "q3"]) == [False, True]
    journal.record([_row(2), _row(3)])
    assert _reasons(journal) == {"q4": "timed out"}
    assert len(journal.final_failures()) == 0


def test_a_reply_outweighs_a_failure_of_the_same_request(journal: Journal):
    journal.record([_row(1)], [_failure(1)])
    journal.record([], [_failure(1)])
    assert _reasons(journal) == {}


def test_groups_and_totals_sum_what_was_kept(journal: Journal):
    llama = {"teacher": "llama", "teacher_revision": "a1", "sampling": "{}", "prompt": "analysis"}
    other = llama | {"sampling": '{"seed": 1}'}
    journal.record([_row(5, **llama), _row(6, **other)])
    journal.record([_row(7, **llama), _row(5, **llama)])
    assert journal.groups() == [
        {**llama, "rows": 2, "prompt_tokens": 12, "completion_tokens": 2},
        {**other, "rows": 1, "prompt_tokens": 6, "completion_tokens": 1},
    ]
    totals = journal.totals()
    assert totals.pop("seconds") >= 0
    assert totals == {"rows": 3, "prompt_tokens": 18, "completion_tokens": 3}


def test_sessions_count_their_seconds_and_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with Journal(tmp_path / "j.db") as journal:
        assert journal.totals() == {"rows": 0, "prompt_tokens": 0, "completion_tokens": 0, "seconds": 0.0}
        journal.begin_session()
        for number in (1, 2):
            clock[0] += 2.5
            journal.record([_row(number)])
        clock[0] += 50  # nothing is asked between two sessions
        journal.begin_session()
        clock[0] += 1
        journal.record([_row(1)], [_failure(3)])
        journal.record([])
    with Journal(tmp_path / "j.db") as journal:
        journal.record([_row(4)])
        sessions = journal.sessions()
        assert [session["seconds"] for session in sessions] == [5.0, 1.0, 0.0]
        assert [session["rows"] for session in sessions] == [2, 0, 1]
        assert [session["prompt_tokens"] for session in sessions] == [3, 0, 4]
        assert all(session["started"].endswith("+00:00") for session in sessions)
        assert journal.totals() == {"rows": 3, "prompt_tokens": 7, "completion_tokens": 3, "seconds": 6.0}


def test_notes_are_kept_and_replaced(tmp_path: Path):
    with Journal(tmp_path / "j.db") as journal:
        assert journal.noted("plan") is None
        journal.note("plan", "10 €")
        journal.note("plan", "12 €")
    with Journal(tmp_path / "j.db") as journal:
        assert journal.noted("plan") == "12 €"


def test_an_interrupt_at_any_step_of_a_commit_leaves_a_journal_that_goes_on(tmp_path: Path):
    class Interrupting(sqlite3.Connection):
        after = ""

        def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
            cursor = super().execute(statement, *values)
            if self.after and statement.startswith(self.after):
                self.after = ""
                raise KeyboardInterrupt
            return cursor

    with Journal(tmp_path / "j.db") as journal:
        journal._database.close()
        database = sqlite3.connect(journal.path, isolation_level=None, factory=Interrupting)
        journal._database = database
        for number, after in enumerate(
            ("INSERT INTO groups", "INSERT INTO commits", "INSERT INTO sessions", "COMMIT")
        ):
            database.after = after
            with pytest.raises(KeyboardInterrupt):
                journal.record([_row(number)])
            committed = after == "COMMIT"
            assert (f"q{number}" in journal.known()) == committed
            assert journal.record([_row(number)]) == (0 if committed else 1)
        (session,) = journal.sessions()
        assert session["rows"] == journal.totals()["rows"] == 4
    with Journal(tmp_path / "j.db") as journal:
        assert [row["request_id"] for _, row in journal.rows()] == ["q0", "q1", "q2", "q3"]


def test_closing_twice_is_closing_once(tmp_path: Path):
    with Journal(tmp_path / "j.db") as journal:
        journal.close()
    Journal(tmp_path / "j.db").close()
