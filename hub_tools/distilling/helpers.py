"""The models that help a student to learn (a soft teacher, a judge of difficulty): whether they can at all."""

from collections.abc import Mapping

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from hub_tools.distilling.arguments import Pretrain
from hub_tools.distilling.inputs import input_name, reference
from hub_tools.students.models import NEWLINE
from hub_tools.students.soft_targets import same_tokenizer


HELPERS = ("soft_teacher", "difficulty_model")


def check_helpers(arguments: Pretrain, inputs: Mapping[str, str], tokenizer: PreTrainedTokenizerBase) -> None:
    """
    Passes if each helper that is named has the student's `tokenizer`; of its files only the tokenizer is read.

    Raises:
        ValueError: one has another; the message names the option and the first ids that differ.
    """
    for role in HELPERS:
        if not getattr(arguments, role):
            continue
        repo_id, _ = reference(getattr(arguments, role), arguments.namespace)
        revision = inputs[input_name(repo_id, role)]
        theirs = AutoTokenizer.from_pretrained(repo_id, revision=revision, trust_remote_code=False)
        theirs.add_tokens([NEWLINE])  # as `load_student` does
        check_helper(arguments, role, tokenizer, theirs)


def check_helper(
    arguments: Pretrain, role: str, tokenizer: PreTrainedTokenizerBase, theirs: PreTrainedTokenizerBase
) -> None:
    """The same for one helper, whose tokenizer `theirs` is at hand."""
    try:
        same_tokenizer(tokenizer, theirs)
    except ValueError as error:
        repo_id, _ = reference(getattr(arguments, role), arguments.namespace)
        raise ValueError(f"{role} {repo_id} cannot help: {error}") from error
