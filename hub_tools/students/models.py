"""Where a student comes from: a seq2seq checkpoint on the Hub, or fresh weights with a tokenizer trained here."""

import json
import logging
import string
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import Unigram
from tokenizers.trainers import UnigramTrainer
from transformers import (
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    T5Config,
    T5ForConditionalGeneration,
    T5Tokenizer,
    set_seed,
)
from transformers.utils import cached_file, extract_commit_hash


logger = logging.getLogger(__name__)

NEWLINE = "[NL]"
SPECIAL_PIECES = ["<pad>", "</s>", "<unk>"]  # ids 0, 1, 2, as in every T5
SENTINELS = 100  # as many as every T5 has
FLOOR = 1e-2  # how far above the lowest score of a trained vocabulary signs stand that no text holds: 1e-4 each
SEQ2SEQ = "T5, T5 v1.1, Flan-T5, mT5, ByT5, UMT5, LongT5, BART or another sequence-to-sequence checkpoint"


def sentinel(number: int) -> str:
    """T5's token for the span of that number which was taken out of a text (span corruption)."""
    return f"<extra_id_{number}>"


def escape_newlines(text: str) -> str:
    """T5's vocabulary has no line break; the paper's reference code writes it as the token `[NL]` on both sides."""
    return text.replace("\r\n", "\n").replace("\n", NEWLINE)


def train_tokenizer(texts: Iterable[str], vocab_size: int, sentinels: int = 0) -> T5Tokenizer:
    """
    A Unigram tokenizer of T5's shape, trained on `texts` (line breaks already escaped), for a student without one.

    Args:
        texts: what the student will read and write.
        vocab_size: pieces in all, `<pad> </s> <unk> [NL]` included; the result may be smaller on little text.
        sentinels: how many of `<extra_id_0>` … come on top, the last one first, as in T5: texts are cut into the
            same pieces with and without them.

    Raises:
        ValueError: `vocab_size` is less than the number of different signs.
        Exception: whatever `texts` raises.
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
    failed: list[Exception] = []  # while the texts were read, which is no fault of the size

    def watched() -> Iterator[str]:
        try:
            yield from texts
        except Exception as error:
            failed.append(error)
            raise

    try:
        unigram.train_from_iterator(watched(), trainer)
    except Exception as error:  # the library raises nothing narrower
        if failed:
            raise failed[0] from None
        raise ValueError(f"vocab_size {vocab_size} is too small for these texts: {error}.") from error
    vocabulary = json.loads(unigram.to_str())["model"]["vocab"]  # the scores show only in the JSON form
    # The trainer sums in any order and leaves ties as its hash tables have them; the same texts shall give the same
    # ids, or a seed would not decide a student.
    special, learned = vocabulary[: len(SPECIAL_PIECES)], sorted(vocabulary[len(SPECIAL_PIECES) :])
    pieces = [(piece, round(score, 6)) for piece, score in special + _untied(learned)]
    marks = [(sentinel(number), 0.0) for number in reversed(range(sentinels))]
    return T5Tokenizer(vocab=pieces + marks, extra_ids=sentinels)


def _untied(pieces: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """
    The same pieces, in their order, with scores that the same texts always give.

    Signs that no text holds stand at the trainer's floor, each a little below the last in the order of a hash table:
    whichever came first, in one training "{" has the higher score and in the next "}". Among single signs so far down
    the scores are dealt out anew, in the order of the signs.
    """
    floor = min((score for _, score in pieces), default=0.0) + FLOOR
    low = [place for place, (piece, score) in enumerate(pieces) if len(piece) == 1 and score <= floor]
    scores = sorted((pieces[place][1] for place in low), reverse=True)
    untied = list(pieces)
    for place, score in zip(low, scores, strict=True):
        untied[place] = (pieces[place][0], score)
    return untied


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
    sentinels: int = 0,
) -> tuple[T5ForConditionalGeneration, T5Tokenizer]:
    """
    A T5 with random weights, `num_layers` on either side, and a tokenizer trained on `texts`.

    `sentinels` (T5 has 100) are for span corruption. A student that has none can be given them later, without another
    change (`hub_tools.students.span_corruption.with_sentinels`), so that it starts as the one it is compared with.

    Raises:
        ValueError: `vocab_size` is too small for the signs of `texts`.
    """
    tokenizer = train_tokenizer(texts, vocab_size, sentinels)
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
    A seq2seq checkpoint and its tokenizer from the Hub or a folder, with `[NL]` known to both, in float32.

    Only safetensors are read and no code of the checkpoint is run. As in the reference code the embedding is resized
    to the tokenizer's length, which for t5-base means 32,101 rows instead of the padded 32,128; where the head is not
    tied to the embedding (T5 v1.1, Flan-T5) it is resized alike. Where that adds rows, they are the same ones for
    every process and on every call.

    Raises:
        ValueError: no sequence-to-sequence checkpoint, weights that are missing, or code to be run.
        OSError: no such checkpoint, or one without safetensors.
    """
    # One commit for all files. Asked for a commit, transformers does not have a repo without safetensors converted
    # either, for which it would send the token to a Space.
    revision = extract_commit_hash(cached_file(model_id, "config.json", revision=revision), None) or revision
    config = AutoConfig.from_pretrained(model_id, revision=revision, trust_remote_code=False)
    if type(config) not in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING:
        raise ValueError(
            f"{model_id} is a {config.model_type} checkpoint, which does not read a text with an encoder and write "
            f"another with a decoder. A student must: {SEQ2SEQ}."
        )
    tokenizer = AutoTokenizer.from_pretrained(model_id, revision=revision, trust_remote_code=False)
    model = _load_weights(model_id, revision)
    if tokenizer.add_tokens([NEWLINE]) or _rows(tokenizer) > model.get_input_embeddings().num_embeddings:
        resize_rows(model, tokenizer)
    return model, tokenizer


