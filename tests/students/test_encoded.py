"""A corpus in one file: what is read is what was encoded, and a killed or repeated run tokenises nothing twice."""

import json
import multiprocessing
import os
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pyarrow as arrow
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import tiny_tokenizer

from hub_tools.students import encoded
from hub_tools.students.encoded import EncodedPairs, encode_corpus
from hub_tools.students.encoding import Encoder


TOKENIZER = tiny_tokenizer()
PAIRS = [
    {
        "pair_id": f"p{number}",
        "review_id": f"r{number // 2}",
        "input": "a " * (number % 5 + 1),
        "target": f"no {number}",
    }
    for number in range(23)
]
IDS = [(TOKENIZER(pair["input"])["input_ids"], TOKENIZER(pair["target"])["input_ids"]) for pair in PAIRS]


@pytest.fixture
def tokenised(monkeypatch) -> list[int]:
    """The sizes of the chunks that are tokenised from now on."""
    sizes: list[int] = []
    encode = Encoder.encode
    monkeypatch.setattr(Encoder, "encode", lambda self, rows: sizes.append(len(rows)) or encode(self, rows))
    return sizes


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> EncodedPairs:
    return encode_corpus(PAIRS, TOKENIZER, tmp_path_factory.mktemp("corpus"), chunk=5)


def test_what_is_read_is_what_the_tokenizer_made(corpus: EncodedPairs):
    assert list(corpus) == IDS
    assert corpus[-1] == IDS[-1]
    assert corpus[np.int64(7)] == IDS[7]
    assert all(type(token) is int for token in corpus[3][0])
    with pytest.raises(IndexError):
        corpus[23]


def test_lengths_and_reviews_tell_of_each_pair_without_reading_it(corpus: EncodedPairs):
    assert corpus.lengths.dtype == np.int32
    assert corpus.lengths.tolist() == [[len(source), len(target)] for source, target in IDS]
    assert len(set(corpus.reviews.tolist())) == 12
    assert (corpus.reviews[0:22:2] == corpus.reviews[1:22:2]).all(), "both pairs of a review tell one number"


def test_the_cost_is_that_of_all_chunks(corpus: EncodedPairs):
    assert corpus.cost["tokens"] == sum(len(source) + len(target) for source, target in IDS)
    assert corpus.cost["truncated_inputs"] == 0


@given(st.lists(st.integers(0, 22)), st.slices(23))
def test_a_view_is_the_same_pairs_in_another_order(corpus: EncodedPairs, indices: list[int], some: slice):
    view = corpus.subset(indices)
    assert list(view) == [IDS[index] for index in indices]
    assert view.lengths.tolist() == corpus.lengths[indices].tolist()
    assert list(corpus[some]) == IDS[some]
    assert list(view[1:]) == list(view)[1:], "a view of a view"
    assert [view.where(index) for index in range(len(view))] == indices
    assert [view[1:].where(index) for index in range(len(view) - 1)] == indices[1:]
    assert view.digest == corpus.digest


def test_a_view_reaches_no_further_than_what_it_views(corpus: EncodedPairs):
    with pytest.raises(IndexError, match="2 to 23, but there are 23 pairs"):
        corpus.subset([2, 23])
    with pytest.raises(IndexError):
        corpus.subset([1, 2]).subset([2])
    with pytest.raises(IndexError):
        corpus.subset([-1])


def test_reading_far_more_than_the_map_may_hold_changes_nothing(corpus: EncodedPairs, monkeypatch):
    monkeypatch.setattr(encoded, "READS", 3)
    assert [corpus[index % 23] for index in range(100)] == [IDS[index % 23] for index in range(100)]


@pytest.mark.parametrize(
    "pairs",
    [
        pytest.param(lambda: iter(PAIRS), id="generator"),
        pytest.param(lambda: Dataset.from_list(PAIRS), id="dataset"),
        pytest.param(lambda: Dataset.from_list(PAIRS).to_iterable_dataset(), id="streaming dataset"),
    ],
)
def test_pairs_may_come_from_anything_that_can_be_read_once(tmp_path: Path, pairs):
    assert list(encode_corpus(pairs(), TOKENIZER, tmp_path, chunk=5)) == IDS


