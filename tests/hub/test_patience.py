"""What a Hub that is down is asked again, what no waiting cures, and that silence is no answer."""

from functools import partial

import httpx2
import pytest
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

from hub_tools.hub import patience, push, runs
from hub_tools.hub.checkpoints import HubCheckpoints
from hub_tools.hub.errors import PushError, explained
from hub_tools.hub.patience import WAITS, patiently
from hub_tools.hub.push import keep_replaced
from hub_tools.hub.runs import find_finished_run, resolve_input, start_run


REQUEST = httpx2.Request("POST", "http://127.0.0.1/api")


def answer(status: int) -> HfHubHTTPError:
    return HfHubHTTPError("so it is", response=httpx2.Response(status, request=REQUEST))


def broken_off() -> RuntimeError:
    """As the client tells of an upload that ended amid a file."""
    error = RuntimeError("Error while uploading 'model.safetensors' to the Hub.")
    error.__cause__ = httpx2.ReadError("reset")
    return error


@pytest.fixture
def waited(monkeypatch) -> list[float]:
    waited: list[float] = []
    monkeypatch.setattr(patience.time, "sleep", waited.append)
    return waited


def failing(errors: list[Exception]) -> str:
    """Raises the first of `errors`, which it takes away; returns when none is left."""
    with explained("push x"):
        if errors:
            raise errors.pop(0)
    return "pushed"


DOWN = [
    httpx2.ConnectError("refused"),
    httpx2.ReadTimeout("slow"),
    answer(503),
    answer(500),
    answer(429),
    broken_off(),
]


def test_it_waits_longer_and_longer_for_a_hub_that_is_down_and_says_so(waited, caplog):
    assert patiently(partial(failing, [*DOWN])) == "pushed"
    assert waited == [*WAITS[: len(DOWN)]] == sorted(waited)
    assert 60 < sum(WAITS) < 600
    assert "push x: " in caplog.text
    assert f"Attempt 2 of {len(WAITS) + 1} in {WAITS[0]} s; Ctrl-C stops." in caplog.text


def test_at_last_it_raises_what_there_was(waited):
    errors = [answer(502) for _ in range(len(WAITS) + 1)]
    with pytest.raises(PushError, match="HTTP 502"):
        patiently(partial(failing, errors))
    assert (len(waited), errors) == (len(WAITS), [])


@pytest.mark.parametrize(
    "error", [answer(401), answer(403), answer(404), answer(409), OfflineModeIsEnabled("off"), ValueError("card")]
)
def test_what_no_waiting_cures_is_raised_at_once(waited, error):
    with pytest.raises(PushError):
        patiently(partial(failing, [error]))
    assert waited == []


def test_ctrl_c_ends_the_wait(monkeypatch):
    def interrupted(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(patience.time, "sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        patiently(partial(failing, [answer(503)]))


def test_a_hub_that_goes_between_two_questions_is_not_taken_for_one_that_has_nothing(repo_id, monkeypatch):
    """The client then says that the file is not found, as of one that is not there."""

    def gone(*_, **__):
        raise LocalEntryNotFoundError("not in the cache, and the Hub cannot be reached")

    push.HfApi().create_repo(repo_id)
    monkeypatch.setattr(runs, "hf_hub_download", gone)
    with pytest.raises(ConnectionError, match=f"does not answer when asked for model {repo_id}"):
        find_finished_run(repo_id, "model", "d" * 64)
    monkeypatch.setattr(push, "hf_hub_download", gone)
    with pytest.raises(PushError, match="could not look for an earlier run") as caught:
        keep_replaced(repo_id, "model", start_run("pretrain", {}, {}))
    assert patience.passes(caught.value)
    monkeypatch.setattr("hub_tools.hub.checkpoints.hf_hub_download", gone)
    remote = HubCheckpoints(repo_id, "f" * 64)
    remote.branch = "main"
    with pytest.raises(PushError, match="could not look for checkpoints"):
        remote.newest()


def test_a_hub_that_does_not_answer_is_named(monkeypatch):
    def refused(*_, **__):
        raise httpx2.ConnectError("[Errno 111] Connection refused")

    monkeypatch.setattr(runs.HfApi, "repo_info", refused)
    for ask in (resolve_input, partial(find_finished_run, digest="d")):
        with pytest.raises(ConnectionError, match=r"http://127.* not answer when asked for dataset me/x \(Conn"):
            ask("me/x", "dataset")
