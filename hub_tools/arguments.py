"""
YAML and command line → one flat dataclass of values.

Every recipe is run as `accelerate launch recipes/<stage>.py recipes/configs/<set>/<stage>.yaml [--key value …]`:
the YAML sets values, the command line wins, and a key that the recipe does not know stops it before any work.
"""

import argparse
import dataclasses
import difflib
import os
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import NoReturn, TypeVar
from urllib.parse import urlparse

import httpx2
import torch
import yaml
from accelerate import PartialState
from transformers import HfArgumentParser


Arguments = TypeVar("Arguments")

REAL_HUB = "https://huggingface.co"
# What a stage reports of its data, its machine or a Hub. Anything else is a bug, which shows as a trace.
REPORTED = (ValueError, RuntimeError, OSError, FloatingPointError, httpx2.HTTPError)
LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class ConfigurationError(ValueError):
    """A recipe's YAML or command line asks for something that does not exist; the message says what does."""


def parse_arguments(arguments_type: type[Arguments], argv: list[str] | None = None) -> Arguments:
    """
    Reads `config.yaml [--key value …]` into the dataclass `arguments_type`, makes sure that the Hub clients of this
    process talk to the Hub that the arguments name (see `use_hub`), and that accelerate knows of the other processes
    of the run (see `join_processes`).

    Leaves with exit code 2 and one line on bad input, as argparse does: a stage's user wants the line, not a trace.
    """
    (arguments,) = _parse(lambda argv: [read_arguments(arguments_type, argv)], argv)
    return arguments


def parse_sweep(arguments_type: type[Arguments], argv: list[str] | None = None) -> list[Arguments]:
    """As `parse_arguments`, of a YAML that may describe several runs: see `read_sweep`."""
    return _parse(lambda argv: read_sweep(arguments_type, argv), argv)


def _parse(read: Callable[[list[str]], list[Arguments]], argv: list[str] | None) -> list[Arguments]:
    try:
        found = read(sys.argv[1:] if argv is None else argv)
        for hub in {arguments.hub for arguments in found if hasattr(arguments, "hub")}:
            use_hub(hub)
        join_processes()
    except ConfigurationError as error:
        sys.stderr.write(f"{Path(sys.argv[0]).name}: {error}\n")
        raise SystemExit(2) from None
    return found


def read_arguments(arguments_type: type[Arguments], argv: list[str]) -> Arguments:
    """
    The pure part of `parse_arguments`: no Hub, no exit.

    Raises:
        ConfigurationError: the YAML is absent or not a mapping, holds an unknown key or a nested value, or a
            required value is missing or of another type. The message names the file and the nearest known key.
    """
    path, argv = _path_first(argv)
    known = {field.name for field in dataclasses.fields(arguments_type)}
    flags = yaml_flags(Path(path), known) if path else []
    return _parsed(arguments_type, flags, argv, path)


def read_sweep(arguments_type: type[Arguments], argv: list[str]) -> list[Arguments]:
    """
    As `read_arguments`, of a YAML that may also hold `sweep`: a list of mappings, one for each run, of the values in
    which it differs from what the YAML says of all. The command line wins over both.

    Raises:
        ConfigurationError: as `read_arguments`; or `sweep` is no list of mappings, or two of its runs share a `name`,
            or one has none of its own.
    """
    path, argv = _path_first(argv)
    recipe = load_yaml(Path(path)) if path else {}
    known = {field.name for field in dataclasses.fields(arguments_type)}
    if "sweep" not in recipe:
        return [_parsed(arguments_type, flags_of(recipe, known, path), argv, path)]
    members = recipe.pop("sweep")
    if not isinstance(members, list) or not members or not all(isinstance(member, dict) for member in members):
        raise ConfigurationError(f"{path}: 'sweep' must be a list of mappings, e.g. - {{name: a, epochs: 3}}.")
    names = [member.get("name") for member in members]
    if not all(names) or len(set(names)) < len(names):
        raise ConfigurationError(f"{path}: each run of 'sweep' needs a `name` of its own; found {names}.")
    if any(flag.split("=")[0] == "--name" for flag in argv):
        raise ConfigurationError(f"{path} describes {len(members)} runs, which cannot all have one --name.")
    common = flags_of(recipe, known, path)
    return [
        _parsed(arguments_type, [*common, *flags_of(member, known, f"{path}, {member['name']}")], argv, path)
        for member in members
    ]


def _path_first(argv: list[str]) -> tuple[str, list[str]]:
    """`["a.yaml", "--lr", "1"]` → `("a.yaml", ["--lr", "1"])`; the path is "" where there is none."""
    return (argv[0], argv[1:]) if argv and not argv[0].startswith("-") else ("", argv)


def _parsed(arguments_type: type[Arguments], flags: list[str], argv: list[str], path: str) -> Arguments:
    """Flags of a YAML at `path` and those of the command line; of a key given twice the last one counts."""
    known = {field.name for field in dataclasses.fields(arguments_type)}
    for flag in argv:
        if flag.startswith("--") and (key := flag[2:].split("=")[0].replace("-", "_")) not in {*known, "help"}:
            raise ConfigurationError(f"--{key} is unknown.{nearest(key, known)}")
    parser = Parser(arguments_type, allow_abbrev=False)
    for action in parser._actions:
        if action.nargs == "+":
            action.nargs = "*"  # `publish: []` is a list too
        if action.dest in known and action.option_strings[0].startswith("--no_"):
            action.help = argparse.SUPPRESS  # HfArgumentParser's twin of a flag; we say `--flag false`
        elif action.required:
            action.help, action.default = f"{action.help} (required)", argparse.SUPPRESS
    try:
        (arguments,) = parser.parse_args_into_dataclasses([*flags, *argv], look_for_args_file=False)
    except ValueError as error:
        where = " and ".join([*([path] if path else []), *(["the command line"] if argv or not path else [])])
        raise ConfigurationError(f"{where}: {error}") from error
    return arguments


