"""A push whose work cost days is not given up for a Hub that is down for a minute."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

import httpx2
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

from .errors import PushError


logger = logging.getLogger(__name__)

Result = TypeVar("Result")

WAITS = (5, 10, 20, 40, 60, 60, 60)  # seconds between attempts: about four minutes, and what the attempts take


def patiently(push: Callable[[], Result]) -> Result:
    """What `push` returns, which is called again after each of WAITS while the Hub is down; Ctrl-C ends a wait.

    Raises:
        PushError: of the last attempt; of the first one that no waiting cures, such as a token that may not write.
    """
    for number, seconds in enumerate(WAITS, 1):
        try:
            return push()
        except PushError as error:
            if not passes(error):
                raise
            logger.warning("%s. Attempt %d of %d in %g s; Ctrl-C stops.", error, number + 1, len(WAITS) + 1, seconds)
            time.sleep(seconds)
    return push()


def passes(error: BaseException | None) -> bool:
    """Whether waiting may cure it: somewhere behind `error` the Hub did not answer, or with 429 or 5xx."""
    while error is not None:
        if isinstance(error, OfflineModeIsEnabled):
            return False
        if isinstance(error, HfHubHTTPError):
            return error.response.status_code == 429 or error.response.status_code >= 500
        if isinstance(error, httpx2.TransportError | ConnectionError | LocalEntryNotFoundError):
            return True
        error = error.__cause__ or error.__context__
    return False
