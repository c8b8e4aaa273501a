"""
Fine-tuning on the FSA benchmark with `Seq2SeqTrainer`: sentence in, text form of its opinions out (paper 1, arXiv
2412.18552, section 4.1 and appendix C; hyper-parameters as in its reference code).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from datasets import Dataset
from transformers import (
    DataCollatorForSeq2Seq,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    set_seed,
)

from hub_tools.evaluation.scoring import score_texts
from hub_tools.students.models import escape_newlines


TRAINING_SPLITS = ("train", "validation")


@dataclass
class Finetuning:
    """One run's hyper-parameters, the paper's by default."""

    epochs: int = 20
    lr: float = 3e-4
    batch_size: int = 16
    eval_batch_size: int = 64
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    max_length: int = 100
    num_beams: int = 1
    train_share: float = 1.0


def refuse_test_split(split: str) -> str:
    """
    Returns `split` if training may see it.

    Raises:
        ValueError: it is not `train` or `validation`: checkpoints are chosen on validation, never on test.
    """
    if split not in TRAINING_SPLITS:
        raise ValueError(f"Training reads only the splits {', '.join(TRAINING_SPLITS)}; '{split}' was asked for.")
    return split


class FSATrainer(Seq2SeqTrainer):
    """Seq2SeqTrainer with weight decay on every parameter, layer norms included, as in the reference code."""

    def get_decay_parameter_names(self, model: torch.nn.Module) -> list[str]:
        """All of them."""
        return [name for name, _ in model.named_parameters()]


def tokenise(rows: Sequence[Mapping], tokenizer: PreTrainedTokenizerBase) -> Dataset:
    """Benchmark rows → `input_ids, attention_mask, labels`, neither truncated nor padded."""
    inputs = tokenizer([escape_newlines(row["sentence"]) for row in rows])
    labels = tokenizer(text_target=[row["text"] for row in rows])["input_ids"]
    return Dataset.from_dict({**inputs, "labels": labels})


def decode(ids: np.ndarray, tokenizer: PreTrainedTokenizerBase, n: int) -> list[str]:
    """
    Generated ids (at least `n`, longest; padded with −100 by the trainer) → `n` texts.

    Several processes fill up their last batches with rows from the beginning, and these come after the `n`.
    """
    return tokenizer.batch_decode(np.where(ids[:n] < 0, tokenizer.pad_token_id, ids[:n]), skip_special_tokens=True)


def f1_on(rows: Sequence[Mapping], task: str, tokenizer: PreTrainedTokenizerBase) -> Callable:
    """The trainer's `compute_metrics` on `rows`: F1 by the paper's rule, which chooses the checkpoint, and strict."""

    def compute_metrics(evaluated: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
        scores = score_texts(
            decode(evaluated[0], tokenizer, len(rows)),
            [row["text"] for row in rows],
            [row["sentence"] for row in rows],
            None,
            None,
            task,
        )
        return {"f1": scores["f1"], "strict_f1": scores["strict_f1"]}

    return compute_metrics


def finetune(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    splits: Mapping[str, Sequence[Mapping]],
    task: str,
    seed: int,
    settings: Finetuning,
    folder: Path,
) -> tuple[FSATrainer, dict[str, float]]:
    """
    Trains on `splits["train"]` and keeps the epoch with the highest validation F1, the first of equals.

    Args:
        splits: benchmark rows of `train` and `validation`; any other split is refused.
        task: `tsa` or `asa`; also written to the model's configuration as `fsa_task`, so that whoever loads the
            student knows how to read what it writes.
        folder: for the best checkpoint of this run; overwritten.

    Returns:
        The trainer, holding the chosen model, and {"validation_f1", "train_loss", "seconds"}.
    """
    rows = {refuse_test_split(split): list(part) for split, part in splits.items()}
    set_seed(seed)
    if settings.train_share < 1:
        chosen = np.random.default_rng(seed).permutation(len(rows["train"]))
        rows["train"] = [rows["train"][index] for index in chosen[: int(len(chosen) * settings.train_share)]]
    model.config.fsa_task = task
    trainer = FSATrainer(
        model=model,
        args=training_arguments(settings, seed, folder),
        train_dataset=tokenise(rows["train"], tokenizer),
        eval_dataset=tokenise(rows["validation"], tokenizer),
        data_collator=DataCollatorForSeq2Seq(tokenizer, model=model, padding="longest"),
        processing_class=tokenizer,
        compute_metrics=f1_on(rows["validation"], task, tokenizer),
    )
    trainer.remove_callback(PrinterCallback)  # a line an epoch is too much for forty runs; the caller reports each
    outcome = trainer.train()
    best = trainer.state.best_metric
    return trainer, {
        "validation_f1": float(best) if best is not None else 0.0,
        "train_loss": float(outcome.training_loss),
        "seconds": float(outcome.metrics["train_runtime"]),
    }


def training_arguments(settings: Finetuning, seed: int, folder: Path) -> Seq2SeqTrainingArguments:
    """
    The trainer's arguments; bf16 on a GPU only, since CPUs without bf16 units lose by it.

    Raises:
        ValueError: the processes cannot share a batch of `settings.batch_size` evenly.
    """
    gpu = torch.cuda.is_available()
    processes = PartialState().num_processes
    if settings.batch_size % processes:
        raise ValueError(f"batch_size {settings.batch_size} cannot be shared by {processes} processes; change either.")
    return Seq2SeqTrainingArguments(
        output_dir=str(folder),
        num_train_epochs=settings.epochs,
        learning_rate=settings.lr,
        lr_scheduler_type="linear",
        warmup_steps=0,
        optim="adamw_torch",
        adam_epsilon=1e-6,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        per_device_train_batch_size=settings.batch_size // processes,
        per_device_eval_batch_size=settings.eval_batch_size,
        predict_with_generate=True,
        generation_max_length=settings.max_length,
        generation_num_beams=settings.num_beams,
        eval_strategy="epoch",
        save_strategy="best",
        save_total_limit=1,
        save_only_model=True,
        load_best_model_at_end=True,
        metric_for_best_model="f1",
        greater_is_better=True,
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        bf16=gpu,
        use_cpu=not gpu,
        dataloader_pin_memory=gpu,
        seed=seed,
        data_seed=seed,
    )


def predict(trainer: FSATrainer, tokenizer: PreTrainedTokenizerBase, rows: Sequence[Mapping]) -> list[str]:
    """Greedy (or beam) text forms for `rows`, in their order; the longest sentences share a batch, to pad less."""
    order = sorted(range(len(rows)), key=lambda index: -len(rows[index]["sentence"]))
    trainer.compute_metrics = None
    ids = trainer.predict(tokenise([rows[index] for index in order], tokenizer)).predictions
    texts: list[str] = [""] * len(rows)
    for index, text in zip(order, decode(ids, tokenizer, len(rows)), strict=True):
        texts[index] = text
    return texts
