"""The student after pretraining: it lies on this machine, whole with its card and its facts, until the Hub has it."""

import shutil
from pathlib import Path

from hub_tools.distilling.arguments import Pretrain
from hub_tools.distilling.start import push_start
from hub_tools.hub.checkpoints import HubCheckpoints
from hub_tools.hub.errors import PushError, explained
from hub_tools.hub.patience import patiently
from hub_tools.hub.push import keep_replaced, push_model, tag_revision
from hub_tools.hub.runs import RUN_FILE, Run


CARD = "README.md"


def keep_finished(student: Path, card: str, run: Run) -> None:
    """Puts card and facts beside the weights; the facts come last, so where they are all else is."""
    (student / CARD).write_text(card, encoding="utf-8")
    draft = student.with_name(RUN_FILE)
    draft.write_text(run.to_json(), encoding="utf-8")
    draft.rename(student / RUN_FILE)


def find_unpushed(student: Path, digest: str) -> Run | None:
    """The run of this digest if it is trained to its end and its student lies in that folder; else None."""
    try:
        run = Run.from_json((student / RUN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return run if run.finished and run.digest == digest else None


def push_finished(
    folder: Path, repo_id: str, arguments: Pretrain, remote: HubCheckpoints | None = None, started: str = ""
) -> str:
    """
    Pushes the finished student of a run's folder, patiently, and deletes the folder, all of which is on the Hub then.

    Whoever calls this holds the folder (`checkpoints.held`), from before its student was looked for.

    Args:
        remote: has this run's checkpoints, which go.
        started: the commit of the student before pretraining; "": it is pushed (again).

    Returns:
        The tag that keeps a finished student of another run, which this one replaces; "" if there was none.

    Raises:
        PushError: the Hub was down for too long, or refuses it; the folder is as it was.
    """
    student = folder / "student"
    run = Run.from_json((student / RUN_FILE).read_text(encoding="utf-8"))

    def push() -> str:
        with explained(f"push model {repo_id}"):
            tag_revision(repo_id, "step-0", started or push_start(repo_id, folder / "start", arguments), "model")
            kept = keep_replaced(repo_id, "model", run)
            push_model(student, repo_id, card=(student / CARD).read_text("utf-8"), private=arguments.private, run=run)
            return kept

    try:
        kept = patiently(push)
    except PushError as error:
        stays = f"It is trained, and lies in {student}: the same command pushes it, and trains nothing again."
        raise PushError(f"{error}. {stays}") from error
    if remote:
        remote.finish()
    shutil.rmtree(folder, ignore_errors=True)  # of a network disk its lock goes when it is let go
    return kept
