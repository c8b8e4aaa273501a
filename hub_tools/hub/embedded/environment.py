"""The environment in which the Hugging Face clients talk to the embedded Hub, and to nothing else."""

import os
import shlex
import sys
from pathlib import Path


# Variables that would win over ours: a token for the real Hub, caches shared with it, or a switch to offline mode.
# (Caches are keyed by repo id alone, so sharing one would mix this Hub's repos with huggingface.co's.)
UNSET = (
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "HF_TOKEN_PATH",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN",
    "HF_HUB_OFFLINE",
    "HF_DATASETS_OFFLINE",
    "HF_EVALUATE_OFFLINE",
    "TRANSFORMERS_OFFLINE",
    "HUGGINGFACE_CO_STAGING",
    "HF_HUB_CACHE",
    "HUGGINGFACE_HUB_CACHE",
    "HF_ASSETS_CACHE",
    "HUGGINGFACE_ASSETS_CACHE",
    "HF_DATASETS_CACHE",
    "HF_EVALUATE_CACHE",
    "HF_METRICS_CACHE",
    "HF_MODULES_CACHE",
    "HF_XET_CACHE",
    "TRANSFORMERS_CACHE",
)

# `.127.0.0.1` covers `datasets-server.127.0.0.1`, a name that `datasets` makes up from the endpoint (see below).
NO_PROXY = ("127.0.0.1", "localhost", ".127.0.0.1")


def hf_home(root: Path) -> Path:
    """Return the HF_HOME of the clients of the Hub at `root`."""
    return root / "hf_home"


def token_path(root: Path) -> Path:
    """Return where the Hub's token lies: where the clients look for it, so no variable has to carry it."""
    return hf_home(root) / "token"


def environment_of(root: Path, endpoint: str) -> dict[str, str]:
    """Return the variables to set (those of `UNSET` are to be removed) for clients of the Hub at `endpoint`.

    `load_dataset` also asks `http://datasets-server.<host of the endpoint>`, for which it has no switch. A name that
    ends in `.1` exists in no DNS, so the question fails at once with and without a network; NO_PROXY keeps it, and the
    token that goes with it, from a proxy, and RES_OPTIONS ends the wait after a second where DNS packets get lost.
    """
    known = [part.strip() for name in ("NO_PROXY", "no_proxy") for part in os.environ.get(name, "").split(",")]
    no_proxy = ",".join(dict.fromkeys([*filter(None, known), *NO_PROXY]))
    return {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(hf_home(root.absolute())),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",
        "GRADIO_ANALYTICS_ENABLED": "False",
        "DISABLE_SAFETENSORS_CONVERSION": "1",
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
        "RES_OPTIONS": os.environ.get("RES_OPTIONS", "timeout:1 attempts:1"),
    }


def child_environment(variables: dict[str, str]) -> dict[str, str]:
    """Return this process's environment with `variables` set and `UNSET` removed.

    This Python's folder leads PATH, so that `fsa hub run -- hf …` runs the `hf` installed beside `fsa`.
    """
    kept = {name: value for name, value in os.environ.items() if name not in UNSET}
    path = os.pathsep.join(filter(None, [str(Path(sys.executable).parent), kept.get("PATH")]))
    return kept | variables | {"PATH": path}


def shell_lines(variables: dict[str, str]) -> list[str]:
    """Return lines for a POSIX shell's `eval` that set `variables` and remove `UNSET`."""
    exports = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    return [*exports, f"unset {' '.join(UNSET)}"]
