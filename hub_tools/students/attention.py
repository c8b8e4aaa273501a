"""
Attention for texts that stand one after another in one row (`packing.joined`): each attends to itself by itself.

Against masks that keep the texts of a row apart this computes no scores of other texts, and a text's scores stay in
the processor's cache; everything but attention works on one long row without padding. Twice as fast on a CPU, where a
call costs little, for T5-small on the pretraining corpus. T5's own blocks are called, with our attention put in by
transformers' interface for that, so that whatever wraps blocks (FSDP2, gradient checkpointing) still does.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from hub_tools.students.dropout import dropout as drop


NAME = "one_by_one"  # as transformers knows it


@dataclass
class Texts:
    """Which tokens of the rows are of one text: the texts' lengths, in order; and the biases they share."""

    sources: list[int]
    targets: list[int]
    biases: dict[bool, torch.Tensor] = field(default_factory=dict)

    def bias(self, module: nn.Module) -> torch.Tensor | None:
        """
        Relative position bias of self-attention (heads × longest × longest), -inf-like where the decoder would look
        ahead; None for attention to the source, which has no positions.

        The first layer, which alone has the weights, makes it, inside its block, where FSDP2 has gathered them.
        """
        if module.is_decoder and not module.is_causal:
            return None
        if module.has_relative_attention_bias:
            longest = max(self.targets if module.is_decoder else self.sources)
            bias = module.compute_bias(longest, longest)[0]
            if module.is_decoder:
                ahead = torch.ones(longest, longest, dtype=torch.bool, device=bias.device).triu(1)
                bias = bias.masked_fill(ahead, torch.finfo(bias.dtype).min)
            self.biases[module.is_decoder] = bias
        return self.biases[module.is_decoder]


def attend(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    texts: Texts | None = None,
    **rest: Any,
) -> tuple[torch.Tensor, None]:
    """
    Each text's queries (1 × heads × tokens × width) to its own keys → (1 × tokens × heads × width).

    Without `texts`, as when the model generates, it is the usual attention.
    """
    if texts is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout=dropout, **rest)
    bias = texts.bias(module)
    askers = texts.targets if module.is_decoder else texts.sources
    asked = texts.targets if module.is_causal else texts.sources
    parts = []
    split = query[0].split(askers, 1), key[0].split(asked, 1), value[0].split(asked, 1)
    for queries, keys, values in zip(*split, strict=True):
        if bias is None:
            scores = queries @ keys.mT
        else:
            scores = torch.baddbmm(bias[:, : queries.shape[1], : keys.shape[1]], queries, keys.mT)
        parts.append(drop(scores.softmax(-1), dropout) @ values)
    return torch.cat(parts, 1).transpose(0, 1)[None].contiguous(), None


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)


@torch.compiler.disable  # one graph for each list of lengths would be one for each batch
def written_one_by_one(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """
    What the decoder of a T5 makes of a `joined` batch (target tokens × width), before the language-model head.

    The model keeps our attention from then on; without such a batch it works as transformers' does.
    """
    if model.config._attn_implementation != NAME:
        model.set_attn_implementation(NAME)
    texts = Texts(batch["source_lengths"].tolist(), batch["target_lengths"].tolist())
    read = _through(model.get_encoder(), batch["input_ids"], texts)
    return _through(model.get_decoder(), batch["decoder_input_ids"], texts, read)[0]


def _through(
    stack: PreTrainedModel, ids: torch.Tensor, texts: Texts, read: torch.Tensor | None = None
) -> torch.Tensor:
    """Token ids (1 × tokens) → hidden states (1 × tokens × width) of an encoder or, with `read`, a decoder."""
    hidden = stack.dropout(stack.embed_tokens(ids))
    unused = hidden.new_zeros(1, 1, 1, 1)  # in place of the biases of the whole row, which no attention needs
    for block in stack.block:
        hidden = block(hidden, None, unused, read, None, unused, texts=texts)[0]
    return stack.dropout(stack.final_layer_norm(hidden))
