"""Any causal language model that vLLM runs, in this process, as a teacher: the fastest on a GPU, and one on a CPU too.

Weights are read from safetensors only and no code from the model's repo is run. vLLM is imported when the first
request comes, so that a machine without it can still plan a run or drive others that have it.
"""

import hashlib
import logging
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from multiprocessing import resource_tracker
from typing import Any

from transformers import AutoConfig

from .chat import ChatTokenizer
from .request import Answers, Failure, Request, in_chunks, reply_row
from .settings import TeacherSettings


logger = logging.getLogger(__name__)

DTYPES = ("auto", "float32", "bfloat16", "float16")
# It logs at length, and tells its makers what it runs on; neither unless the user says so.
QUIET = {"VLLM_LOGGING_LEVEL": "WARNING", "VLLM_NO_USAGE_STATS": "1", "VLLM_DO_NOT_TRACK": "1"}
_INSTALL = 'pip install "fsa-distill[vllm]" (on a CPU: see `make vllm`)'


class VllmTeacher:
    """A local causal LM on vLLM's engine.

    Each request has a seed of its own, made of `settings.seed` and its request_id, so neither order nor chunk decides
    which random numbers it meets. As with any batched engine the last bits of one prompt's logits may differ with
    what shares its batch, so a near-tie can fall differently.

    `sampling` names the engine: another one draws other random numbers and rounds otherwise. Of the model's own
    generation config only the stop tokens are heard.

    Args:
        settings: `model`, `model_revision`, `chunk`, what decides sampling, and what is marked vllm are read.

    Raises:
        ValueError: a setting out of its range.
        OSError: there is no such model.
    """

    def __init__(self, settings: TeacherSettings) -> None:
        _check(settings)
        config = AutoConfig.from_pretrained(settings.model, revision=settings.model_revision)
        self.settings = settings
        self.name = settings.model.rstrip("/").split("/")[-1].lower()
        self.revision = getattr(config, "_commit_hash", None) or settings.model_revision
        self.sampling: dict[str, Any] = {
            "engine": "vllm",
            "max_new_tokens": settings.max_new_tokens,
            "temperature": settings.temperature,
            "dtype": settings.dtype,
        }
        if settings.quantization:
            self.sampling["quantization"] = settings.quantization
        if settings.temperature:
            self.sampling["seed"] = settings.seed
            if settings.top_p != 1:
                self.sampling["top_p"] = settings.top_p
        self.chat = ChatTokenizer(settings.model, self.revision)

    @cached_property
    def llm(self) -> Any:
        """The engine, `vllm.LLM`: weights loaded, cache allocated.

        Raises:
            ImportError: vLLM is not installed.
            RuntimeError: vLLM cannot run this model with these settings.
        """
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        try:
            from vllm import LLM
        except ImportError as error:
            raise ImportError(f"teacher 'vllm' needs vLLM: {_INSTALL}. ({error})") from error
        settings = self.settings
        logger.info("vLLM loads %s at %s", settings.model, self.revision)
        try:
            with _deaf_to_interrupts():
                llm = LLM(
                    settings.model,
                    revision=self.revision,
                    tokenizer_revision=self.revision,
                    dtype=settings.dtype,
                    quantization=settings.quantization or None,
                    tensor_parallel_size=settings.tensor_parallel_size,
                    pipeline_parallel_size=settings.pipeline_parallel_size,
                    max_model_len=settings.max_model_len or None,
                    gpu_memory_utilization=settings.gpu_memory_utilization,
                    enable_prefix_caching=settings.prefix_caching,
                    seed=settings.seed,
                    trust_remote_code=False,
                    load_format="safetensors",
                )
        except Exception as error:  # of many kinds, some from the depths of torch
            raise RuntimeError(
                f"vLLM cannot start {settings.model}: {error}\nWhat it wrote above says more. Often too little memory "
                "(lower `max_model_len`, change `gpu_memory_utilization`, or share the model among more GPUs by "
                "`tensor_parallel_size`), a `quantization` that the weights do not have, or no safetensors in the repo"
            ) from error
        _hear_of_death(llm)
        return llm

    def replies(self, requests: Iterable[Request]) -> Iterator[Answers]:
        """One chunk after another.

        Raises:
            ImportError, RuntimeError: as `llm`; or the engine died, which costs the chunk that it worked on.
        """
        return in_chunks(self.answer, requests, self.settings.chunk)

    def answer(self, requests: list[Request]) -> Answers:
        """All at once, as one call to vLLM, which batches them itself; rows in order.

        A prompt that leaves no room for `max_new_tokens` fails alone: its reply could be cut off.
        """
        prompts = self.chat.encode([self.chat.prompt(request.messages) for request in requests])
        room = self.llm.model_config.max_model_len - self.settings.max_new_tokens
        fitting = [place for place, tokens in enumerate(prompts) if len(tokens) <= room]
        failures = [
            Failure(request, self._too_long(len(tokens)), final=True)
            for request, tokens in zip(requests, prompts, strict=True)
            if len(tokens) > room
        ]
        outputs = self._generate([prompts[place] for place in fitting], [requests[place] for place in fitting])
        rows = []
        for place, output in zip(fitting, outputs, strict=True):
            if output.finish_reason in ("stop", "length"):
                rows.append(self._row(requests[place], len(prompts[place]), output))
            else:
                failures.append(Failure(requests[place], f"vLLM ended the reply: {output.finish_reason}"))
        return Answers(rows, failures)

    def _too_long(self, tokens: int) -> str:
        most, new = self.llm.model_config.max_model_len, self.settings.max_new_tokens
        return f"the prompt's {tokens} tokens and max_new_tokens {new} are more than the model's {most}"

    def _generate(self, prompts: list[list[int]], requests: list[Request]) -> list[Any]:
        """vLLM's completion of each prompt."""
        from vllm import SamplingParams, TokensPrompt

        settings = self.settings
        parameters = [
            SamplingParams(
                max_tokens=settings.max_new_tokens,
                temperature=settings.temperature,
                top_p=settings.top_p,
                seed=_seed(settings.seed, request) if settings.temperature else None,
                detokenize=False,  # its own way drops an unfinished character at the end
            )
            for request in requests
        ]
        try:
            outputs = self.llm.generate(
                [TokensPrompt(prompt_token_ids=tokens) for tokens in prompts], parameters, use_tqdm=False
            )
        except Exception as error:
            raise RuntimeError(
                f"vLLM failed at a chunk of {len(prompts)} prompts: {error}\nWhat it wrote above says more. Replies "
                "recorded so far stay, this chunk is asked again: run the same command. Out of memory? Lower "
                "`gpu_memory_utilization` or `max_model_len`"
            ) from error
        return [output.outputs[0] for output in outputs]

    def _row(self, request: Request, prompt_tokens: int, output: Any) -> dict[str, str | int]:
        text = self.chat.tokenizer.decode(output.token_ids, skip_special_tokens=True)
        said = len(output.token_ids)
        return reply_row(
            request, text, self.name, self.revision, self.sampling, output.finish_reason, prompt_tokens, said
        )


