"""Training curves in trackio, an optional extra, kept on this machine."""

import importlib.util
from collections.abc import Mapping
from typing import Any

from accelerate import Accelerator
from accelerate.tracking import filter_trackers


def track(accelerator: Accelerator, project: str, config: Mapping[str, Any]) -> None:
    """
    Has `pretrain` log to the trackio project of that name, kept on this machine (`trackio show` opens it).

    Raises:
        ValueError: trackio is not installed.
    """
    if importlib.util.find_spec("trackio") is None:
        raise ValueError('`track` needs the package trackio, which is not installed: pip install -e ".[trackio]"')
    accelerator.log_with = filter_trackers("trackio")
    # No Space and no dataset: nothing leaves the machine.
    accelerator.init_trackers(project, dict(config), {"trackio": {"space_id": None, "dataset_id": None}})
