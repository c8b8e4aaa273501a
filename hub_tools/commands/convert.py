"""`fsa convert`: other people's files ↔ benchmark rows, to score, to fine-tune on, or to annotate."""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from hub_tools.benchmarks.formats import Reading


USAGE = """
fsa convert Restaurants_Test_Gold.xml gold.jsonl --task tsa
fsa convert gold.jsonl tasks.json --to label-studio --task tsa
fsa convert train=a.csv validation=b.csv test=c.csv my-benchmark/ --config tsa-mine
fsa convert train=a.csv validation=b.csv test=c.csv --push me/fsa-benchmark --config tsa-mine
fsa convert --list
"""
BY_SUFFIX = {".jsonl": "jsonl", ".csv": "csv", ".tsv": "tsv", ".atepc": "pyabsa-atepc"}


class ConvertError(ValueError):
    """Options that do not go together; the message says which, and what would."""


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its options."""
    converting = commands.add_parser(
        "convert",
        help="other people's files to benchmark rows and back",
        epilog=USAGE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    converting.add_argument("paths", nargs="*", metavar="INPUT … OUTPUT", help="a file, or split=file for each split")
    converting.add_argument(
        "--from", dest="source", metavar="FORMAT", help="of the input (default: told by its content)"
    )
    converting.add_argument("--to", metavar="FORMAT", help="of the output (default: by its ending, else jsonl)")
    converting.add_argument("--task", help="what `text` is to hold: tsa, asa, acos, asqp")
    converting.add_argument("--config", help="name of the config in a folder or on the Hub; begins with the task")
    converting.add_argument(
        "--skip_invalid",
        action="store_true",
        help="write invalid rows to <output>.rejected.jsonl and go on (default: stop)",
    )
    converting.add_argument("--lossy", action="store_true", help="go on where the output cannot hold everything")
    converting.add_argument("--push", metavar="REPO", help="push the splits as a benchmark, instead of writing files")
    converting.add_argument("--public", action="store_true", help="with --push: for everyone (default: private)")
    converting.add_argument("--list", action="store_true", help="the formats, and what each can hold")
    converting.add_argument("--labelling_config", action="store_true", help="the configuration for Label Studio")
    converting.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Reads all inputs, then writes; nothing is written where something is wrong."""
    from hub_tools.benchmarks.formats import label_studio

    if options.labelling_config:
        print(label_studio.CONFIG, end="")
        return 0
    if options.list:
        list_formats()
        return 0
    inputs, output = split_paths(options)
    target = options.to or ending(output, inputs)
    readings, task = read_all(inputs, options)
    if options.push:
        push(readings, inputs, task, options)
    elif None in inputs:
        write_files({output: readings[None]}, target, task, options)
    else:
        write_folder(readings, output, target, task, options)
    return 0


def ending(output: Path | None, inputs: Mapping[str | None, Path]) -> str:
    """The format that the output's ending tells; folders hold JSON lines."""
    if output is None or None not in inputs:
        return "jsonl"
    if output.suffix.lower() not in BY_SUFFIX:
        raise ConvertError(f"{output}: which format should it have? --to; fsa convert --list shows formats")
    return BY_SUFFIX[output.suffix.lower()]


def split_paths(options: argparse.Namespace) -> tuple[dict[str | None, Path], Path | None]:
    """Split → input (None: one file, of no split), and where the output goes."""
    from hub_tools.benchmarks.formats.folders import SPLITS

    paths = list(options.paths)
    if len(paths) < 2 - bool(options.push):
        raise ConvertError(
            "what is to be converted to where? fsa convert INPUT OUTPUT; fsa convert --list shows formats"
        )
    output = None if options.push else Path(paths.pop())
    inputs: dict[str | None, Path] = {}
    for path in paths:
        split, sign, file = path.partition("=")
        if not sign or (split not in SPLITS and Path(path).exists()):
            split, file = None, path
        elif split not in SPLITS:
            raise ConvertError(f"unknown split in {path!r}; allowed: {', '.join(SPLITS)}")
        if split in inputs:
            raise ConvertError(f"{file}: a second file for {split or 'one output'}; name splits, e.g. train={file}")
        inputs[split] = Path(file)
    if None in inputs and (len(inputs) > 1 or options.push):
        raise ConvertError("every input needs its split, e.g. train=a.csv validation=b.csv test=c.csv")
    if output in inputs.values():
        raise ConvertError(f"{output} is an input; give the output another name")
    if (options.push or None not in inputs) and not options.config:
        raise ConvertError("splits need the name of their config, e.g. --config tsa-mine")
    return inputs, output