def test_a_corpus_without_pairs_is_an_empty_sequence(tmp_path: Path):
    corpus = encode_corpus([], TOKENIZER, tmp_path)
    assert (len(corpus), list(corpus), corpus.lengths.shape, corpus.cost) == (0, [], (0, 2), {})


def test_a_pair_of_two_hundred_and_eighty_eight_tokens_takes_less_than_six_hundred_bytes(tmp_path: Path):
    # 70 + 218 tokens: the mean of the Mixtral sample with T5's tokenizer
    pairs = [{"review_id": str(number), "input": "a " * 69, "target": "b " * 217} for number in range(400)]
    corpus = encode_corpus(pairs, TOKENIZER, tmp_path, chunk=200)
    assert corpus.cost["tokens"] == 400 * 288
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) / 400 <= 600


def test_the_same_corpus_is_encoded_once(tmp_path: Path, tokenised: list[int]):
    encode_corpus(PAIRS, TOKENIZER, tmp_path, chunk=5)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir() if path.name != ".lock"}
    assert tokenised == [5, 5, 5, 5, 3]
    assert list(encode_corpus(iter(PAIRS), TOKENIZER, tmp_path, chunk=5)) == IDS
    assert tokenised == [5, 5, 5, 5, 3], "nothing is tokenised again"
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir() if path.name != ".lock"} == before


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"tokenizer": tiny_tokenizer(["superb!"])}, id="tokenizer"),
        pytest.param({"max_input": 3}, id="max_input"),
        pytest.param({"max_target": 3}, id="max_target"),
        pytest.param({"pairs": [{**pair, "target": "other"} for pair in PAIRS]}, id="texts"),
        pytest.param({"pairs": [{**pair, "review_id": "other"} for pair in PAIRS]}, id="reviews"),
    ],
)
def test_whatever_decides_the_tokens_makes_them_anew(tmp_path: Path, tokenised: list[int], change: dict):
    given = {"pairs": PAIRS, "tokenizer": TOKENIZER, "folder": tmp_path, "chunk": 5}
    encode_corpus(**given)
    tokenised.clear()
    again = encode_corpus(**(given | change))
    assert tokenised == [5, 5, 5, 5, 3]
    changed = encode_corpus(**(given | change | {"folder": tmp_path / "elsewhere"}))
    assert (list(again), again.cost, again.digest) == (list(changed), changed.cost, changed.digest)
    assert len(list(tmp_path.glob("*.arrow"))) == 1, "the stale file is gone"


def test_of_a_corpus_that_has_grown_only_the_new_chunks_are_tokenised(tmp_path: Path, tokenised: list[int]):
    earlier = encode_corpus(PAIRS[:10], TOKENIZER, tmp_path, chunk=5)
    tokenised.clear()
    grown = encode_corpus(iter(PAIRS), TOKENIZER, tmp_path, chunk=5)
    assert tokenised == [5, 5, 3]
    assert list(grown) == IDS
    assert grown.cost["tokens"] == sum(len(source) + len(target) for source, target in IDS)
    assert list(earlier) == IDS[:10], "whoever reads the file of before goes on reading it"


def test_a_run_that_fails_half_way_leaves_nothing_that_is_taken_for_whole(tmp_path: Path, tokenised: list[int]):
    with pytest.raises(ValueError, match="row 13 has no target"):
        encode_corpus([*PAIRS[:13], {"review_id": "r", "input": "a"}], TOKENIZER, tmp_path, chunk=5)
    with pytest.raises(ValueError, match="holds no encoded corpus"):
        EncodedPairs.open(tmp_path)
    assert list(encode_corpus(PAIRS, TOKENIZER, tmp_path, chunk=5)) == IDS
    assert tokenised == [5, 5, 5, 5, 3], "the chunks before the bad row were kept"


