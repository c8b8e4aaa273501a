"""Any causal language model that transformers loads, on this machine, as a teacher.

Weights are read from safetensors only and no code from the model's repo is run.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, TopPLogitsWarper

from .chat import ChatTokenizer
from .request import Answers, Request, in_chunks, reply_row


BATCHES = 4  # of similar length are cut from one chunk; a kill costs at most these
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class TransformersTeacher:
    """A local causal LM.

    Args:
        model_id: Hub repo or folder.
        revision: branch, tag or commit; recorded is the commit it resolves to.
        max_new_tokens: the longest reply.
        temperature: 0 decodes greedily.
        batch_size: prompts at a time, of similar length.
        dtype: one of `DTYPES`.
        seed: of the sampling. Each request draws from its own generator, seeded by `seed` and its request_id, so
            neither the batch nor the order decides which random numbers it meets. Logits of one prompt may still
            differ in the last bits between batches, so a tie can fall differently: batch size 1 excludes this.
        top_p: sample from the likeliest tokens of so much probability.

    Raises:
        ValueError: an unknown dtype, or a number out of its range.
    """

    def __init__(
        self,
        model_id: str,
        revision: str = "main",
        max_new_tokens: int = 512,
        temperature: float = 0.0,
        batch_size: int = 8,
        dtype: str = "bfloat16",
        seed: int = 42,
        top_p: float = 1.0,
    ) -> None:
        if dtype not in DTYPES:
            raise ValueError(f"dtype {dtype!r}; allowed: {', '.join(DTYPES)}")
        if temperature < 0 or max_new_tokens < 1 or batch_size < 1 or not 0 < top_p <= 1:
            raise ValueError(
                f"temperature {temperature} must be at least 0, max_new_tokens {max_new_tokens} and batch_size "
                f"{batch_size} at least 1, top_p {top_p} above 0 and at most 1"
            )
        config = AutoConfig.from_pretrained(model_id, revision=revision)
        self.name = model_id.rstrip("/").split("/")[-1].lower()
        self.revision = getattr(config, "_commit_hash", None) or revision
        self.sampling = {"max_new_tokens": max_new_tokens, "temperature": temperature, "dtype": dtype}
        if temperature:
            self.sampling["seed"] = seed
            if top_p != 1:
                self.sampling["top_p"] = top_p
        self.model_id, self.batch_size = model_id, batch_size
        self.chat = ChatTokenizer(model_id, self.revision)

    @cached_property
    def model(self) -> Any:
        """The weights, on the GPU where there is one."""
        device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = DTYPES[self.sampling["dtype"]]
        model = AutoModelForCausalLM.from_pretrained(
            self.model_id, revision=self.revision, dtype=dtype, use_safetensors=True
        )
        # Its makers' other wishes, such as a repetition penalty, would decide replies without being recorded.
        model.generation_config = GenerationConfig(eos_token_id=model.generation_config.eos_token_id)
        return model.to(device).eval()

    @cached_property
    def stops(self) -> set[int]:
        """The tokens that end a reply."""
        stops = self.model.generation_config.eos_token_id
        return {self.chat.tokenizer.eos_token_id, *(stops if isinstance(stops, list) else [stops])} - {None}

    def replies(self, requests: Iterable[Request]) -> Iterator[Answers]:
        """One chunk of batches after another."""
        return in_chunks(lambda chunk: Answers(self.reply(chunk)), requests, self.batch_size * BATCHES)

    def reply(self, requests: Sequence[Request]) -> list[dict[str, str | int]]:
        """One reply row per request, in order; within, prompts of similar length share a batch."""
        if not requests:
            return []
        prompts = [self.chat.prompt(request.messages) for request in requests]
        encoded = self.chat.encode(prompts)
        order = sorted(range(len(requests)), key=lambda place: -len(encoded[place]))
        rows: dict[int, dict] = {}
        for start in range(0, len(order), self.batch_size):
            places = order[start : start + self.batch_size]
            batch = self.chat.tokenizer.pad({"input_ids": [encoded[place] for place in places]}, return_tensors="pt")
            replies = self._generate(batch.to(self.model.device), [requests[place] for place in places])
            for place, tokens in zip(places, replies, strict=True):
                rows[place] = self._row(requests[place], len(encoded[place]), tokens)
        return [rows[place] for place in range(len(requests))]

    @torch.inference_mode()
    def _generate(self, batch: Any, requests: list[Request]) -> list[list[int]]:
        """New tokens of each row, without what follows its stop token."""
        output = self.model.generate(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            max_new_tokens=self.sampling["max_new_tokens"],
            pad_token_id=self.chat.tokenizer.pad_token_id,
            do_sample=False,
            logits_processor=[_GumbelSampling(self.sampling, requests)] if self.sampling["temperature"] else [],
        )
        replies = []
        for tokens in output[:, batch["input_ids"].shape[1] :].tolist():
            stop = next((place + 1 for place, token in enumerate(tokens) if token in self.stops), len(tokens))
            replies.append(tokens[:stop])
        return replies

    def _row(self, request: Request, prompt_tokens: int, tokens: list[int]) -> dict[str, str | int]:
        finish = "stop" if tokens and tokens[-1] in self.stops else "length"
        text = self.chat.tokenizer.decode(tokens, skip_special_tokens=True)
        return reply_row(request, text, self.name, self.revision, self.sampling, finish, prompt_tokens, len(tokens))


class _GumbelSampling:
    """Sampling as an argmax: logits / temperature + Gumbel noise (the Gumbel-max trick), a generator per row."""

    def __init__(self, sampling: dict, requests: list[Request]) -> None:
        self.temperature, self.nucleus = sampling["temperature"], TopPLogitsWarper(sampling.get("top_p", 1.0))
        self.generators = []
        for request in requests:
            digest = hashlib.sha256(f"{sampling['seed']} {request.request_id}".encode()).digest()
            self.generators.append(torch.Generator().manual_seed(int.from_bytes(digest[:7])))

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        noise = torch.stack([torch.empty(scores.shape[1]).exponential_(generator=g) for g in self.generators])
        scores = scores.float() / self.temperature
        if self.nucleus.top_p < 1:
            scores = self.nucleus(input_ids, scores)
        return scores - noise.log().to(scores.device)
