"""What the Hub's clients raise, told as what happened and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from yaml import YAMLError

from .runs import TOKEN


BY_STATUS = {
    401: "no valid token. Set HF_TOKEN to one with write access (https://huggingface.co/settings/tokens)",
    403: "this token may not write there. Check the repo's namespace, and that the token has write access",
    404: "there is no such repo or revision, or this token may not see it",
    409: "others kept committing at the same time. Run the command again",
    412: "others kept committing at the same time. Run the command again",
}


class PushError(RuntimeError):
    """A push that did not happen, or must not: the message says why and what to do."""


class PushConflict(PushError):
    """A push of what was made from an older commit than the repo is at now."""


@contextmanager
def explained(action: str) -> Iterator[None]:
    """Turn what the client raises inside the block into a `PushError` that begins with "could not <action>"."""
    endpoint = constants.ENDPOINT
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise PushError(f"could not {action}: HF_HUB_OFFLINE is set. Unset it to push") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        hint = BY_STATUS.get(status, "the Hub refused it")
        raise PushError(f"could not {action} on {endpoint}: {hint} (HTTP {status}: {_said(error)})") from error
    except httpx2.HTTPError as error:
        raise PushError(
            f"could not {action}: {endpoint} cannot be reached ({type(error).__name__}). Is HF_ENDPOINT right? Start"
            " the embedded Hub with `fsa hub serve`, or run the command with `fsa hub run -- <command>`"
        ) from error
    except PushError:
        raise
    except (RuntimeError, OSError) as error:  # an upload that broke off, a file that cannot be read or written
        raise PushError(f"could not {action} on {endpoint}: {TOKEN.sub('hf_…', str(error))}") from error
    except (ValueError, YAMLError) as error:  # a repo id or a card's metadata that the client itself finds wrong
        raise PushError(f"could not {action}: {error}") from error


def _said(error: HfHubHTTPError) -> str:
    return TOKEN.sub("hf_…", (error.server_message or str(error)).strip().splitlines()[-1])
