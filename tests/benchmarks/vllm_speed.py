"""
How fast the vllm teacher is on this CPU: beside a bare `LLM.generate`, and beside `transformers.generate`.

.venv-vllm/bin/python tests/benchmarks/vllm_speed.py [--rounds 3]        # `make vllm` makes that environment

A random Llama of 27 million parameters, float32, made on the spot with a BPE tokenizer of our own prompts; 64 reviews
under the analysis prompt, whose beginning they share; 128 new tokens each. All ways in turn, round by round; medians.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from hub_tools.prompts import BUILDERS
from hub_tools.reviews.sample import generate
from hub_tools.teachers.request import Request, requests_for
from hub_tools.teachers.settings import TeacherSettings
from hub_tools.teachers.vllm_lm import VllmTeacher


PROMPTS, NEW_TOKENS = 64, 128
TEMPLATE = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}[assistant]"


def make_model(folder: Path, texts: list[str]) -> None:
    """The Llama and its tokenizer. Its stop token's logit is always 0, so it never stops before its time."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=8192,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=8192,
        hidden_size=512,
        intermediate_size=1376,
        num_hidden_layers=6,
        num_attention_heads=8,
        max_position_embeddings=2048,
        bos_token_id=0,
        eos_token_id=1,
        initializer_range=0.1,
    )
    model = LlamaForCausalLM(config)
    model.lm_head.weight.data[1] = 0
    model.save_pretrained(folder)


def by_transformers(model: Any, teacher: VllmTeacher, requests: list[Request], batch: int) -> list[list[int]]:
    """The new tokens, batch after batch in the order given."""
    prompts = teacher.chat.encode([teacher.chat.prompt(request.messages) for request in requests])
    replies = []
    for start in range(0, len(prompts), batch):
        padded = teacher.chat.tokenizer.pad({"input_ids": prompts[start : start + batch]}, return_tensors="pt")
        with torch.inference_mode():
            output = model.generate(
                input_ids=padded["input_ids"],
                attention_mask=padded["attention_mask"],
                max_new_tokens=NEW_TOKENS,
                do_sample=False,
                pad_token_id=1,
            )
        replies += output[:, padded["input_ids"].shape[1] :].tolist()
    return replies


def by_bare_vllm(llm: Any, prompts: list[list[int]]) -> list[list[int]]:
    """What one would write without a teacher; vLLM's detokenizer at work, as it is by default."""
    from vllm import SamplingParams, TokensPrompt

    parameters = SamplingParams(max_tokens=NEW_TOKENS, temperature=0)
    outputs = llm.generate([TokensPrompt(prompt_token_ids=tokens) for tokens in prompts], parameters, use_tqdm=False)
    return [output.outputs[0].token_ids for output in outputs]


def by_teacher(teacher: VllmTeacher, requests: list[Request]) -> list[str]:
    return [row["reply"] for answers in teacher.replies(iter(requests)) for row in answers.rows]


def cached_share(llm: Any, teacher: VllmTeacher, requests: list[Request]) -> float:
    """The share of prompt tokens that came from the prefix cache."""
    from vllm import SamplingParams, TokensPrompt

    llm.reset_prefix_cache()
    prompts = teacher.chat.encode([teacher.chat.prompt(request.messages) for request in requests])
    outputs = llm.generate(
        [TokensPrompt(prompt_token_ids=tokens) for tokens in prompts], SamplingParams(max_tokens=1), use_tqdm=False
    )
    return sum(output.num_cached_tokens for output in outputs) / sum(map(len, prompts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        lines = (Path(folder) / "reviews" / "restaurant.jsonl").read_text().splitlines()
        reviews = [json.loads(line) for line in lines[: 4 * PROMPTS]]
        texts = [
            message["content"] for row in reviews for build in BUILDERS.values() for message in build(row["text"])
        ]
        make_model(Path(folder) / "llama", texts)
        measure(str(Path(folder) / "llama"), reviews, rounds)


def measure(model_folder: str, reviews: list[dict], rounds: int) -> None:
    def teacher(chunk: int, **settings: Any) -> VllmTeacher:
        given = {"model": model_folder, "max_new_tokens": NEW_TOKENS, "dtype": "float32", "chunk": chunk}
        return VllmTeacher(TeacherSettings(teacher="vllm", **given, **settings))

    cached, plain = teacher(1024), teacher(1024, prefix_caching=False)
    by_16, by_32 = teacher(16), teacher(32)
    by_16.llm = by_32.llm = cached.llm
    plain_16 = teacher(16)
    plain_16.llm = plain.llm
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32).eval()
    for one in (cached, plain):
        assert one.llm  # before the threads are counted: its own are in other processes
    torch.set_num_threads(os.cpu_count() or 1)
    requests = list(
        requests_for(reviews[:PROMPTS], {"analysis": BUILDERS["analysis"]}, cached.name, "", cached.sampling)
    )
    prompts = cached.chat.encode([cached.chat.prompt(request.messages) for request in requests])
    ways: dict[str, Callable[[], list]] = {
        "transformers.generate, batch 16": lambda: by_transformers(model, cached, requests, 16),
        "vllm teacher, chunk 16": lambda: by_teacher(by_16, requests),
        "vllm teacher, chunk 16, no prefix caching": lambda: by_teacher(plain_16, requests),
        "transformers.generate, batch 32": lambda: by_transformers(model, cached, requests, 32),
        "vllm teacher, chunk 32": lambda: by_teacher(by_32, requests),
        "bare LLM.generate, all 64": lambda: by_bare_vllm(cached.llm, prompts),
        "vllm teacher, all 64": lambda: by_teacher(cached, requests),
        "vllm teacher, all 64, no prefix caching": lambda: by_teacher(plain, requests),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    replies: dict[str, list[str]] = {}
    for turn in range(-1, rounds):  # the first turn warms up
        for name, way in ways.items():
            cached.llm.reset_prefix_cache()
            start = time.perf_counter()
            result = way()
            taken = time.perf_counter() - start
            print(f"round {turn + 1}: {name}: {taken:.1f} s", file=sys.stderr, flush=True)
            if turn >= 0:
                seconds[name].append(taken)
            decode = cached.chat.tokenizer.decode
            replies[name] = [one if isinstance(one, str) else decode(one) for one in result]
    report(seconds, replies, sum(map(len, prompts)) / len(prompts))
    both = list(requests_for(reviews, BUILDERS, cached.name, "", cached.sampling))
    sorted_by_prompt = sorted(both, key=lambda request: request.prompt)
    print(
        f"\n{len(both)} requests, two prompts in turn: {cached_share(cached.llm, cached, both):.1%} of the prompts' "
        f"tokens from the cache; sorted by prompt: {cached_share(cached.llm, cached, sorted_by_prompt):.1%}"
    )


def report(seconds: dict[str, list[float]], replies: dict[str, list[str]], prompt_tokens: float) -> None:
    first = next(iter(replies))
    base = statistics.median(seconds[first])
    print(f"\n{PROMPTS} prompts of {prompt_tokens:.0f} tokens on average, {NEW_TOKENS} new tokens each\n")
    print(f"| | s (median) | new tokens/s | {first} = 1 | same replies |\n|---|---|---|---|---|")
    for name, taken in seconds.items():
        middle = statistics.median(taken)
        same = sum(a == b for a, b in zip(replies[name], replies[first], strict=True))
        rate = PROMPTS * NEW_TOKENS / middle
        print(f"| {name} | {middle:.1f} | {rate:,.0f} | {base / middle:.2f} | {same}/{PROMPTS} |")


if __name__ == "__main__":
    main()
