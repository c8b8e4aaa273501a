"""What a run knows of the machines it runs on; what is pushed and found again of it is tested in test_push.py."""

import doctest

import pytest

from hub_tools.hub import runs
from hub_tools.hub.runs import start_run


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
