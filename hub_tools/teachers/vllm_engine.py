"""vLLM's engine, started so that it suits a long run: quiet, deaf to Ctrl-C, heard when it dies, gone with its run."""

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any

from .settings import TeacherSettings
from .vllm_leash import leash


logger = logging.getLogger(__name__)

# vLLM logs at length, and tells its makers what it runs on; neither unless the user says so.
QUIET = {"VLLM_LOGGING_LEVEL": "WARNING", "VLLM_NO_USAGE_STATS": "1", "VLLM_DO_NOT_TRACK": "1"}


def start_engine(settings: TeacherSettings, revision: str) -> Any:
    """A `vllm.LLM`: weights loaded, from safetensors only, and cache allocated.

    Args:
        settings: `model`, `seed`, and what is marked vllm are read.
        revision: of the model and its tokenizer.

    Raises:
        ImportError: vLLM is not installed.
        RuntimeError: vLLM cannot run this model with these settings.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        from vllm import LLM
    except ImportError as error:
        install = 'pip install "fsa-distill[vllm]"; on a CPU, `make vllm`'
        raise ImportError(f"teacher 'vllm' needs vLLM ({error}): {install}") from error
    logger.info("vLLM loads %s at %s", settings.model, revision)
    leash()
    try:
        with _deaf_to_interrupts():
            llm = LLM(
                settings.model,
                revision=revision,
                tokenizer_revision=revision,
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
