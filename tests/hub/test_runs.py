"""What a run knows of the machines it runs on; what is pushed and found again of it is tested in test_push.py."""

import doctest
from functools import partial

import pytest

from hub_tools.hub import runs
from hub_tools.hub.runs import find_finished_run, resolve_input, start_run


def test_the_docstrings_tell_the_truth():
    assert doctest.testmod(runs).failed == 0


@pytest.mark.parametrize(
    ("everywhere", "here", "machines"),
    [("16", "8", 2), ("8", "8", None), ("12", "8", 2), (None, None, None), ("2", None, None), ("x", "0", None)],
)
def test_machines_are_counted_where_the_launcher_says_how_many_processes_there_are(
    everywhere, here, machines, monkeypatch
):
    for name, value in (("WORLD_SIZE", everywhere), ("LOCAL_WORLD_SIZE", here)):
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name, raising=False)
    assert start_run("pretrain", {}, {}).hardware.get("machines") == machines


@pytest.mark.parametrize("given", ["/home/me/t5", "./my_t5/x", "me/x y", "a/b/c", "me/x--y", ""])
def test_what_can_be_no_repo_is_told_as_a_users_mistake_before_a_hub_is_asked(given, monkeypatch):
    monkeypatch.setattr(runs.HfApi, "repo_info", lambda *_, **__: pytest.fail("asked"))
    for ask in (resolve_input, partial(find_finished_run, digest="d")):
        with pytest.raises(ValueError, match=rf"^'{given}' cannot be the id of a model on a Hub") as caught:
            ask(given, "model")
        assert type(caught.value) is ValueError  # which `run_stage` tells in a line; the client's own stays a trace
    with pytest.raises(ValueError, match="Folders of this machine are not read: push yours to a Hub"):
        resolve_input(given, "model")
