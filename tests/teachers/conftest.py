"""Language models made on the spot: a random Llama of a few thousand weights with a byte-level tokenizer.

And vLLM's engine on one of them, where vLLM is installed: started once, since that takes most of a minute.
"""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import HfApi
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from hub_tools.hub.embedded import EmbeddedHub
from hub_tools.teachers.settings import TeacherSettings
from hub_tools.teachers.vllm_lm import VllmTeacher


TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "[{{ m.role }}]{{ m.content }}{% endfor %}[assistant]"
)


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "Tiny-Llama"
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: place for place, token in enumerate(["<unk>", "<s>", "</s>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,  # vLLM's attention on CPU takes no smaller one
        max_position_embeddings=8192,
        bos_token_id=1,
        eos_token_id=2,
        initializer_range=0.3,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_chat_llama(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, with a template that takes system messages, as servers need it, and now and then a stop token."""
    folder = shutil.copytree(tiny_llama, tmp_path_factory.mktemp("models") / "Tiny-Chat-Llama")
    template = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}[assistant]"
    (folder / "chat_template.jinja").write_text(template)
    model = LlamaForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.lm_head.weight[2] *= 2
    model.generation_config.eos_token_id = [1, 2]
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def vllm_installed() -> None:
    """Skips where there is no vLLM; fails if it had to be there."""
    if importlib.util.find_spec("vllm") is None:
        if "vllm" in os.environ.get("FSA_REQUIRE", ""):
            pytest.fail("FSA_REQUIRE names vllm, and it is not installed in this environment: `make test-vllm`")
        pytest.skip("vLLM is not installed in this environment: `make test-vllm` has one of its own")
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB
    os.environ.setdefault("VLLM_CPU_CI_ENV", "1")  # no C++ compilation, which takes minutes


@pytest.fixture(scope="session")
def vllm_teacher(vllm_installed: None, tiny_chat_llama: Path, hub: EmbeddedHub) -> Iterator[VllmTeacher]:
    """Of a model on the Hub. Other teachers may use its engine as well, by `teacher.llm = vllm_teacher.llm`."""
    api = HfApi(hub.endpoint, token=hub.token)
    api.create_repo("tests/Tiny-Chat-Llama")
    api.upload_folder(repo_id="tests/Tiny-Chat-Llama", folder_path=tiny_chat_llama)
    settings = {"model": "tests/Tiny-Chat-Llama", "max_new_tokens": 24, "max_model_len": 4096, "dtype": "float32"}
    teacher = VllmTeacher(TeacherSettings(teacher="vllm", **settings))
    yield teacher
    if "llm" in vars(teacher):
        teacher.llm.llm_engine.engine_core.shutdown()