def forked(work, *arguments):
    """A process that does `work`: a fork, because importing transformers takes seconds."""
    child = multiprocessing.get_context("fork").Process(target=work, args=arguments, daemon=True)
    child.start()
    return child


def encode_until(folder: Path, chunks: int, arrived: Connection) -> None:
    """Encodes, and waits to be killed after so many chunks; after all five, when only the header is missing."""
    encode, dumps, done = Encoder.encode, json.dumps, []

    def wait() -> None:
        arrived.send("here")
        time.sleep(60)

    def counted(self, rows):
        if len(done) == chunks:
            wait()
        done.append(rows)
        return encode(self, rows)

    Encoder.encode = counted
    json.dumps = lambda value, **how: wait() if "chunks" in value else dumps(value, **how)
    encode_corpus(PAIRS, TOKENIZER, folder, chunk=5)


@pytest.mark.parametrize("chunks", [0, 2, 5])
def test_a_killed_run_goes_on_after_its_last_whole_chunk(tmp_path: Path, tokenised: list[int], chunks: int):
    here, there = multiprocessing.Pipe()
    child = forked(encode_until, tmp_path, chunks, there)
    assert here.poll(30)
    child.kill()
    child.join()
    with pytest.raises(ValueError, match="holds no encoded corpus"):
        EncodedPairs.open(tmp_path)
    assert list(encode_corpus(PAIRS, TOKENIZER, tmp_path, chunk=5)) == IDS
    assert tokenised == [5, 5, 5, 5, 3][chunks:]
    assert sorted(path.suffix for path in tmp_path.iterdir()) == ["", ".arrow", ".json"], "no draft is left"


def encode_slowly(folder: Path, told: Path) -> None:
    encode = Encoder.encode

    def slow(self, rows):
        with told.open("a") as file:
            file.write(f"{len(rows)} ")
        time.sleep(0.02)
        return encode(self, rows)

    Encoder.encode = slow
    encode_corpus(PAIRS, TOKENIZER, folder, chunk=5)


def test_processes_that_encode_into_one_folder_wait_for_each_other(tmp_path: Path):
    children = [forked(encode_slowly, tmp_path / "corpus", tmp_path / "told") for _ in range(3)]
    for child in children:
        child.join(30)
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert (tmp_path / "told").read_text() == "5 5 5 5 3 ", "one of them tokenises, once"
    assert list(EncodedPairs.open(tmp_path / "corpus")) == IDS


def damage_header(folder: Path, **changes) -> None:
    path = folder / encoded.HEADER
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda folder: next(folder.glob("*.arrow")).unlink(), "is damaged"),
        (lambda folder: os.truncate(next(folder.glob("*.arrow")), 100), "is damaged"),
        (lambda folder: os.truncate(next(folder.glob("*.arrow")), 0), "is damaged"),
        (lambda folder: damage_header(folder, format=0), "holds no encoded corpus"),
        (lambda folder: (folder / encoded.HEADER).write_text("{"), "holds no encoded corpus"),
        (lambda folder: (folder / encoded.HEADER).write_text("[]"), "holds no encoded corpus"),
    ],
    ids=["no file", "half a file", "empty file", "other version", "half a header", "no header"],
)
def test_damage_is_told_and_encoding_again_repairs_it(tmp_path: Path, damage, told: str):
    encode_corpus(PAIRS, TOKENIZER, tmp_path, chunk=5)
    damage(tmp_path)
    with pytest.raises(ValueError, match=told):
        EncodedPairs.open(tmp_path)
    assert list(encode_corpus(PAIRS, TOKENIZER, tmp_path, chunk=5)) == IDS


def test_the_file_is_arrow_that_others_can_read(corpus: EncodedPairs, tmp_path: Path):
    encode_corpus(PAIRS, TOKENIZER, tmp_path, chunk=5)
    table = arrow.ipc.open_file(next(tmp_path.glob("*.arrow"))).read_all()
    assert table.column("source").to_pylist() == [source for source, _ in IDS]
    assert str(table.schema.field("target").type.value_type) == "uint16"
