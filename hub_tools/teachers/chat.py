"""Chat messages → the text and the tokens that a causal language model continues, by its own tokenizer."""

from functools import cached_property
from typing import Any

from transformers import AutoTokenizer

from .request import Messages


class ChatTokenizer:
    """The tokenizer of a chat model. Loaded at its first use; no weights, and no code of the model's repo.

    Args:
        model_id: Hub repo or folder.
        revision: branch, tag or commit.
    """

    def __init__(self, model_id: str, revision: str = "main") -> None:
        self.model_id, self.revision = model_id, revision

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer itself, padding on the left.

        Raises:
            OSError: there is no such repo or folder, or it holds no tokenizer.
        """
        tokenizer = AutoTokenizer.from_pretrained(self.model_id, revision=self.revision, padding_side="left")
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
        return tokenizer

    def prompt(self, messages: Messages) -> str:
        """The text that the model continues: by the tokenizer's chat template where it has one.

        Templates that refuse a system message (Mixtral's, Gemma's) get it at the head of the first user message.

        Raises:
            ValueError: the template refuses the messages also then.
        """
        if not self.tokenizer.chat_template:
            turns = [f"{message['role'].capitalize()}: {message['content']}" for message in messages]
            return "\n\n".join([*turns, "Assistant:"])
        try:
            return self._template(messages)
        except Exception as error:  # each template raises its own kind
            if messages[0]["role"] != "system":
                raise ValueError(f"{self.model_id}: its chat template refuses the prompt ({error})") from error
            first = {"role": "user", "content": f"{messages[0]['content']}\n\n{messages[1]['content']}"}
            return self.prompt([first, *messages[2:]])

    def _template(self, messages: Messages) -> str:
        return self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)

    def encode(self, prompts: list[str]) -> list[list[int]]:
        """The token ids of texts that `prompt` made; a template writes its own special tokens."""
        templated = bool(self.tokenizer.chat_template)
        return self.tokenizer(prompts, add_special_tokens=not templated)["input_ids"] if prompts else []

    def count(self, messages: Messages) -> int:
        """How many tokens the model reads for these messages."""
        return len(self.encode([self.prompt(messages)])[0])