def _load_weights(model_id: str, revision: str | None) -> PreTrainedModel:
    """In float32, whatever they were saved as: the optimiser's steps are smaller than a bf16 weight can tell."""
    try:
        model, found = AutoModelForSeq2SeqLM.from_pretrained(
            model_id,
            revision=revision,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except OSError as error:
        if "file named model.safetensors" not in str(error):
            raise
        raise OSError(
            f"{model_id} has no model.safetensors, and pickled weights (pytorch_model.bin) are not read: they can run "
            "code. Name a revision that has them (many repos have one from the safetensors bot: "
            f"{model_id}@refs/pr/<number>), or save the checkpoint anew with save_pretrained."
        ) from error
    if missing := sorted(found["missing_keys"]):
        raise ValueError(
            f"{model_id} lacks {len(missing)} of the weights of a {model.config.model_type}, {missing[0]} among them "
            f"(an encoder alone?); they would be random. Choose a whole checkpoint: {SEQ2SEQ}."
        )
    if _head_apart(model) and model.config.model_type != "umt5":  # which scales what it decodes by this
        # To transformers 5 every T5 has its head tied to the embedding, T5 v1.1 and Flan-T5 too. What a checkpoint
        # holds apart it loads apart, but whatever ties weights later (resizing, FSDP) would overwrite the head.
        model.config.tie_word_embeddings = False
    return model


def resize_rows(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """As many rows of embedding and head as the tokenizer has ids; rows that are new are drawn under a fixed seed."""
    told = model.config.tie_word_embeddings
    model.config.tie_word_embeddings = told and not _head_apart(model)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model.resize_token_embeddings(_rows(tokenizer))
    model.config.tie_word_embeddings = told


def _head_apart(model: PreTrainedModel) -> bool:
    """Whether the head has weights of its own, whatever the config says."""
    return model.get_output_embeddings().weight is not model.get_input_embeddings().weight


def _rows(tokenizer: PreTrainedTokenizerBase) -> int:
    return max(tokenizer.get_vocab().values()) + 1


def save_student(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Weights as safetensors, configuration and tokenizer, as `from_pretrained` reads them."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def split_revision(reference: str) -> tuple[str, str | None]:
    """`"me/t5@step-0"` → `("me/t5", "step-0")`; without `@` the revision is None, which means the newest."""
    repo_id, _, revision = reference.partition("@")
    return repo_id, revision or None
