"""README is a promise: what it names is there, and what is there it names."""

import re
import subprocess
from pathlib import Path

import pytest


ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def tracked_modules() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    rooms = ("recipes/", "hub_tools/", "metrics/", "spaces/")
    return [name for name in listed.stdout.split() if name.startswith(rooms) and not name.endswith("__init__.py")]


def test_the_file_map_has_a_line_for_each_module_and_no_other():
    mapped = set(re.findall(r"^\| `([\w/]+\.py)` \|", README, flags=re.MULTILINE))
    assert mapped == set(tracked_modules())


def test_every_make_target_that_is_named_exists():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    targets |= {path.stem for path in (ROOT / "recipes").glob("*.py")}
    texts = README + (ROOT / "recipes" / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?:^|`)make ([a-z][\w-]*)", texts, flags=re.MULTILINE))
    assert named
    assert named <= targets


def test_every_picture_and_link_within_the_project_exists():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    assert all((ROOT / link).exists() for link in links), links


def test_no_number_is_left_to_be_filled_in():
    texts = README + (ROOT / "recipes" / "README.md").read_text(encoding="utf-8")
    assert not re.findall(r"\b(?:DEMO|REAL|FILE)_[A-Z]+\b", texts)
