"""
How fast an epoch of fine-tuning is, beside the shape of paper 1's reference code: random batches padded to their
longest, AdamW, and after each epoch greedy `generate` over validation in file order, 64 sentences at a time.

python tests/benchmarks/finetuning_speed.py [--shape small] [--config asa-rest16] [--rounds 3]

Both start from the same weights: random ones of the shape, after some epochs in the reference's way that are not
timed, so that outputs end where trained ones do. Same sentences, epochs, learning rate, one thread; the same random
batches and no dropout, so that F1 must come out the same but for rounding. Processor time, since the machine may be
shared. Needs the official data (../shared/data, or FSA_DATA).
"""

import argparse
import copy
import os
import statistics
import time
from pathlib import Path

import torch
from transformers import T5Config, T5ForConditionalGeneration

from hub_tools.benchmarks.fsa import build
from hub_tools.evaluation.scoring import score_texts
from hub_tools.students.batching import training_batches
from hub_tools.students.finetuning import Finetuning, encode, finetune
from hub_tools.students.models import train_tokenizer


DATA = Path(os.environ.get("FSA_DATA") or Path(__file__).resolve().parents[2].parent / "shared" / "data")
SHAPES = {
    "small": {"d_model": 512, "d_kv": 64, "d_ff": 2048, "num_layers": 6, "num_heads": 8, "vocab_size": 32_101},
    "real": {"d_model": 128, "d_kv": 64, "d_ff": 384, "num_layers": 2, "num_heads": 2, "vocab_size": 5_000},
}


def the_references_way(model, tokenizer, rows, task, seed, settings) -> list[tuple[float, float, float]]:
    """(seconds of training, seconds of validation, validation F1) of each epoch."""
    encoded = encode(rows["train"], tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), settings.lr, eps=1e-6, weight_decay=settings.weight_decay)
    steps, step, epochs = settings.epochs * -(-len(encoded) // settings.batch_size), 0, []
    for number in range(settings.epochs):
        start = time.process_time()
        model.train()
        for chosen in training_batches(len(encoded), settings.batch_size, seed, number):
            sources, targets = ([torch.tensor(encoded[index][side]) for index in chosen] for side in (0, 1))
            inputs = torch.nn.utils.rnn.pad_sequence(sources, batch_first=True)
            labels = torch.nn.utils.rnn.pad_sequence(targets, batch_first=True, padding_value=-100)
            for group in optimizer.param_groups:
                group["lr"] = settings.lr * (1 - step / steps)
            model(input_ids=inputs, attention_mask=(inputs != 0).long(), labels=labels).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad()
            step += 1
        trained = time.process_time()
        model.eval()
        texts = []
        for first in range(0, len(rows["validation"]), 64):
            sentences = [row["sentence"] for row in rows["validation"][first : first + 64]]
            batch = tokenizer(sentences, padding=True, return_tensors="pt")
            ids = model.generate(**batch, max_length=settings.max_length, num_beams=1, do_sample=False)
            texts += tokenizer.batch_decode(ids, skip_special_tokens=True)
        gold, sentences = ([row[key] for row in rows["validation"]] for key in ("text", "sentence"))
        scores = score_texts(texts, gold, sentences, task=task)
        epochs.append((trained - start, time.process_time() - trained, scores["f1"]))
    return epochs


def our_way(model, tokenizer, rows, task, seed, settings) -> list[tuple[float, float, float]]:
    """The same of `finetune`, whose clock is read as processor time."""
    clock, time.perf_counter = time.perf_counter, time.process_time
    try:
        student = finetune(model, tokenizer, rows, task, seed, settings)
    finally:
        time.perf_counter = clock
    return [(epoch.train_seconds, epoch.validation_seconds, epoch.f1) for epoch in student.epochs]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--config", default="asa-rest16")
    parser.add_argument("--sentences", type=int, default=320, help="of train; validation has a quarter as many")
    parser.add_argument("--warm_up", type=int, default=6, help="epochs before the clock starts")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    splits, task = build(DATA, options.config), options.config.split("-")[0]
    rows = {"train": splits["train"][: options.sentences]}
    rows["validation"] = splits["validation"][: options.sentences // 4]
    texts = [row[key] for row in splits["train"] for key in ("sentence", "text")]
    tokenizer = train_tokenizer(texts, 5_000)
    torch.manual_seed(0)
    start = {"dropout_rate": options.dropout, "decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1}
    model = T5ForConditionalGeneration(T5Config(**SHAPES[options.shape], **start))
    warm_up = Finetuning(epochs=options.warm_up, lr=options.lr, max_length=2)
    the_references_way(model, tokenizer, rows, task, 0, warm_up)
    settings = Finetuning(epochs=options.epochs, lr=options.lr)

    count = options.epochs * len(rows["train"])
    ratios: list[list[float]] = []
    for seed in range(options.rounds):
        found = {}
        for name, way in (("reference", the_references_way), ("ours", our_way)):
            torch.manual_seed(seed)
            epochs = way(copy.deepcopy(model), tokenizer, rows, task, seed, settings)
            train, validation = (sum(epoch[part] for epoch in epochs) for part in (0, 1))
            found[name] = train, validation
            print(
                f"round {seed}, {name:9}: {count / (train + validation):6.1f} sentences/s,"
                f" validation {validation / (train + validation):4.0%} of the time,"
                f" F1 {100 * max(epoch[2] for epoch in epochs):.2f}",
                flush=True,
            )
        (train, validation), (our_train, our_validation) = found["reference"], found["ours"]
        whole = (train + validation) / (our_train + our_validation)
        ratios.append([whole, train / our_train, validation / our_validation])
    medians = [statistics.median(column) for column in zip(*ratios, strict=True)]
    print("an epoch {:.2f} × (training {:.2f} ×, validation {:.2f} ×), medians".format(*medians))


if __name__ == "__main__":
    main()
