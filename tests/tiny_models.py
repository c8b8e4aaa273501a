"""Tiny T5 students made offline, in milliseconds, for tests that need a real checkpoint but not a good one.

folder = save_tiny_student(tmp_path / "student", task="tsa")
student = load_student(str(folder))
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from transformers import GenerationConfig, T5Config, T5ForConditionalGeneration, T5Tokenizer


SENTENCES = (
    "The pasta was superb but the waiter ignored us.",
    "Battery life is great, the screen is dim.",
    "It was okay | nothing special ; average.",
)
POLARITY_WORDS = ("positive", "neutral", "negative", "conflict", "food quality", "service general")


def tiny_tokenizer(texts: Iterable[str] = SENTENCES, *, newline_token: bool = True) -> T5Tokenizer:
    """A Unigram T5 tokenizer that knows every printable ASCII character, and the whole words of `texts`.

    The words make encodings short; the characters make any ASCII text readable without <unk>.
    """
    words = {word for text in (*texts, *POLARITY_WORDS) for word in text.split()}
    characters = {chr(code) for code in range(33, 127)}
    pieces = sorted({f"▁{word}" for word in words} | {f"▁{character}" for character in characters})
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -6.0)]
    vocab += [(piece, -4.0) for piece in pieces] + [(character, -8.0) for character in sorted(characters)]
    tokenizer = T5Tokenizer(vocab=vocab)
    if newline_token:
        tokenizer.add_tokens(["[NL]"])
    return tokenizer


def tiny_model(tokenizer: T5Tokenizer, *, seed: int = 0, d_model: int = 32) -> T5ForConditionalGeneration:
    """A random T5 of two layers a side (about 40 thousand parameters at `d_model` 32)."""
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=d_model,
        d_kv=d_model // 2,
        d_ff=2 * d_model,
        num_layers=2,
        num_heads=2,
        dropout_rate=0.0,
        decoder_start_token_id=tokenizer.pad_token_id,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    torch.manual_seed(seed)
    model = T5ForConditionalGeneration(config).eval()
    model.generation_config = GenerationConfig(
        decoder_start_token_id=tokenizer.pad_token_id,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return model


def save_tiny_student(
    folder: Path,
    *,
    task: str | None = None,
    texts: Iterable[str] = SENTENCES,
    newline_token: bool = True,
    lessons: Sequence[tuple[str, str]] = (),
    seed: int = 0,
) -> Path:
    """Save model and tokenizer to `folder` and return it.

    `task` is written to config.json as `fsa_task`, as fine-tuning does. `lessons` are (input, target) pairs that the
    model learns by heart first (a few seconds); without them it is random.
    """
    tokenizer = tiny_tokenizer([*texts, *(text for pair in lessons for text in pair)], newline_token=newline_token)
    model = tiny_model(tokenizer, seed=seed, d_model=64 if lessons else 32)
    if lessons:
        _learn_by_heart(model, tokenizer, lessons)
    if task is not None:
        model.config.fsa_task = task
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _learn_by_heart(
    model: T5ForConditionalGeneration, tokenizer: T5Tokenizer, lessons: Sequence[tuple[str, str]], steps: int = 300
) -> None:
    batch = tokenizer([source for source, _ in lessons], padding=True, return_tensors="pt")
    labels = tokenizer([target for _, target in lessons], padding=True, return_tensors="pt").input_ids
    labels[labels == tokenizer.pad_token_id] = -100
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    model.train()
    for _ in range(steps):
        loss = model(**batch, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if loss.item() < 0.03:
            break
    model.eval()
