"""Where a student comes from: a seq2seq checkpoint on the Hub, or fresh weights with a tokenizer trained here."""

import json
import logging
import string
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import Unigram
from tokenizers.trainers import UnigramTrainer
from transformers import (
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    T5Config,
    T5ForConditionalGeneration,
    T5Tokenizer,
    set_seed,
)


logger = logging.getLogger(__name__)

NEWLINE = "[NL]"
SPECIAL_PIECES = ["<pad>", "</s>", "<unk>"]  # ids 0, 1, 2, as in every T5


def escape_newlines(text: str) -> str:
    """T5's vocabulary has no line break; the paper's reference code writes it as the token `[NL]` on both sides."""
    return text.replace("\r\n", "\n").replace("\n", NEWLINE)


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> T5Tokenizer:
    """
    A Unigram tokenizer of T5's shape, trained on `texts` (line breaks already escaped), for a student without one.

    Args:
        texts: what the student will read and write.
        vocab_size: pieces in all, `<pad> </s> <unk> [NL]` included; the result may be smaller on little text.

    Raises:
        ValueError: `vocab_size` is less than the number of different signs.
    """
    unigram = Tokenizer(Unigram())
    unigram.normalizer = normalizers.Replace(NEWLINE, " ")
    unigram.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")]
    )
    unigram.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    trainer = UnigramTrainer(
        vocab_size=vocab_size - 1,
        special_tokens=SPECIAL_PIECES,
        unk_token="<unk>",
        # Text forms need "|" and ";" whatever the reviews hold; an unknown sign could never be read or written.
        initial_alphabet=[sign for sign in string.printable if not sign.isspace()],
        show_progress=False,
    )
    try:
        unigram.train_from_iterator(texts, trainer)
    except Exception as error:  # the library raises nothing narrower
        raise ValueError(f"vocab_size {vocab_size} is too small for these texts: {error}.") from error
    vocabulary = json.loads(unigram.to_str())["model"]["vocab"]  # the scores show only in the JSON form
    # The trainer sums in any order and leaves ties as its hash tables have them; the same texts shall give the same
    # ids, or a seed would not decide a student.
    special, learned = vocabulary[: len(SPECIAL_PIECES)], sorted(vocabulary[len(SPECIAL_PIECES) :])
    return T5Tokenizer(vocab=[(piece, round(score, 6)) for piece, score in special + learned], extra_ids=0)


def fresh_student(
    texts: Iterable[str],
    *,
    vocab_size: int,
    d_model: int,
    d_ff: int,
    num_layers: int,
    num_heads: int,
    seed: int,
    dropout_rate: float = 0.1,
) -> tuple[T5ForConditionalGeneration, T5Tokenizer]:
    """A T5 with random weights, `num_layers` on either side, and a tokenizer trained on `texts`."""
    tokenizer = train_tokenizer(texts, vocab_size)
    tokenizer.add_tokens([NEWLINE])
    set_seed(seed)
    model = T5ForConditionalGeneration(
        T5Config(
            vocab_size=len(tokenizer),
            d_model=d_model,
            d_kv=d_model // num_heads,
            d_ff=d_ff,
            num_layers=num_layers,
            num_heads=num_heads,
            dropout_rate=dropout_rate,
            decoder_start_token_id=0,
            pad_token_id=0,
            eos_token_id=1,
        )
    )
    return model, tokenizer


def load_student(model_id: str, revision: str | None = None) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """
    A seq2seq checkpoint and its tokenizer from the Hub or a folder, with `[NL]` known to both.

    Only safetensors are read and no code of the checkpoint is run. As in the reference code the embedding is resized
    to the tokenizer's length, which for t5-base means 32,101 rows instead of the padded 32,128.
    """
    tokenizer = AutoTokenizer.from_pretrained(model_id, revision=revision)
    model = AutoModelForSeq2SeqLM.from_pretrained(model_id, revision=revision, use_safetensors=True)
    if tokenizer.add_tokens([NEWLINE]):
        model.resize_token_embeddings(len(tokenizer))
    return model, tokenizer


def save_student(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Weights as safetensors, configuration and tokenizer, as `from_pretrained` reads them."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def split_revision(reference: str) -> tuple[str, str | None]:
    """`"me/t5@step-0"` → `("me/t5", "step-0")`; without `@` the revision is None, which means the newest."""
    repo_id, _, revision = reference.partition("@")
    return repo_id, revision or None
