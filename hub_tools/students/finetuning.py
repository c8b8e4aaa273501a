"""
Fine-tuning on the FSA benchmark: sentence in, text form of its opinions out (paper 1, arXiv 2412.18552, section 4.1
and appendix C; hyper-parameters as in its reference code). Epochs, random batches, their gradients, and a validation
by F1 after every epoch are the same as there; what is faster is how a batch is laid out (`packing`), how validation is
decoded (`decoding`), and the optimiser's fused kernel.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from torch.nn.parallel import DistributedDataParallel
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed

from hub_tools.evaluation.scoring import score_texts
from hub_tools.students.batching import training_batches
from hub_tools.students.decoding import write
from hub_tools.students.dropout import quicken_dropout
from hub_tools.students.models import escape_newlines
from hub_tools.students.packing import Encoded, SummedLoss, packed, packs, padded


TRAINING_SPLITS = ("train", "validation")


@dataclass
class Finetuning:
    """One run's hyper-parameters, the paper's by default."""

    epochs: int = field(default=20, metadata={"help": "passes over train; each ends with a validation"})
    lr: float = field(default=3e-4, metadata={"help": "learning rate at the start; it falls linearly to 0"})
    batch_size: int = field(default=16, metadata={"help": "sentences a step, of all processes together"})
    eval_batch_size: int = field(
        default=64, metadata={"help": "sentences decoded together; more where they are short"}
    )
    weight_decay: float = field(default=0.01, metadata={"help": "decoupled, on every parameter"})
    max_grad_norm: float = field(default=1.0, metadata={"help": "gradients are clipped to this norm"})
    max_length: int = field(default=100, metadata={"help": "tokens of an output, at most"})
    test_num_beams: int = field(default=1, metadata={"help": "beams on the test set; validation is always greedy"})

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "eval_batch_size", "max_length", "test_num_beams"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, found {getattr(self, name)}.")
        if self.lr < 0:
            raise ValueError(f"lr must be at least 0, found {self.lr}.")


@dataclass(frozen=True)
class Epoch:
    """What an epoch came to; times in seconds."""

    f1: float  # on validation, by the paper's rule
    strict_f1: float
    loss: float  # on train, per token
    train_seconds: float
    validation_seconds: float


@dataclass(frozen=True)
class Finetuned:
    """The student of the epoch with the highest validation F1, the first of equals, and how all epochs went."""

    model: PreTrainedModel
    epochs: list[Epoch]
    steps: int

    @property
    def validation_f1(self) -> float:
        """Of the epoch that was kept."""
        return max(epoch.f1 for epoch in self.epochs)

    def facts(self) -> dict[str, float | list[float]]:
        """What is kept of the run besides the student."""
        train, validation = (
            sum(getattr(epoch, f"{part}_seconds") for epoch in self.epochs) for part in ("train", "validation")
        )
        return {
            "validation_f1": self.validation_f1,
            "validation_f1_by_epoch": [epoch.f1 for epoch in self.epochs],
            "train_loss": sum(epoch.loss for epoch in self.epochs) / len(self.epochs),
            "seconds": train + validation,
            "validation_seconds": validation,
        }


def refuse_test_split(split: str) -> str:
    """
    Returns `split` if training may see it.

    Raises:
        ValueError: it is not `train` or `validation`: checkpoints are chosen on validation, never on test.
    """
    if split not in TRAINING_SPLITS:
        raise ValueError(f"Training reads only the splits {', '.join(TRAINING_SPLITS)}; '{split}' was asked for.")
    return split


def draw_share(rows: Sequence[Mapping], share: float, seed: int) -> list[Mapping]:
    """
    The share of the training sentences that a data-scarce run has, drawn under its seed, at least one.

    Raises:
        ValueError: `share` is not in (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"a share of train must be above 0 and at most 1, found {share}.")
    if share == 1:
        return list(rows)
    chosen = np.random.default_rng(seed).permutation(len(rows))
    return [rows[index] for index in chosen[: max(1, int(len(rows) * share))]]


def encode(rows: Sequence[Mapping], tokenizer: PreTrainedTokenizerBase) -> list[Encoded]:
    """Benchmark rows → tokens of their `input` (without one: of the sentence) and of their text; nothing is cut."""
    inputs = tokenizer([escape_newlines(row.get("input", row["sentence"])) for row in rows])["input_ids"]
    targets = tokenizer(text_target=[row["text"] for row in rows])["input_ids"]
    return list(zip(inputs, targets, strict=True))


