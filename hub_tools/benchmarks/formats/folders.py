"""A folder of JSON lines that `load_dataset(folder, config)` reads as it reads a benchmark on the Hub."""

from collections.abc import Mapping, Sequence

from datasets import DatasetInfo
from datasets.info import DatasetInfosDict
from huggingface_hub import DatasetCardData

from hub_tools.benchmarks.formats.problems import FormatError
from hub_tools.benchmarks.fsa import FEATURES
from hub_tools.benchmarks.records import Row
from hub_tools.opinions import TASKS


SPLITS = ("train", "validation", "test", "test_hard")


def task_of(config: str) -> str:
    """The task that the name of a config begins with, as recipes read it: tsa of tsa-mine.

    Raises:
        FormatError: it begins with no task.
    """
    task, _, rest = config.partition("-")
    if task not in TASKS or not rest or not all(part.isalnum() for part in rest.split("-")):
        raise FormatError(
            f"config {config!r}: should be a task ({', '.join(TASKS)}), a dash and a name of letters, digits and "
            "dashes, e.g. tsa-mine"
        )
    return task


def with_test_hard(splits: Mapping[str, Sequence[Row]], task: str) -> dict[str, list[Row]]:
    """The splits with `test_hard`, on which recipes score "tsa" and "asa": without hard sentences it is `test`."""
    splits = {name: list(rows) for name, rows in splits.items()}
    if task in ("tsa", "asa") and "test" in splits:
        splits.setdefault("test_hard", splits["test"])
    return splits


def folder_card(config: str, files: Mapping[str, str]) -> str:
    """README.md of the folder: which file is which split, and the columns, which a split of nulls would not tell.

    Args:
        config: the name to load it by.
        files: split → file name in the folder.
    """
    data = DatasetCardData(
        configs=[
            {
                "config_name": config,
                "data_files": [{"split": split, "path": name} for split, name in files.items()],
            }
        ]
    )
    infos = DatasetInfosDict({config: DatasetInfo(features=FEATURES, config_name=config)})
    infos.to_dataset_card_data(data)
    return (
        f"---\n{data.to_yaml()}\n---\n\nMade by `fsa convert`; `load_dataset(<this folder>, {config!r})` reads it.\n"
    )
