"""The committed copies equal their originals, and the check says what does not."""

import re
import stat

import pytest

from hub_tools.hub import copies
from hub_tools.hub.copies import COPIES, ROOT, Copy, CopyError, differences, main, render, write


LISTED = (
    Copy("hub_tools/opinions.py", "metrics/m/opinions.py"),
    Copy("hub_tools/evaluation/scoring.py", "metrics/m/scoring.py"),
    Copy("hub_tools/opinions.py", "spaces/s/opinions.py"),
    Copy("hub_tools/evaluation/scoring.py", "spaces/s/scoring.py"),
)


@pytest.fixture
def project(tmp_path):
    (tmp_path / "hub_tools" / "evaluation").mkdir(parents=True)
    (tmp_path / "hub_tools" / "opinions.py").write_text('"""Opinions."""\n')
    (tmp_path / "hub_tools" / "evaluation" / "scoring.py").write_text(
        "import math\n\nfrom hub_tools.opinions import (\n    parse,\n)\n"
    )
    return tmp_path


@pytest.mark.parametrize("copy", COPIES, ids=lambda copy: copy.destination)
def test_each_committed_copy_equals_its_original(copy):
    assert (ROOT / copy.destination).read_text(encoding="utf-8") == render(copy), "run `make copies`"


def test_no_other_file_says_it_is_a_copy():
    assert differences() == []


def test_copies_import_their_siblings_and_nothing_of_this_project(project):
    assert write(project, LISTED) == [copy.destination for copy in LISTED]
    metric, space = ((project / folder / "scoring.py").read_text() for folder in ("metrics/m", "spaces/s"))
    assert metric.splitlines() == [
        "# Copy of hub_tools/evaluation/scoring.py, made by `make copies`; edit the original",
        "import math",
        "",
        "from .opinions import (",
        "    parse,",
        ")",
    ]
    assert "\nfrom opinions import (\n" in space
    assert not re.search(r"^\s*(from|import) hub_tools", metric + space, re.MULTILINE)


def test_writing_again_changes_nothing(project):
    write(project, LISTED)
    assert write(project, LISTED) == []
    assert differences(project, LISTED) == []
    assert stat.S_IMODE((project / "metrics/m/scoring.py").stat().st_mode) == 0o644
    assert {path.name for path in (project / "metrics/m").iterdir()} == {"opinions.py", "scoring.py"}


def test_the_check_names_what_is_missing_different_or_stray(project):
    write(project, LISTED)
    (project / "metrics/m/opinions.py").unlink()
    (project / "hub_tools/evaluation/scoring.py").write_text("import math\n")
    (project / "metrics/m/old.py").write_text("# Copy of hub_tools/old.py, made by `make copies`; edit the original\n")
    assert differences(project, LISTED) == [
        "metrics/m/opinions.py: missing, wanted from hub_tools/opinions.py",
        "metrics/m/scoring.py: differs from hub_tools/evaluation/scoring.py",
        "spaces/s/scoring.py: differs from hub_tools/evaluation/scoring.py",
        "metrics/m/old.py: says it is a copy but is not in COPIES",
    ]


@pytest.mark.parametrize(
    "line",
    ["from hub_tools.students.models import load", "import hub_tools.opinions", "    from hub_tools import opinions"],
)
def test_an_import_that_no_copy_serves_is_refused_before_anything_is_written(project, line):
    (project / "hub_tools/evaluation/scoring.py").write_text(f"{line}\n")
    with pytest.raises(CopyError, match=f"scoring.py: '{line.strip()}' cannot be turned to a copy in metrics"):
        write(project, LISTED)
    assert not (project / "metrics").exists()


def test_a_missing_original_is_named(project):
    (project / "hub_tools/opinions.py").unlink()
    with pytest.raises(CopyError, match=r"hub_tools/opinions\.py: no such file, wanted for metrics/m/opinions\.py"):
        write(project, LISTED)


def test_the_command_exits_1_only_when_something_differs(project, monkeypatch, capsys):
    for function in (copies.write, copies.differences):
        monkeypatch.setattr(function, "__defaults__", (project, LISTED))
    assert main(["--check"]) == 1
    assert "metrics/m/opinions.py: missing" in capsys.readouterr().err
    assert main([]) == 0
    assert capsys.readouterr().out.splitlines() == [f"wrote {copy.destination}" for copy in LISTED]
    assert main(["--check"]) == 0
