"""Each shipped YAML that names a teacher, run whole: the real recipe and the real client or engine on small stand-ins.

What vLLM runs is run where vLLM is installed (`make test-vllm`).
"""

import gzip
import json
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from batch_server import KEY, serving
from datasets import load_dataset
from faulty_server import serve

from tests.recipes.recipe_files import ROOT, load_recipe


CONFIGS = sorted((ROOT / "recipes" / "configs" / "paper").rglob("label_reviews*.yaml"))
TEXTS = ["The soup was superb but the waiter ignored us.", "Slow service, and the bill was wrong.", "We will be back!"]


def test_every_kind_of_teacher_has_a_yaml():
    kinds = {yaml.safe_load(path.read_text(encoding="utf-8"))["teacher"] for path in CONFIGS}
    assert kinds == {"vllm", "openai", "openai-batch", "ray", "transformers"}


def yelp(folder: Path) -> None:
    shops = [{"business_id": "b1", "categories": "Bars, Restaurants"}, {"business_id": "b2", "categories": "Dentists"}]
    reviews = [
        {"review_id": f"y{number}", "business_id": f"b{1 + number // 3}", "stars": 3.0, "text": text}
        for number, text in enumerate([*TEXTS, "It did not hurt at all."])
    ]
    for name, rows in (("business", shops), ("review", reviews)):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"yelp_academic_dataset_{name}.json").write_text(lines, encoding="utf-8")


def amazon(folder: Path) -> None:
    rows = [
        {"rating": 4.0, "title": "t", "text": text, "parent_asin": "A1", "user_id": f"u{number}", "timestamp": number}
        for number, text in enumerate(TEXTS)
    ]
    with gzip.open(folder / "Electronics.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    meta = json.dumps({"parent_asin": "A1", "categories": ["Electronics", "Laptops"]}) + "\n"
    (folder / "meta_Electronics.jsonl").write_text(meta, encoding="utf-8")


@pytest.fixture(params=CONFIGS, ids=lambda path: path.stem.removeprefix("label_reviews_"))
def shipped(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch) -> Iterator[tuple[Path, dict]]:
    """A YAML and what its stand-ins change of it."""
    config, given = request.param, yaml.safe_load(request.param.read_text(encoding="utf-8"))
    for name, fill in (("yelp", yelp), ("amazon", amazon)):
        (tmp_path / name).mkdir()
        fill(tmp_path / name)
    (tmp_path / "reviews.csv").write_text("\n".join(["text", *(f'"{text}"' for text in TEXTS)]), encoding="utf-8")
    changes = {
        "namespace": f"ns-{uuid.uuid4().hex[:8]}", "hub": "embedded", "data": tmp_path, "runs": tmp_path / "runs",
        "max_new_tokens": 8,
    }  # fmt: skip
    if given["teacher"] in ("vllm", "ray"):
        request.getfixturevalue("vllm_installed")
        if given["teacher"] == "ray":
            pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")
        changes |= {"model": request.getfixturevalue("tiny_chat_llama"), "tensor_parallel_size": 1, "dtype": "float32"}
        changes |= {"ray_address": "", "workers": 1} if given["teacher"] == "ray" else {}
    if given["teacher"] == "transformers":
        changes |= {"model": request.getfixturevalue("tiny_llama"), "dtype": "float32"}
    if given["teacher"] == "openai":
        with serve(model=given["model"]) as server:
            changes |= {"endpoints": server.url, "price_input": 0.5, "price_output": 1.5, "tokenizer": ""}
            yield config, changes
    elif given["teacher"] == "openai-batch":
        with serving() as provider:
            monkeypatch.setenv("OPENAI_API_KEY", KEY)
            yield (
                config,
                changes | {"endpoints": provider.url, "price_input": 1, "price_output": 1, "poll_seconds": 0.05},
            )
    else:
        yield config, changes


def test_the_recipe_runs_with_the_shipped_yaml(shipped, monkeypatch, capsys):
    config, changes = shipped
    flags = [f"--{key}={value}" for key, value in changes.items()]
    monkeypatch.setattr(sys, "argv", ["label_reviews.py", str(config), *flags])
    load_recipe("label_reviews").main()
    given = yaml.safe_load(config.read_text(encoding="utf-8"))
    replies = load_dataset(f"{changes['namespace']}/{given['replies']}", "replies", split="train").to_list()
    assert len({row["request_id"] for row in replies}) == len(replies) == 2 * len(TEXTS)
    assert {row["prompt"] for row in replies} == {"analysis", "rewriting"}
    assert all(row["prompt_tokens"] and row["completion_tokens"] for row in replies)
    assert "6 requests are answered." in capsys.readouterr().out
