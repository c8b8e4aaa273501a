"""The recipes, which are files to run and no package: found, and loaded as modules without running them."""

import importlib.util
import sys
from dataclasses import is_dataclass
from functools import cache
from pathlib import Path
from types import ModuleType


ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted(path.stem for path in (ROOT / "recipes").glob("*.py"))
SETS = ("demo", "real", "paper")
CONFIGS = sorted(path for name in SETS for path in (ROOT / "recipes" / "configs" / name).glob("*.yaml"))
# Of a set too, but not of `make demo RECIPE=<set>`: what takes days, or replies that the set does not label itself
SWEEPS = sorted((ROOT / "recipes" / "configs").glob("*/sweeps/*.yaml"))


@cache
def load_recipe(name: str) -> ModuleType:
    """The recipe as a module; `main` is not run."""
    spec = importlib.util.spec_from_file_location(f"recipe_{name}", ROOT / "recipes" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up by name
    spec.loader.exec_module(module)
    return module


def recipe_of(config: Path) -> str:
    """`label_reviews_mixtral.yaml` is for `label_reviews.py`."""
    return max((name for name in RECIPES if config.stem.startswith(name)), key=len)


def arguments_type(name: str) -> type:
    """The dataclass of a recipe's arguments, which has the recipe's name: `build_corpus.py` → `BuildCorpus`."""
    found = getattr(load_recipe(name), name.title().replace("_", ""))
    assert is_dataclass(found)
    return found
