"""The embedded Hub under datasets, transformers, evaluate, cards and the `hf` command."""

import json
import subprocess
import sys
from pathlib import Path

import datasets
import evaluate
import pytest
import torch
from huggingface_hub import DatasetCard, HfApi, ModelCard, SpaceCard
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, T5Config, T5ForConditionalGeneration, T5Tokenizer

from hub_tools.hub.embedded import EmbeddedHub
from hub_tools.hub.embedded.environment import child_environment


METRIC = """
import datasets
import evaluate
from .counting import count


class Count(evaluate.Metric):
    def _info(self):
        features = datasets.Features({"predictions": datasets.Value("string"), "references": datasets.Value("string")})
        return evaluate.MetricInfo(description="", citation="", inputs_description="", features=features)

    def _compute(self, predictions, references):
        return {"equal": count(predictions, references)}
"""


@pytest.fixture(scope="module")
def api(hub: EmbeddedHub) -> HfApi:
    return HfApi()


def test_two_configs_are_pushed_loaded_and_streamed(api: HfApi, repo_id: str) -> None:
    opinions = [[{"target": "soup", "words": ["hot"]}], [], [{"target": None, "words": None}]]
    first = datasets.Dataset.from_dict({"id": [1, 2, 3], "opinions": opinions})
    second = datasets.DatasetDict({"train": datasets.Dataset.from_dict({"text": ["a", "b"]})})
    second["test"] = datasets.Dataset.from_dict({"text": ["c"]})
    first.push_to_hub(repo_id, "one", private=True)
    second.push_to_hub(repo_id, "two")
    assert datasets.get_dataset_config_names(repo_id) == ["one", "two"]
    assert datasets.get_dataset_split_names(repo_id, "two") == ["train", "test"]
    assert datasets.load_dataset(repo_id, "one", split="train").to_list() == first.to_list()
    streamed = datasets.load_dataset(repo_id, "two", split="test", streaming=True)
    assert list(streamed) == [{"text": "c"}]
    head = api.dataset_info(repo_id).sha
    datasets.Dataset.from_dict({"text": ["new"]}).push_to_hub(repo_id, "two", split="test")
    assert datasets.load_dataset(repo_id, "two", split="test")["text"] == ["new"]
    assert datasets.load_dataset(repo_id, "two", split="test", revision=head)["text"] == ["c"]


def test_a_tiny_t5_is_pushed_and_loaded_by_revision(api: HfApi, repo_id: str) -> None:
    config = T5Config(vocab_size=200, d_model=8, d_ff=8, d_kv=4, num_layers=1, num_heads=2, decoder_start_token_id=0)
    model = T5ForConditionalGeneration(config)
    pieces = ["<pad>", "</s>", "<unk>", "▁", *"abcdefghijklmnopqrstuvwxyz"]
    tokenizer = T5Tokenizer(vocab=[(piece, -1.0) for piece in pieces])
    model.push_to_hub(repo_id)
    tokenizer.push_to_hub(repo_id)
    api.create_tag(repo_id, tag="v1")
    first = model.get_input_embeddings().weight.detach().clone()
    with torch.no_grad():
        model.get_input_embeddings().weight.add_(1)
    model.push_to_hub(repo_id)
    loaded = AutoModelForSeq2SeqLM.from_pretrained(repo_id, revision="v1")
    assert torch.equal(loaded.get_input_embeddings().weight, first)
    newest = AutoModelForSeq2SeqLM.from_pretrained(repo_id)
    assert torch.equal(newest.get_input_embeddings().weight, first + 1)
    assert AutoTokenizer.from_pretrained(repo_id)("soup").input_ids == tokenizer("soup").input_ids
    assert api.model_info(repo_id).config["model_type"] == "t5"


def test_a_metric_space_loads_with_its_helper(api: HfApi, repo_id: str) -> None:
    repo_id = repo_id.replace("-", "_")
    name = repo_id.split("/")[1]
    api.create_repo(repo_id, repo_type="space", space_sdk="gradio")
    helper = b"def count(a, b):\n    return sum(x == y for x, y in zip(a, b))\n"
    for path, content in ((f"{name}.py", METRIC.encode()), ("counting.py", helper)):
        api.upload_file(path_or_fileobj=content, path_in_repo=path, repo_id=repo_id, repo_type="space")
    metric = evaluate.load(repo_id)
    assert metric.compute(predictions=["a", "b"], references=["a", "c"]) == {"equal": 1}


def test_cards_are_validated_and_fill_the_repo_info(api: HfApi, repo_id: str) -> None:
    result = {
        "task": {"type": "text-generation"},
        "dataset": {"type": "a/b", "name": "B"},
        "metrics": [{"type": "f1", "value": 0.5}],
    }
    index = json.dumps([{"name": "m", "results": [result]}])
    head = f"license: apache-2.0\nlibrary_name: transformers\ntags: [absa]\nmodel-index: {index}"
    api.create_repo(repo_id)
    ModelCard(f"---\n{head}\n---\n# Model").push_to_hub(repo_id)
    info = api.model_info(repo_id)
    assert info.library_name == "transformers"
    assert {"absa", "license:apache-2.0", "transformers"} <= set(info.tags)
    assert info.model_index[0]["results"][0]["metrics"][0]["value"] == 0.5
    assert info.card_data.eval_results[0].metric_value == 0.5
    assert ModelCard.load(repo_id).data.license == "apache-2.0"


@pytest.mark.parametrize(
    ("card", "metadata", "message"),
    [
        (ModelCard, "language: no", "language"),
        (ModelCard, "datasets: a/b", "must be an array"),
        (DatasetCard, "task_categories: text-generation", "must be an array"),
        (SpaceCard, "sdk: gradio\ncolorFrom: mauve", "colorFrom"),
    ],
)
def test_a_card_that_the_hub_would_refuse_is_refused(
    card: type[ModelCard], metadata: str, message: str, hub: EmbeddedHub
) -> None:
    with pytest.raises(ValueError, match=message):
        card(f"---\n{metadata}\n---\n# Title").validate()


def test_evaluation_results_are_read_back_and_ranked(api: HfApi, repo_id: str) -> None:
    api.create_repo(repo_id)
    api.create_repo(repo_id, repo_type="dataset")
    entry = f"- dataset: {{id: {repo_id}, task_id: tsa}}\n  value: 61.5\n  date: 2026-01-31\n"
    api.upload_file(path_or_fileobj=entry.encode(), path_in_repo=".eval_results/fsa.yaml", repo_id=repo_id)
    found = api.model_info(repo_id, expand=["evalResults"]).eval_results
    assert [(item.dataset_id, item.value) for item in found] == [(repo_id, 61.5)]
    assert [(row.rank, row.model_id, row.value) for row in api.get_dataset_leaderboard(repo_id)] == [
        (1, repo_id, 61.5)
    ]


def test_the_hf_command_uploads_and_downloads_in_another_process(
    hub: EmbeddedHub, repo_id: str, tmp_path: Path
) -> None:
    def hf(*arguments: str) -> str:
        command = [str(Path(sys.executable).with_name("hf")), *arguments]
        result = subprocess.run(
            command, env=child_environment(hub.environment), capture_output=True, text=True, cwd=tmp_path
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    (tmp_path / "up" / "sub").mkdir(parents=True)
    (tmp_path / "up" / "sub" / "a.txt").write_text("from hf")
    assert "local" in hf("auth", "whoami")
    hf("upload", repo_id, "up", "--repo-type", "dataset")
    hf("download", repo_id, "--repo-type", "dataset", "--local-dir", "down")
    assert (tmp_path / "down" / "sub" / "a.txt").read_text() == "from hf"