def _check(settings: TeacherSettings) -> None:
    """Raise ValueError for what vLLM would refuse minutes later, in its own words."""
    if settings.dtype not in DTYPES:
        raise ValueError(f"dtype {settings.dtype!r}; allowed: {', '.join(DTYPES)}")
    for name in ("max_new_tokens", "chunk", "tensor_parallel_size", "pipeline_parallel_size"):
        if getattr(settings, name) < 1:
            raise ValueError(f"{name} is {getattr(settings, name)}; it must be at least 1")
    if settings.temperature and not 0.01 <= settings.temperature <= 2:
        raise ValueError(f"temperature {settings.temperature}; vLLM takes 0 (greedy) or 0.01 to 2")
    if not 0 < settings.top_p <= 1 or not 0 < settings.gpu_memory_utilization <= 1:
        raise ValueError(
            f"top_p {settings.top_p} and gpu_memory_utilization {settings.gpu_memory_utilization} must be above 0 and "
            "at most 1"
        )
    if settings.max_model_len and settings.max_model_len <= settings.max_new_tokens:
        raise ValueError(
            f"max_model_len {settings.max_model_len} leaves no room for a prompt beside max_new_tokens "
            f"{settings.max_new_tokens}"
        )


def _seed(seed: int, request: Request) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {request.request_id}".encode()).digest()[:7])


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Processes started inside never see SIGINT; this one sees it afterwards.

    A terminal sends Ctrl-C to all of them. vLLM's would quit at once, and with them what is in flight, which the
    labelling run means to finish. A blocked signal stays blocked in the processes that one starts.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    resource_tracker.ensure_running()  # multiprocessing's; starting it would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _hear_of_death(llm: Any) -> None:
    """Let a killed engine process end what waits for it.

    vLLM 0.32 notices when the process is gone (the out-of-memory killer takes it first), and shuts its client down;
    but `generate` then waits on that client's queue for ever.
    """
    client = llm.llm_engine.engine_core
    if not hasattr(client, "outputs_queue"):  # the engine is in this process: VLLM_ENABLE_V1_MULTIPROCESSING=0
        return
    shut_down = client.shutdown

    def tell_and_shut_down(*arguments: Any, **options: Any) -> None:
        client.outputs_queue.put(RuntimeError("its engine process was killed"))
        shut_down(*arguments, **options)

    client.shutdown = tell_and_shut_down
