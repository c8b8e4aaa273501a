"""Texts out of a seq2seq student: what `generate` writes, in a fraction of its time.

Sentences of like length share a batch, short ones a large batch. A row that has ended leaves its batch, where
`generate` computes it on until the longest one ends (most outputs are a few tokens long, the longest is often at the
bound). And rows that have not ended after `FIRST` tokens go on in a batch of their own, so that the few long ones are
waited for once, not once a batch. Greedy only; beams go through `generate`, and so does a model whose generation
settings or cache are not known here.
"""

from collections.abc import Iterator, Sequence

import torch
from transformers import DynamicCache, EncoderDecoderCache, PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_outputs import BaseModelOutput

from hub_tools.students.batching import decoding_batches


FIRST = 32  # tokens; most outputs have ended by then
TOKENS_PER_ROW = 48  # a batch of n holds as many short sentences as fit into n rows of this length
GONE = 1 / 8  # the share of a batch's rows that must have ended before its caches are copied without them

# Generation settings that greedy search does not look at, or that are read below. Others ask for `generate`.
_KNOWN = {
    "decoder_start_token_id", "eos_token_id", "pad_token_id", "bos_token_id", "transformers_version", "use_cache",
    "_from_model_config", "max_length", "max_new_tokens", "num_beams", "early_stopping", "length_penalty", "do_sample",
    "temperature", "top_k", "top_p", "output_attentions", "output_hidden_states", "output_scores", "output_logits",
    "return_dict_in_generate",
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
    What the student writes for tokenised sentences: index → text, for all of them or a share.

    Args:
        sources: token ids, neither padded nor cut.
        max_length: of an output in tokens, the start token included.
        batch_size: sentences decoded together, at least; `TOKENS_PER_ROW` says how many more.
        share: of the sentences in order of length, e.g. `slice(1, None, 2)` for the second of two processes.
    """
    model.eval()

    def batches(indices: Sequence[int]) -> list[list[int]]:
        lengths = [len(sources[index]) for index in indices]
        found = decoding_batches(lengths, batch_size, batch_size * TOKENS_PER_ROW)
        return [[indices[place] for place in batch] for batch in found]

    def inputs(batch: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        padded = tokenizer.pad({"input_ids": [list(sources[index]) for index in batch]}, return_tensors="pt")
        return padded["input_ids"].to(model.device), padded["attention_mask"].to(model.device)

    written: dict[int, torch.Tensor] = {}
    own = batches(sorted(range(len(sources)), key=lambda index: len(sources[index]))[share])
    if num_beams > 1 or not knows(model):
        for batch in own:
            written |= zip(batch, _generate(model, *inputs(batch), max_length, num_beams), strict=True)
    else:
        long: dict[int, torch.Tensor] = {}
        for batch in own:
            ids, going = greedy(model, *inputs(batch), min(FIRST, max_length))
            if ids is None:
                ids, going = _generate(model, *inputs(batch), max_length, 1), []
            written |= zip(batch, ids, strict=True)
            long |= {batch[row]: ids[row] for row in going} if max_length > FIRST else {}
        for batch in batches(list(long)):
            begun = torch.stack([long[index] for index in batch])
            written |= zip(batch, greedy(model, *inputs(batch), max_length, begun)[0], strict=True)
    return {index: tokenizer.decode(ids.tolist(), skip_special_tokens=True) for index, ids in written.items()}


@torch.inference_mode()
def _generate(
    model: PreTrainedModel, input_ids: torch.Tensor, mask: torch.Tensor, max_length: int, num_beams: int
) -> torch.Tensor:
    return model.generate(
        input_ids=input_ids,
        attention_mask=mask,
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
    model: PreTrainedModel,
    input_ids: torch.Tensor,
    mask: torch.Tensor,
    max_length: int,
    begun: torch.Tensor | None = None,
) -> tuple[torch.Tensor | None, list[int]]:
    """
    The ids that `model.generate(…, num_beams=1, do_sample=False)` gives, shape (rows, at most `max_length`).

    The encoder runs once, and each step computes the last token only, of the rows that have not ended.

    Args:
        begun: the first ids of each row, if some are known: a start token and what follows, none of it an end.

    Returns:
        The ids, and the rows that have not ended. The ids are None if the model keeps its past in another way than
        transformers' dynamic caches, so that rows cannot be taken out.
    """
    settings = model.generation_config
    ends = torch.tensor(settings.eos_token_id, device=input_ids.device).flatten()
    pad = ends[0] if settings.pad_token_id is None else settings.pad_token_id
    if begun is None:
        first = settings.decoder_start_token_id
        begun = torch.full((len(input_ids), 1), settings.bos_token_id if first is None else first).to(input_ids.device)
    length = begun.shape[1]
    written = torch.full((len(input_ids), max_length), int(pad), device=input_ids.device)
    written[:, :length] = begun
    going = torch.arange(len(input_ids))
    steps = _steps(model, input_ids, mask, begun, ends)
    for place, (rows, tokens) in zip(range(length, max_length), steps, strict=False):
        if rows is None:
            return None, []
        written[rows, place] = tokens
        length, going = place + 1, rows[~torch.isin(tokens, ends)]
    return written[:, :length], going.tolist()


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