class Parser(HfArgumentParser):
    """HfArgumentParser that raises what is wrong, where argparse prints every option there is and exits."""

    def error(self, message: str) -> NoReturn:
        """What argparse calls with one line about a missing, unknown or mistyped value."""
        raise ConfigurationError(message.removeprefix("argument "))


def yaml_flags(path: Path, known: set[str]) -> list[str]:
    """The YAML's values as command-line flags, so that one parser checks both; `null` means 'not set'."""
    return flags_of(load_yaml(path), known, str(path))


def load_yaml(path: Path) -> dict:
    """
    What the file at `path` maps to what.

    Raises:
        ConfigurationError: there is no such file, or it holds no mapping.
    """
    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        raise ConfigurationError(
            f"{path} does not exist; give the recipe's YAML, e.g. one of recipes/configs/demo/."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise ConfigurationError(f"{path} cannot be read as YAML: {error}") from error
    if not isinstance(recipe, dict):
        raise ConfigurationError(f"{path} must hold `key: value` lines, but holds a {type(recipe).__name__}.")
    return recipe


def flags_of(recipe: dict, known: set[str], path: str) -> list[str]:
    """Keys and values as flags; `path` says in messages where they stand."""
    flags = []
    for key, value in recipe.items():
        if key not in known:
            raise ConfigurationError(f"{path}: key '{key}' is unknown.{nearest(str(key), known)}")
        items = value if isinstance(value, list) else [value]
        if any(isinstance(item, dict | list) for item in items):
            raise ConfigurationError(
                f"{path}: key '{key}' holds nested values; recipes are flat: give one value or a list."
            )
        if isinstance(value, list):
            flags += [f"--{key}", *map(str, value)]
        elif value is not None:
            flags.append(f"--{key}={value}")  # with "=" the value may begin with a dash
    return flags


def nearest(key: str, known: set[str]) -> str:
    """' Did you mean 'epochs'?' where something is near, else the list of what is known."""
    close = difflib.get_close_matches(key, known, n=1)
    return f" Did you mean '{close[0]}'?" if close else f" Known: {', '.join(sorted(known))}."


def use_hub(hub: str) -> None:
    """
    Makes this process talk to `hub`: `embedded`, or the URL of a Hub.

    The libraries freeze `HF_ENDPOINT` when they are imported, so for another URL the process is started again with
    the right environment. `embedded` never falls through to the real Hub: without a loopback endpoint it stops.

    Raises:
        ConfigurationError: `embedded` was asked for and no embedded Hub is in the environment, or `hub` is no URL.
    """
    endpoint = os.environ.get("HF_ENDPOINT", REAL_HUB).rstrip("/")
    if hub == "embedded":
        if urlparse(endpoint).hostname not in LOOPBACK:
            raise ConfigurationError(
                "hub is 'embedded', but no embedded Hub is in the environment. Run this under `fsa hub run -- …` "
                '(or after `eval "$(fsa hub env)"`), or give `--hub https://huggingface.co` to go to the real one.'
            )
        return
    if urlparse(hub).scheme not in {"http", "https"}:
        raise ConfigurationError(f"hub must be 'embedded' or a URL such as https://huggingface.co, not '{hub}'.")
    if endpoint != hub.rstrip("/"):
        os.environ["HF_ENDPOINT"] = hub.rstrip("/")
        os.execv(sys.executable, [sys.executable, *sys.argv])


def join_processes() -> None:
    """
    Has accelerate see the processes of `accelerate launch` as one run, also where they have no GPU.

    Without a GPU it otherwise takes each of them for a run of its own: every one would train on everything, and push.
    """
    asked = os.environ.get("ACCELERATE_USE_CPU", "false").lower() in {"1", "true", "yes"}
    # One process downloads, reads a corpus or scores its pairs while the others wait, longer than the usual minutes.
    PartialState(cpu=asked or not torch.accelerator.is_available(), timeout=timedelta(hours=12))


def run_stage(main: Callable[[], None]) -> None:
    """
    Runs a recipe's `main` so that its user gets a line that says what to do, not a trace from inside.

    Ctrl-C leaves with 130 and says how to go on; what a stage reports itself (bad data, a loss that is not finite) and
    a Hub that refuses or does not answer leave with 1. `FSA_TRACE=1` shows the trace instead. A bug stays a trace.
    """
    name = Path(sys.argv[0]).stem
    try:
        main()
    except KeyboardInterrupt:
        sys.stderr.write(f"\n{name}: stopped. The same command goes on from what is finished.\n")
        raise SystemExit(130) from None
    except REPORTED as error:
        from_hub = isinstance(error, httpx2.HTTPError)
        reported = type(error).__module__.startswith(("hub_tools", "builtins"))
        if os.environ.get("FSA_TRACE") or not (from_hub or reported):
            raise
        where = f"{os.environ.get('HF_ENDPOINT', REAL_HUB)}: " if from_hub else ""
        sys.stderr.write(f"{name}: {where}{error}\n(FSA_TRACE=1 shows where.)\n")
        raise SystemExit(1) from None
