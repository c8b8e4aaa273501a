"""Texts out of a seq2seq student: what `generate` writes, in a fraction of its time.

Sentences of like length share a batch, short ones a large batch; and a row that has ended leaves its batch, where
`generate` computes it on until the longest one ends (most outputs are a few tokens long, the longest is often at the
bound). Greedy only; beams go through `generate`, and so does a model whose generation settings or cache are not
known here.
"""

from collections.abc import Iterator, Sequence

import torch
from transformers import DynamicCache, EncoderDecoderCache, PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_outputs import BaseModelOutput

from hub_tools.students.batching import decoding_batches


TOKENS_PER_ROW = 96  # a batch of n holds as many short sentences as fit into n rows of this length
GONE = 1 / 8  # the share of a batch's rows that must have ended before its caches are copied without them

# Generation settings that greedy search does not look at, or that are read below. Others ask for `generate`.
_KNOWN = {
    "decoder_start_token_id", "eos_token_id", "pad_token_id", "bos_token_id", "transformers_version", "use_cache",
    "_from_model_config", "max_length", "max_new_tokens", "num_beams", "early_stopping", "length_penalty", "do_sample",
    "temperature", "top_k", "top_p",
}  # fmt: skip


def write(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    sources: Sequence[Sequence[int]],
    *,
    max_length: int,
    num_beams: int = 1,
    batch_size: int = 64,
    share: slice = slice(None),
) -> dict[int, str]:
    """
    What the student writes for tokenised sentences: index → text, for all of them or a share of the batches.

    Args:
        sources: token ids, neither padded nor cut.
        max_length: of an output in tokens, the start token included.
        batch_size: sentences decoded together, at least; `TOKENS_PER_ROW` says how many more.
        share: of the batches, e.g. `slice(1, None, 2)` for the second of two processes.
    """
    batches = decoding_batches([len(source) for source in sources], batch_size, batch_size * TOKENS_PER_ROW)
    model.eval()
    texts = {}
    for batch in batches[share]:
        inputs = tokenizer.pad({"input_ids": [list(sources[index]) for index in batch]}, return_tensors="pt")
        ids = _generate(model, inputs["input_ids"], inputs["attention_mask"], max_length, num_beams)
        texts |= dict(zip(batch, tokenizer.batch_decode(ids, skip_special_tokens=True), strict=True))
    return texts


@torch.inference_mode()
def _generate(
    model: PreTrainedModel, input_ids: torch.Tensor, attention_mask: torch.Tensor, max_length: int, num_beams: int
) -> torch.Tensor:
    input_ids, attention_mask = input_ids.to(model.device), attention_mask.to(model.device)
    written = greedy(model, input_ids, attention_mask, max_length) if num_beams == 1 and knows(model) else None
    if written is not None:
        return written
    return model.generate(
        input_ids=input_ids,
        attention_mask=attention_mask,
        max_length=max_length,
        max_new_tokens=None,
        num_beams=num_beams,
        do_sample=False,
    )


def knows(model: PreTrainedModel) -> bool:
    """Whether the model's generation settings ask for nothing but the most likely token, until it ends."""
    settings = model.generation_config
    return settings.eos_token_id is not None and set(settings.to_diff_dict()) <= _KNOWN


@torch.inference_mode()
def greedy(
    model: PreTrainedModel, input_ids: torch.Tensor, attention_mask: torch.Tensor, max_length: int
) -> torch.Tensor | None:
    """
    The ids that `model.generate(…, num_beams=1, do_sample=False)` gives, shape (rows, at most `max_length`).

    The encoder runs once, and each step computes the last token only, of the rows that have not ended. None if the
    model keeps its past in another way than transformers' dynamic caches, so that rows cannot be taken out.
    """
    settings = model.generation_config
    first = settings.decoder_start_token_id
    first = settings.bos_token_id if first is None else first
    ends = torch.tensor(settings.eos_token_id, device=input_ids.device).flatten()
    pad = ends[0] if settings.pad_token_id is None else settings.pad_token_id
    written = torch.full((len(input_ids), max_length), int(pad), device=input_ids.device)
    written[:, 0] = first
    length = 1
    steps = _steps(model, input_ids, attention_mask, written[:, :1], ends)
    for place, (rows, tokens) in zip(range(1, max_length), steps, strict=False):
        if rows is None:
            return None
        written[rows, place] = tokens
        length = place + 1
    return written[:, :length]


def _steps(
    model: PreTrainedModel, input_ids: torch.Tensor, mask: torch.Tensor, tokens: torch.Tensor, ends: torch.Tensor
) -> Iterator[tuple[torch.Tensor | None, torch.Tensor]]:
    """
    Step by step: the numbers of the rows that had not ended, and the next token of each. (None, …) if the cache is
    of an unknown kind.
    """
    hidden = model.get_encoder()(input_ids=input_ids, attention_mask=mask, return_dict=True).last_hidden_state
    rows = torch.arange(len(input_ids), device=input_ids.device)
    going, cache = torch.ones_like(rows, dtype=torch.bool), None
    while len(rows):
        output = model(
            encoder_outputs=BaseModelOutput(last_hidden_state=hidden),
            attention_mask=mask,
            decoder_input_ids=tokens,
            past_key_values=cache,
            use_cache=True,
            return_dict=True,
        )
        cache = output.past_key_values
        tokens = output.logits[:, -1].float().argmax(-1, keepdim=True)
        yield (rows[going] if _is_dynamic(cache) else None), tokens[going, 0]
        going &= ~torch.isin(tokens[:, 0], ends)
        left = int(going.sum())
        if left <= (1 - GONE) * len(going):
            kept = going.nonzero().flatten()
            cache.batch_select_indices(kept)
            rows, tokens, hidden, mask, going = (part[kept] for part in (rows, tokens, hidden, mask, going))


def _is_dynamic(cache: object) -> bool:
    """Whether rows can be taken out of the cache."""
    return isinstance(cache, EncoderDecoderCache) and all(
        isinstance(part, DynamicCache) for part in (cache.self_attention_cache, cache.cross_attention_cache)
    )
