"""Where reviews lie: files, folders of them, and datasets on a Hub → raw rows, one at a time."""

import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pyarrow.lib import ArrowException

from .settings import ReviewSettings
from .tables import TableError, kind_of, read_rows


KINDS = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
_HUB = re.compile(r"hub:([\w.-]+/[\w.-]+)(?:@([\w.-]+))?(?:/([^/:]+))?(?::([\w.-]+))?")


class HubDataset(NamedTuple):
    """A split of a dataset on the Hub, at a commit; `licence` is what its card says."""

    repo_id: str
    revision: str
    config: str | None
    split: str
    licence: str

    def __str__(self) -> str:
        config = f"/{self.config}" if self.config else ""
        return f"hub:{self.repo_id}@{self.revision}{config}:{self.split}"


def find_sources(settings: ReviewSettings) -> list[Path | HubDataset]:
    """
    The files and Hub datasets that `files` names, in its order; a folder's files in the order of their names.

    A Hub dataset is found at the commit that its revision means now, so that a run can say what it read.

    Raises:
        ValueError: nothing is named, a file that is not there or of no readable kind, a Hub dataset that is malformed
            or cannot be found.
    """
    if not settings.files:
        raise ValueError("`files` names no reviews; give files or folders below `data`, or hub:<owner>/<name>.")
    sources: list[Path | HubDataset] = []
    for name in settings.files:
        if name.startswith("hub:"):
            sources.append(find_dataset(name))
        else:
            sources += find_files(Path(settings.data) / name)
    return sources


def find_files(path: Path) -> list[Path]:
    """The readable files of a folder, or the file itself."""
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file() and kind_of(file) in KINDS)
        if not files:
            raise ValueError(f"{path}: a folder without reviews; readable: {', '.join(KINDS)}, text also as .gz.")
        return files
    if not path.is_file():
        raise ValueError(f"{path}: no such file of reviews; `data` should name the folder that holds it.")
    if kind_of(path) not in KINDS:
        raise ValueError(f"{path}: a '{kind_of(path)}' file; readable: {', '.join(KINDS)}, text also as .gz.")
    return [path]


def find_dataset(name: str) -> HubDataset:
    """Reads `hub:<owner>/<name>[@revision][/config][:split]` and asks the Hub for the commit and the licence."""
    from huggingface_hub import HfApi  # slow to import, and most runs read files
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    parts = _HUB.fullmatch(name)
    if not parts:
        raise ValueError(f"'{name}': expected hub:<owner>/<name>[@revision][/config][:split].")
    repo_id, revision, config, split = parts.groups()
    try:
        info = HfApi().dataset_info(repo_id, revision=revision)
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise ValueError(f"{name}: not found on the Hub, or not for you ({error}).") from error
    licence = (info.card_data or {}).get("license") or ""
    licence = ", ".join(licence) if isinstance(licence, list) else str(licence)
    return HubDataset(repo_id, info.sha, config, split or "train", licence)


def raw_rows(source: Path | HubDataset) -> Iterator[tuple[int, dict]]:
    """
    (row number, row) of a source as it is, in flat memory. Of text files the number is the line's.

    Raises:
        ValueError: what cannot be read, with the file, and the row where there is one.
    """
    if isinstance(source, HubDataset):
        yield from _hub_rows(source)
        return
    kind = kind_of(source)
    try:
        yield from read_rows(source, kind)
    except TableError:
        raise
    except UnicodeDecodeError as error:
        raise ValueError(f"{source}: not UTF-8 ({error.reason}); save it as UTF-8 first.") from error
    except (OSError, EOFError, zlib.error, ArrowException) as error:
        raise ValueError(f"{source}: cannot be read, or only in part ({error}).") from error


def _hub_rows(source: HubDataset) -> Iterator[tuple[int, dict]]:
    """Rows of a split, streamed; a class label is given by its name (`3 stars`), since its number says little."""
    from datasets import ClassLabel, load_dataset
    from datasets.exceptions import DatasetsError

    try:
        dataset = load_dataset(
            source.repo_id, source.config, split=source.split, revision=source.revision, streaming=True
        )
    except (DatasetsError, ValueError, OSError) as error:
        raise ValueError(f"{source}: cannot be read ({error}).") from error
    labels = {name: kind for name, kind in (dataset.features or {}).items() if isinstance(kind, ClassLabel)}
    for number, row in enumerate(dataset, 1):
        for name, kind in labels.items():
            if row[name] is not None:
                row[name] = kind.int2str(row[name])
        yield number, row