def read_all(
    inputs: Mapping[str | None, Path], options: argparse.Namespace
) -> tuple[dict[str | None, "Reading"], str]:
    """Every input read, or the error that says what is wrong with one."""
    from hub_tools.benchmarks.formats import FORMATS, read
    from hub_tools.benchmarks.formats.folders import task_of

    task = task_of(options.config) if options.config else options.task
    if options.config and options.task not in (None, task):
        raise ConvertError(f"--task {options.task} and --config {options.config}: the config begins with its task")
    readings: dict[str | None, Reading] = {}
    for split, path in inputs.items():
        name = options.source or guessed(path, task)
        if name in FORMATS and task is None and len(FORMATS[name].tasks) == 1:
            (task,) = FORMATS[name].tasks
        if task is None:
            raise ConvertError("which task is it? --task tsa (targets), asa (categories), acos or asqp (quads)")
        reading = readings[split] = read(path, name, task, skip_invalid=options.skip_invalid)
        said = f"{path}: {len(reading.rows)} sentences ({name}, {task})"
        said += f", {len(reading.problems.rejected)} rejected" if reading.problems.rejected else ""
        notes = [f"{count} {note}" for note, count in reading.problems.notes.items() if count]
        print("\n  ".join([said, *notes]), file=sys.stderr)
    return readings, task


def guessed(path: Path, task: str | None) -> str:
    """The format that a file looks like."""
    from hub_tools.benchmarks.formats import FORMATS, FormatError, guess

    if not path.is_file():
        raise FormatError(f"{path}: no such file")
    name = guess(path, path.read_bytes())
    if name is None:
        raise ConvertError(f"{path}: which format is it? --from {', '.join(FORMATS)}")
    return f"{name}-categories" if task == "asa" and f"{name}-categories" in FORMATS else name


def write_files(files: Mapping[Path, "Reading"], name: str, task: str, options: argparse.Namespace) -> None:
    """All files, or none where one would lose something that was not agreed to; then what was rejected."""
    from hub_tools.benchmarks.formats import FormatError, Losses, content, write_whole

    losses = Losses()
    contents = {path: content(reading.rows, name, task, losses) for path, reading in files.items()}
    if losses and not options.lossy:
        raise FormatError(losses.told(name))
    for line in losses.lines():
        print(f"  lost: {line}", file=sys.stderr)
    for path, data in contents.items():
        write_whole(path, data)
        print(f"{path}: written ({name}).", file=sys.stderr)
        write_rejected(path, files[path])


def write_rejected(path: Path, reading: "Reading") -> None:
    """What was left out of a file, with the reasons, beside it."""
    from hub_tools.benchmarks.formats import write_whole

    if reading.problems.rejected:
        beside = path.with_name(f"{path.name}.rejected.jsonl")
        rows = ({"file": str(reading.problems.path), **row} for row in reading.problems.rejected)
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        write_whole(beside, lines.encode("utf-8", "backslashreplace"))
        print(f"{beside}: what was rejected, and why.", file=sys.stderr)


