"""Imports run one way, uploads stand alone, and one module writes to a Hub: read off the source, nothing is run."""

import ast
from pathlib import Path

import pytest


ROOT = Path(__file__).resolve().parents[1]
ROOMS = {
    "opinions",
    "prompts",
    "benchmarks",
    "corpus",
    "students",
    "evaluation",
    "teachers",
    "hub",
    "reviews",
    "labelling",
    "commands",
}

# What each room may import besides itself: opinions ← prompts, benchmarks ← corpus, students, evaluation ← recipes.
# `teachers`, `hub` and `reviews` know no other room; `labelling` is where they meet the prompts. Students are chosen
# by their score on validation, hence the one arrow inside the last row; `arguments` and `cli` are the door: the first
# knows nothing, the second everything.
FOUNDATIONS = {"opinions", "prompts", "benchmarks"}
MAY_IMPORT = {
    "opinions": set(),
    "prompts": {"opinions"},
    "benchmarks": {"opinions"},
    "corpus": FOUNDATIONS,
    "evaluation": FOUNDATIONS,
    "students": FOUNDATIONS | {"evaluation"},
    "teachers": set(),
    "hub": set(),
    "reviews": set(),
    "labelling": {"prompts", "reviews", "teachers", "hub"},
    "distilling": {"corpus", "reviews", "students", "hub", "arguments"},  # what joins these to pretrain a student
    "arguments": set(),
    "commands": ROOMS | {"arguments"},
    "cli": {"commands", "hub"},
    "__init__": set(),
}

HUB_WRITING = {
    "push_to_hub",
    "push_to_hub_merged",
    "upload_file",
    "upload_folder",
    "upload_large_folder",
    "create_commit",
    "create_repo",
    "create_branch",
    "create_tag",
    "permanently_delete_lfs_files",
    "create_discussion",
    "create_pull_request",
    "delete_repo",
    "delete_file",
    "delete_files",
    "delete_folder",
    "delete_branch",
    "delete_tag",
    "duplicate_repo",
    "move_repo",
    "super_squash_history",
    "update_repo_settings",
    "metadata_update",
}
# The embedded Hub serves these calls: its handlers bear their names.
# What writes to a Hub: push.py, and for the revision that a training run's checkpoints have, checkpoints.py. That
# revision holds no result, and is squashed and deleted, which nothing else ever is.
MAY_WRITE = {"hub_tools/hub/push.py", "hub_tools/hub/checkpoints.py"}
SERVER = "hub_tools/hub/embedded/"


def files(*folders):
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path.relative_to(ROOT).as_posix() for path in found if "__pycache__" not in path.parts]


def imports(tree, name):
    """The dotted modules a file imports, relative ones written out; imports inside functions count too."""
    package = name.removesuffix(".py").split("/")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def imported(name):
    return set(imports(ast.parse((ROOT / name).read_text(encoding="utf-8"), name), name))


def room_of(module):
    parts = module.split(".")
    return parts[1] if parts[0] == "hub_tools" and len(parts) > 1 else None


def calls(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            yield function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


@pytest.mark.parametrize("name", files("hub_tools"))
def test_a_room_imports_only_the_rooms_before_it(name):
    room = Path(name).parts[1].removesuffix(".py")
    assert room in MAY_IMPORT, f"{name}: a new room; say here what it may import"
    rooms = {room_of(module) for module in imported(name)} & set(MAY_IMPORT) - {room}
    assert rooms <= MAY_IMPORT[room], f"{name} imports {sorted(rooms - MAY_IMPORT[room])}"


@pytest.mark.parametrize("name", files("hub_tools"))
def test_what_recipes_share_imports_no_recipe_metric_or_space(name):
    assert not {module.split(".")[0] for module in imported(name)} & {"recipes", "metrics", "spaces", "tests"}


@pytest.mark.parametrize("name", files("recipes"))
def test_a_recipe_imports_no_other_recipe(name):
    recipes = {Path(other).stem for other in files("recipes")}
    assert not {module.split(".")[0] for module in imported(name)} & (recipes | {"recipes", "metrics", "spaces"})


@pytest.mark.parametrize("name", files("recipes"))
def test_no_recipe_is_named_after_a_library(name):
    # The folder of a script comes first on the path: `import evaluate` would find the recipe.
    assert Path(name).stem not in {
        "accelerate",
        "datasets",
        "evaluate",
        "gradio",
        "peft",
        "torch",
        "transformers",
        "trl",
    }


@pytest.mark.parametrize("name", files("metrics", "spaces"))
def test_what_is_uploaded_needs_nothing_of_this_project_but_its_siblings(name):
    assert not {module.split(".")[0] for module in imported(name)} & {"hub_tools", "recipes", "tests"}
    for module in imported(name):
        if module.startswith(("metrics.", "spaces.")):  # a relative import, written out
            assert module.split(".")[:2] == list(Path(name).parts[:2]), f"{name} imports {module}"


@pytest.mark.parametrize("name", sorted(set(files("hub_tools", "recipes", "metrics", "spaces")) - MAY_WRITE))
def test_only_one_module_writes_to_a_hub(name):
    if not name.startswith(SERVER):
        found = set(calls(ast.parse((ROOT / name).read_text(encoding="utf-8"), name))) & HUB_WRITING
        assert not found, f"{name} calls {sorted(found)}; go through hub_tools.hub.push"


def test_the_scanner_sees_every_way_to_import_and_to_call():
    tree = ast.parse(
        "from hub_tools import corpus\nimport hub_tools.students.models as m\nfrom ..prompts import analysis\n"
        "def later():\n    from hub_tools.hub.push import push\n    api.upload_file()\n    create_repo('x')\n"
    )
    rooms = {room_of(module) for module in imports(tree, "hub_tools/reviews/sample.py")}
    assert rooms == {None, "corpus", "students", "prompts", "hub"}
    assert set(calls(tree)) == {"upload_file", "create_repo"}


def test_every_test_file_has_a_name_of_its_own():
    """pytest imports them by it: two of one name, in whatever folders, and one of them is not collected."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted({name for name in names if names.count(name) > 1}) == []