def finetune(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    splits: Mapping[str, Sequence[Mapping]],
    task: str,
    seed: int,
    settings: Finetuning,
    hear: Callable[[Epoch], None] = lambda epoch: None,
) -> Finetuned:
    """
    Trains on `splits["train"]` and keeps the epoch with the highest validation F1, the first of equals.

    bf16 on a GPU only, since CPUs without bf16 units lose by it. Under `accelerate launch` with several processes,
    all of them call this and share each batch; all get the same outcome.

    Args:
        splits: benchmark rows of `train` and `validation`; any other split is refused.
        task: one of `hub_tools.opinions.TASKS`; also written to the model's configuration as `fsa_task`, so that
            whoever loads the student knows how to read what it writes.
        hear: is told of each epoch as it ends.

    Raises:
        ValueError: another split, one of the two without rows, or the processes cannot share a batch of
            `settings.batch_size` evenly.
        FloatingPointError: the loss is not a number any more.
    """
    rows = {refuse_test_split(split): list(part) for split, part in splits.items()}
    if empty := [split for split in TRAINING_SPLITS if not rows.get(split)]:
        raise ValueError(f"Fine-tuning needs rows of {' and '.join(TRAINING_SPLITS)}; none of {' and '.join(empty)}.")
    if settings.batch_size % PartialState().num_processes:
        found = f"batch_size {settings.batch_size} cannot be shared by {PartialState().num_processes} processes"
        raise ValueError(f"{found}; change either.")
    set_seed(seed)
    model.config.fsa_task = task
    train, validation = (encode(rows[split], tokenizer) for split in TRAINING_SPLITS)
    training = Training(model, tokenizer, train, settings, seed)
    epochs, best = [], {}
    for number in range(settings.epochs):
        start = time.perf_counter()
        loss = training.epoch(number)
        trained = time.perf_counter()
        scores = validate(model, tokenizer, rows["validation"], validation, task, settings)
        epochs.append(Epoch(scores["f1"], scores["strict_f1"], loss, trained - start, time.perf_counter() - trained))
        if epochs[-1].f1 > max((epoch.f1 for epoch in epochs[:-1]), default=-1.0):
            best = {name: weight.detach().to("cpu", copy=True) for name, weight in model.state_dict().items()}
        hear(epochs[-1])
    model.load_state_dict(best)
    return Finetuned(model.eval(), epochs, training.step)


class Training:
    """The optimiser's side of a run: AdamW with weight decay on every parameter, linear to 0, clipped gradients."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        rows: Sequence[Encoded],
        settings: Finetuning,
        seed: int,
    ):
        self.state, self.settings, self.rows, self.seed = PartialState(), settings, rows, seed
        self.pad, self.start = tokenizer.pad_token_id, model.config.decoder_start_token_id
        self.model = model.to(self.state.device)
        quicken_dropout(self.model)
        self.packs = packs(model, rows[: settings.batch_size], self.pad)
        self.loss: torch.nn.Module = SummedLoss(self.model)
        if self.state.num_processes > 1:
            self.loss = DistributedDataParallel(self.loss)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), settings.lr, eps=1e-6, weight_decay=settings.weight_decay, fused=True
        )
        self.step = 0
        self.steps = settings.epochs * -(-len(rows) // settings.batch_size)

    def epoch(self, number: int) -> float:
        """One pass over the rows; the mean loss per target token."""
        self.model.train()
        total = torch.zeros((), device=self.state.device)
        for batch in training_batches(len(self.rows), self.settings.batch_size, self.seed, number):
            total += self.update(batch)
        if self.state.num_processes > 1:
            torch.distributed.all_reduce(total)
        loss = float(total) / sum(len(target) for _, target in self.rows)
        if loss != loss:
            raise FloatingPointError(f"the loss is not a number in epoch {number + 1}; lower lr {self.settings.lr}.")
        return loss

    def update(self, batch: Sequence[int]) -> torch.Tensor:
        """One step on the sentences of `batch`; their loss, summed over this process's target tokens."""
        own = batch[self.state.process_index :: self.state.num_processes]
        # A last batch may have none left for this process, which reads one all the same, to no effect.
        chosen = [self.rows[index] for index in own or batch[:1]]
        tensors = packed(chosen, self.pad, self.start) if self.packs else padded(chosen, self.pad)
        tensors = {name: tensor.to(self.state.device) for name, tensor in tensors.items()}
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.lr * (1 - self.step / self.steps)
        with torch.autocast(self.state.device.type, torch.bfloat16, enabled=self.state.device.type == "cuda"):
            loss = self.loss(tensors) * bool(own)
        # DistributedDataParallel takes the mean over the processes, where the sum is meant
        tokens = sum(len(self.rows[index][1]) for index in batch) / self.state.num_processes
        (loss / tokens).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        return loss.detach()


def validate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Mapping],
    encoded: Sequence[Encoded],
    task: str,
    settings: Finetuning,
) -> dict[str, float]:
    """F1 on `rows`, decoded greedily, by the paper's rule, which chooses the checkpoint, and by the strict one."""
    texts = _write_all(model, tokenizer, [source for source, _ in encoded], 1, settings)
    scores = score_texts(texts, [row["text"] for row in rows], [row["sentence"] for row in rows], None, None, task)
    return {"f1": scores["f1"], "strict_f1": scores["strict_f1"]}


def predict(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: Sequence[Mapping], settings: Finetuning
) -> list[str]:
    """Text forms for test rows, in their order, with `settings.test_num_beams` beams."""
    sources = [source for source, _ in encode(rows, tokenizer)]
    return _write_all(model, tokenizer, sources, settings.test_num_beams, settings)


def _write_all(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    sources: Sequence[list[int]],
    num_beams: int,
    settings: Finetuning,
) -> list[str]:
    """What the student writes for each, the processes sharing the batches."""
    state = PartialState()
    with torch.autocast(state.device.type, torch.bfloat16, enabled=state.device.type == "cuda"):
        texts = write(
            model.to(state.device),
            tokenizer,
            sources,
            max_length=settings.max_length,
            num_beams=num_beams,
            batch_size=settings.eval_batch_size,
            share=slice(state.process_index, None, state.num_processes),
        )
    if state.num_processes > 1:
        texts = {index: text for part in gather_object([texts]) for index, text in part.items()}
    return [texts[index] for index in range(len(sources))]
