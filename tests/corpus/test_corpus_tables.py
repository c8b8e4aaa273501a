"""The tables of a corpus: right rows, right files, the same bytes."""

import pyarrow.parquet as parquet
import pytest
from datasets import get_dataset_config_names, load_dataset
from huggingface_hub import HfApi

from hub_tools.corpus import tables as module
from hub_tools.corpus.pairs import Judge
from hub_tools.corpus.rejoin import load_texts, rejoined
from hub_tools.corpus.tables import PAIR, REJECTED, CorpusTables
from hub_tools.hub.push import push_dataset
from tests.corpus.replies import REWRITING, analysis, reply, review


def write(folder, publish: str = "text", count: int = 5) -> CorpusTables:
    judge = Judge()
    folder.mkdir()
    with CorpusTables(folder, publish) as tables:
        for n in range(count):
            about = review(f"The soup was cold and the staff was rude, number {n}.", review_id=f"r{n}", rating=None)
            tables.add(judge.judge(reply(analysis()), about))
            tables.add(judge.judge(reply(REWRITING, "rewriting"), about))
            tables.add(judge.judge(reply("No.", "rewriting"), about))
    return tables


def test_parts_variants_and_rejects_have_their_rows(tmp_path):
    tables = write(tmp_path / "a")
    assert tables.sizes == {
        "t-restaurant-analysis": 5,
        "t-restaurant-rewriting": 5,
        "analysis": 5,
        "rewriting": 5,
        "both": 10,
        "analysis-without-labels": 5,
        "analysis-without-reasoning": 5,
        "rejected": 5,
    }
    assert list(tables.unions) == ["analysis", "rewriting", "both"]
    assert set(tables.files) == set(tables.sizes) - set(tables.unions)
    rows = parquet.read_table(tables.files["rejected"]).to_pylist()
    assert {(row["reason"], row["detail"], row["target"]) for row in rows} == {("length", "1 words for 11", "No.")}
    (row, *_) = parquet.read_table(tables.files["analysis-without-reasoning"]).to_pylist()
    assert row["target"] == 'Opinion Target 1: "soup"\nAspect: a\nSentiment: Negative'
    assert row["pair_id"].endswith("-without-reasoning")


def test_the_same_rows_make_the_same_bytes(tmp_path, monkeypatch):
    first, second = (write(tmp_path / name).files for name in "ab")
    assert [path.read_bytes() for path in first.values()] == [path.read_bytes() for path in second.values()]
    monkeypatch.setattr(module, "ROWS", 2)
    parts = write(tmp_path / "c").files
    assert parquet.read_metadata(parts["rejected"]).num_row_groups == 3
    assert parquet.read_table(parts["rejected"]).equals(parquet.read_table(first["rejected"]))


def test_a_corpus_of_ids_holds_no_review_and_is_whole_again_with_them(tmp_path):
    whole, ids = write(tmp_path / "a").files, write(tmp_path / "b", "ids").files
    for config, path in ids.items():
        rows = parquet.read_table(path).to_pylist()
        assert {row["input"] for row in rows} == {None}
        assert (config == "rejected") == ({row["target"] for row in rows} == {None})
    texts = {f"r{n}": f"The soup was cold and the staff was rude, number {n}." for n in range(5)}
    for config in ("t-restaurant-analysis", "analysis-without-labels"):
        assert list(rejoined(parquet.read_table(ids[config]).to_pylist(), texts)) == (
            parquet.read_table(whole[config]).to_pylist()
        )


def test_a_failed_run_leaves_no_half_table(tmp_path):
    tables = CorpusTables(tmp_path)
    tables.add(Judge().judge(reply(analysis()), review()))
    tables.__exit__(RuntimeError, RuntimeError(), None)
    assert list(tmp_path.iterdir()) == []


def test_a_teacher_whose_part_would_be_a_variant_is_refused(tmp_path):
    judged = Judge().judge(reply(analysis()), review())
    odd = judged._replace(pair={**judged.pair, "teacher": "", "domain": "", "prompt": "rejected"})
    with pytest.raises(ValueError, match="make config 'rejected': rename one"):
        CorpusTables(tmp_path).add(odd)


def test_on_the_hub_every_config_loads_and_no_row_is_stored_twice(tmp_path, repo_id):
    tables = write(tmp_path / "a")
    files = {config: {"train": path} for config, path in tables.files.items()}
    push_dataset(files, repo_id, "# corpus\n", unions=tables.unions, pictures={"pictures/a.png": b"png"})
    assert set(get_dataset_config_names(repo_id)) == set(tables.sizes)
    for config, rows in tables.sizes.items():
        loaded = load_dataset(repo_id, config, split="train")
        assert len(loaded) == rows
        assert loaded.features == (REJECTED if config == "rejected" else PAIR)
    names = HfApi().list_repo_files(repo_id, repo_type="dataset")
    assert sorted(name for name in names if name.endswith((".parquet", ".png"))) == sorted(
        ["pictures/a.png", *(f"{config}/train.parquet" for config in tables.files)]
    )
    both = load_dataset(repo_id, "both", split="train")["pair_id"]
    parts = [load_dataset(repo_id, part, split="train")["pair_id"] for part in tables.unions["both"]]
    assert list(both) == [key for part in parts for key in part]


def test_reviews_are_read_from_files(tmp_path):
    path = tmp_path / "reviews.jsonl"
    path.write_text('{"review_id": "a", "text": "Good.", "rating": 5}\n')
    assert load_texts(str(path)) == {"a": "Good."}
    path.write_text('{"id": "a", "text": "Good."}\n')
    with pytest.raises(ValueError, match="has no column review_id; found: id, text"):
        load_texts(str(path))
    (tmp_path / "reviews.csv").write_text("review_id,text\n")
    with pytest.raises(ValueError, match=r"expected a file that ends in \.jsonl or \.parquet"):
        load_texts(str(tmp_path / "reviews.csv"))
