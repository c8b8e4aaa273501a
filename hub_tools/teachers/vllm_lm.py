"""Any causal language model that vLLM runs, in this process, as a teacher: the fastest on a GPU, and one on a CPU too.

Weights are read from safetensors only and no code from the model's repo is run. vLLM is imported when the first
request comes, so that a machine without it can still plan a run or drive others that have it.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import count, islice
from typing import Any

from transformers import AutoConfig

from .chat import ChatTokenizer
from .request import Answers, Failure, Request, reply_row
from .settings import TeacherSettings
from .vllm_engine import start_engine


GROUPS = 32  # of answers, in one chunk's time: each is written to the disk
DTYPES = ("auto", "float32", "bfloat16", "float16")


class VllmTeacher:
    """A local causal LM on vLLM's engine.

    Each request has a seed of its own, made of `settings.seed` and its request_id, so neither order nor batch decides
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
        self._numbers = count()

    @cached_property
    def llm(self) -> Any:
        """The engine, `vllm.LLM`: weights loaded, cache allocated.

        Raises:
            ImportError: vLLM is not installed.
            RuntimeError: vLLM cannot run this model with these settings.
        """
        return start_engine(self.settings, self.revision)

    def replies(self, requests: Iterable[Request]) -> Iterator[Answers]:
        """At most `settings.chunk` requests are in flight. As some end, others begin: vLLM's batch stays full.

        A prompt that leaves no room for `max_new_tokens` fails alone: its reply could be cut off.

        Raises:
            ImportError, RuntimeError: as `llm`; or the engine died, which costs what is in flight.
        """
        requests, chunk = iter(requests), self.settings.chunk
        flying: dict[str, Request] = {}
        try:
            while True:
                failures = self._launch(list(islice(requests, chunk - len(flying))), flying)
                rows: list[dict[str, str | int]] = []
                while flying and len(rows) + len(failures) < max(1, chunk // GROUPS):
                    self._land(flying, rows, failures)
                if not rows and not failures:
                    return
                yield Answers(rows, failures)
        finally:
            if flying:  # the run was broken off
                self.llm.llm_engine.abort_request(list(flying))

    def _launch(self, requests: list[Request], flying: dict[str, Request]) -> list[Failure]:
        """Give vLLM what fits; what does not has failed."""
        if not requests:
            return []
        settings, failures = self.settings, []
        most = self.llm.model_config.max_model_len
        from vllm import SamplingParams
        from vllm.inputs import tokens_input
        from vllm.sampling_params import RequestOutputKind

        prompts = self.chat.encode([self.chat.prompt(request.messages) for request in requests])
        for request, tokens in zip(requests, prompts, strict=True):
            if len(tokens) + settings.max_new_tokens > most:
                reason = (
                    f"the prompt's {len(tokens)} tokens and max_new_tokens {settings.max_new_tokens} are more than "
                    f"the model's {most}"
                )
                failures.append(Failure(request, reason, final=True))
                continue
            parameters = SamplingParams(
                max_tokens=settings.max_new_tokens,
                temperature=settings.temperature,
                top_p=settings.top_p,
                seed=_seed(settings.seed, request) if settings.temperature else None,
                detokenize=False,  # its own way drops an unfinished character at the end
                output_kind=RequestOutputKind.FINAL_ONLY,
            )
            number = str(next(self._numbers))
            with self._telling(len(flying)):
                self.llm.llm_engine.add_request(number, tokens_input(tokens), parameters)
            flying[number] = request
        return failures

    def _land(self, flying: dict[str, Request], rows: list[dict[str, str | int]], failures: list[Failure]) -> None:
        """One step of the engine, and what has ended with it."""
        with self._telling(len(flying)):
            outputs = self.llm.llm_engine.step()
        for output in outputs:
            request, completion = flying.pop(output.request_id, None), output.outputs[0]
            if request is None:
                continue  # of an earlier run that was broken off
            if completion.finish_reason in ("stop", "length"):
                rows.append(self._row(request, len(output.prompt_token_ids), completion))
            else:
                failures.append(Failure(request, f"vLLM ended the reply: {completion.finish_reason}"))

    @contextmanager
    def _telling(self, flying: int) -> Iterator[None]:
        """Whatever the engine raises, with what it means for the run."""
        try:
            yield
        except Exception as error:
            raise RuntimeError(
                f"vLLM failed with {flying} requests in flight: {error}\nWhat it wrote above says more. Replies that "
                "were recorded stay, these requests are asked again: run the same command. Out of memory? Lower "
                "`gpu_memory_utilization` or `max_model_len`"
            ) from error

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