def write_folder(
    readings: Mapping[str, "Reading"], folder: Path, name: str, task: str, options: argparse.Namespace
) -> None:
    """A file per split; JSON lines with a card, so that `load_dataset` reads the folder."""
    from hub_tools.benchmarks.formats import FORMATS, write_whole
    from hub_tools.benchmarks.formats.folders import folder_card, with_test_hard

    suffix = FORMATS[name].suffix if name in FORMATS else ""
    if name == "jsonl":
        splits = with_test_hard({split: reading.rows for split, reading in readings.items()}, task)
        readings = {split: readings.get(split) or readings["test"]._replace(rows=splits[split]) for split in splits}
    write_files({folder / f"{split}{suffix}": reading for split, reading in readings.items()}, name, task, options)
    if name == "jsonl":
        card = folder_card(options.config, {split: f"{split}{suffix}" for split in readings})
        write_whole(folder / "README.md", card.encode())
        print(f"load_dataset({str(folder)!r}, {options.config!r}) reads it.", file=sys.stderr)


def push(
    readings: Mapping[str, "Reading"], inputs: Mapping[str, Path], task: str, options: argparse.Namespace
) -> None:
    """The splits as one config of a benchmark on the Hub that HF_ENDPOINT names."""
    from datasets import Dataset

    from hub_tools.benchmarks.formats.folders import with_test_hard
    from hub_tools.benchmarks.fsa import FEATURES, summary
    from hub_tools.hub.cards import DatasetFacts, Source, dataset_card
    from hub_tools.hub.push import push_dataset
    from hub_tools.hub.runs import digest_files, start_run

    refuse_other_configs(options.push, options.config)
    splits = with_test_hard({split: reading.rows for split, reading in readings.items()}, task)
    digests = {f"{split}: {path.name}": digest_files(path) for split, path in inputs.items()}
    run = start_run("convert", {"config": options.config, "skip_invalid": options.skip_invalid}, digests).finish()
    facts = DatasetFacts(
        repo_id=options.push,
        kind="benchmark",
        title=options.push.rpartition("/")[2],
        summary=f"One config, {options.config}, converted by `fsa convert`.",
        configs={options.config: {split: len(rows) for split, rows in splits.items()}},
        sources=[Source(path.name, "not stated", note=split) for split, path in inputs.items()],
        counts=[{"config": options.config, "split": split, **summary(rows)} for split, rows in splits.items()],
        run=run,
        limits=[
            f"{len(reading.problems.rejected)} sentences of {split} were left out: what was said of them is wrong."
            for split, reading in readings.items()
            if reading.problems.rejected
        ],
    )
    tables = {split: Dataset.from_list(rows, features=FEATURES) for split, rows in splits.items()}
    push_dataset({options.config: tables}, options.push, dataset_card(facts), private=not options.public, run=run)
    print(f"pushed {options.push}: load_dataset({options.push!r}, {options.config!r}).", file=sys.stderr)
    for split, reading in readings.items():
        write_rejected(Path(inputs[split].name), reading)


def refuse_other_configs(repo_id: str, config: str) -> None:
    """A push replaces all tables of a repo: one that holds other configs is not ours to replace."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    from hub_tools.hub.errors import explained

    with explained(f"look at dataset {repo_id}"):
        try:
            files = HfApi().list_repo_files(repo_id, repo_type="dataset")
        except RepositoryNotFoundError:
            return
    others = sorted({name.partition("/")[0] for name in files if name.endswith(".parquet")} - {config})
    if others:
        raise ConvertError(
            f"{repo_id} holds other configs ({', '.join(others)}), which a push would remove; push to another repo"
        )


def list_formats() -> None:
    """The formats: what they are, their tasks, and what they cannot hold."""
    from hub_tools.benchmarks.formats import FORMATS
    from hub_tools.benchmarks.formats.fitting import HOLDABLE
    from hub_tools.benchmarks.formats.rows import FLAGS

    for name, format in FORMATS.items():
        known = {*format.holds, *FLAGS, *([] if "opinion" in format.holds else ["words"])}
        missing = [text for key, text in HOLDABLE.items() if key not in known]
        missing += [f"opinions without {need}" for need in sorted(format.needs) if need in format.holds]
        missing += ["targets that do not begin and end with a token"] * format.tokens
        print(f"{name} ({', '.join(format.tasks) or 'any task'}): {format.about}")
        print(f"    cannot hold: {'; '.join(missing) or '–'}")
