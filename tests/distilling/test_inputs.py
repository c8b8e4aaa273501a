"""What a pretraining run reads, on the embedded Hub."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from datasets import Dataset, Value
from huggingface_hub import HfApi

from hub_tools.corpus.pairs import pair_id
from hub_tools.distilling import inputs as reading
from hub_tools.distilling.arguments import Pretrain
from hub_tools.distilling.choice import masked
from hub_tools.distilling.inputs import encoded_folder, inputs_of, pairs_of, read_corpus, watched_benchmark
from hub_tools.hub.push import push_dataset
from hub_tools.students.account import lost
from hub_tools.students.pretraining import Pretraining
from hub_tools.students.span_corruption import with_sentinels
from tests.tiny_models import tiny_model, tiny_tokenizer


@pytest.fixture
def namespace():
    return f"n{uuid.uuid4().hex[:8]}"


def pretraining(**changes):
    return replace(Pretrain("me", "t5-sentiment"), **changes)


def test_what_a_run_reads_is_known_by_its_commit_before_it_starts(namespace):
    corpus = f"{namespace}/sentiment-understanding-corpus"
    HfApi().create_repo(corpus, repo_type="dataset")
    pretrain = pretraining(namespace=namespace)
    assert set(inputs_of(pretrain)) == {corpus}  # a fresh student is none, and there is no benchmark
    for other in ("corpus-1m", f"{namespace}/corpus-1m"):
        with pytest.raises(ValueError, match=rf"no dataset {namespace}/corpus-1m"):
            inputs_of(replace(pretrain, corpus=other))
    assert watched_benchmark(pretrain) == {}
    with pytest.raises(ValueError, match=rf"no dataset {namespace}/other"):
        watched_benchmark(replace(pretrain, benchmark=f"{namespace}/other"))
    HfApi().create_repo(f"{namespace}/fsa-benchmark", repo_type="dataset")
    assert set(watched_benchmark(pretrain)) == {f"{namespace}/fsa-benchmark"}
    # It decides what of a stranger's instructions is learned; a corpus is the same whoever looks through it.
    assert set(inputs_of(pretrain)) == {corpus}
    instructed = replace(pretrain, objective="instructions", instructions=corpus)
    assert set(inputs_of(instructed)) == {corpus, f"{namespace}/fsa-benchmark"}

    repo_id = f"{namespace}/t5"
    HfApi().create_repo(repo_id)
    first = HfApi().upload_file(repo_id=repo_id, path_in_repo="a.txt", path_or_fileobj=b"1").oid
    HfApi().create_tag(repo_id, tag="v1")
    HfApi().upload_file(repo_id=repo_id, path_in_repo="a.txt", path_or_fileobj=b"2")
    for student in (f"{repo_id}@v1", "t5@v1"):  # the repo is of the namespace unless it says another
        assert inputs_of(replace(pretrain, student=student))[repo_id] == first
    both = inputs_of(replace(pretrain, student="t5@v1", soft_teacher="t5"))
    assert both[f"{repo_id}@soft_teacher"] != both[repo_id] == first
    with pytest.raises(ValueError, match=r"has no revision 'v2'"):
        inputs_of(replace(pretrain, student="t5@v2"))
    with pytest.raises(ValueError, match=rf"no model {namespace}/t6"):
        inputs_of(replace(pretrain, student="t6"))
    for wrong in ({"student": "./my_t5/x"}, {"student": "/a/t5@v1"}, {"soft_teacher": "x y"}, {"corpus": "a b"}):
        with pytest.raises(ValueError, match=r"cannot be the id of a .* are not read: push yours") as caught:
            inputs_of(replace(pretrain, **wrong))
        assert type(caught.value) is ValueError
    with pytest.raises(ValueError, match="'a/b/c' cannot be the id of a dataset"):
        watched_benchmark(replace(pretrain, benchmark="a/b/c"))


def test_what_is_left_out_of_a_strangers_instructions_is_counted_once_however_often_they_are_read(namespace, tmp_path):
    test = "The waiter forgot our soup and then our bill."
    held = Dataset.from_list([{"id": "1", "sentence": test}])
    push_dataset({"tsa-rest14": {"test": held}}, f"{namespace}/fsa-benchmark", "# b\n")
    rows = [
        {"instruction": "Say hello.", "response": "Hello."},
        {"instruction": f"Whose fault? {test}", "response": "His."},
        {"instruction": "Say nothing.", "response": ""},
    ]
    push_dataset({"default": {"train": Dataset.from_list(rows)}}, f"{namespace}/lamini", "# l\n")
    arguments = pretraining(namespace=namespace, objective="instructions", instructions=f"{namespace}/lamini")
    inputs, watched = inputs_of(arguments), watched_benchmark(arguments)
    pairs, left_out = pairs_of(arguments, inputs, watched)
    assert [[pair["target"] for pair in pairs] for _ in range(2)] == [["Hello."]] * 2
    assert left_out["benchmark sentence"] == 1
    assert sum(left_out.values()) == 2

    arguments = replace(arguments, runs=str(tmp_path), instructions_teacher="gpt-3.5-turbo")
    for _ in range(2):
        encoded, tally, left_out = read_corpus(arguments, inputs, watched, tiny_tokenizer())
        assert (len(encoded), sum(left_out.values())) == (1, 2)
        assert tally.teachers == {"gpt-3.5-turbo": 1}
    other = dict.fromkeys(inputs, "another commit") | {f"{namespace}/lamini": inputs[f"{namespace}/lamini"]}
    tokenizer = tiny_tokenizer()
    assert encoded_folder(arguments, inputs, tokenizer) != encoded_folder(arguments, other, tokenizer)


@pytest.fixture
def corpus(namespace, tmp_path):
    """Arguments of a run on a corpus of ids, whose reviews lie in a file."""
    texts = {f"r{n}": f"The soup was cold and the waiter late, {n} times." for n in range(6)}
    rows = [
        {
            "pair_id": pair_id("t", "analysis", text, f"us {name}"),
            "review_id": name,
            "domain": "laptop",
            "rating": 2.0,
            "prompt": "analysis",
            "teacher": "t",
            "input": None,
            "target": f"us {name}",
        }
        for name, text in texts.items()
    ]
    push_dataset(
        {"analysis": {"train": Dataset.from_list(rows).cast_column("input", Value("string"))}},
        f"{namespace}/sentiment-understanding-corpus",
        "# c\n",
    )
    (tmp_path / "reviews.jsonl").write_text(
        "\n".join(json.dumps({"review_id": name, "text": text}) for name, text in texts.items())
    )
    return pretraining(namespace=namespace, runs=str(tmp_path / "runs"), reviews=str(tmp_path / "reviews.jsonl"))


def hold(namespace: str, sentence: str) -> None:
    """The namespace's benchmark tests on this sentence."""
    held = Dataset.from_list([{"id": "1", "sentence": sentence}])
    push_dataset({"tsa-rest14": {"test": held}}, f"{namespace}/fsa-benchmark", "# b\n")


def test_the_same_corpus_is_read_once_and_what_differs_is_read_again(corpus, tmp_path, monkeypatch):
    tokenizer, rows_of = tiny_tokenizer(), reading.rows_of
    hold(corpus.namespace, "Nobody has said this in any review so far.")
    inputs, watched = inputs_of(corpus), watched_benchmark(corpus)

    def unread(*_):
        raise AssertionError("read")

    def read(arguments=corpus, watched=watched):
        return read_corpus(arguments, inputs, watched, tokenizer)

    times = []
    monkeypatch.setattr(reading, "rows_of", lambda *given: times.append(1) or rows_of(*given))
    with ThreadPoolExecutor(3) as processes:  # to whom a file's lock is the same
        (encoded, tally, left_out), *others = processes.map(lambda _: read(), range(3))
    assert times == [1]
    assert all(list(other.encoded) == list(encoded) for other in others)
    monkeypatch.setattr(reading, "rows_of", unread)
    again = read()
    assert list(again.encoded) == list(encoded)
    assert (again.tally.teachers, again.left_out) == (tally.teachers, left_out) == ({"t": 6}, {})
    assert again.tally.stars.tolist() == tally.stars.tolist() == [2] * 6
    for changed in ({"max_input": 9}, {"teachers": ["t"]}, {"corpus_configs": ["analysis"]}):
        with pytest.raises(AssertionError, match="read"):
            read(replace(corpus, **changed))
    folder = encoded_folder(corpus, inputs, tokenizer)
    with pytest.raises(AssertionError, match="read"):
        read(watched={})  # a verdict of one benchmark is none of another

    kept = [path for path in folder.iterdir() if path.suffix in (".json", ".arrow", ".safetensors")]
    whole = {path: path.read_bytes() for path in kept}
    assert len(whole) == 3
    for path, content in whole.items():
        path.write_bytes(content[:20])
        with pytest.raises(AssertionError, match="read"):
            read()
        path.write_bytes(content)
    monkeypatch.setattr(reading, "rows_of", rows_of)
    (tmp_path / "reviews.jsonl").write_text((tmp_path / "reviews.jsonl").read_text().replace("soup", "tea"))
    with pytest.raises(ValueError, match="has another text than the pair was made of"):
        read()


def test_a_corpus_is_searched_anew_for_another_benchmark_and_what_was_refused_stays_refused(corpus):
    tokenizer = tiny_tokenizer()
    hold(corpus.namespace, "Nobody has said this in any review so far.")
    inputs = inputs_of(corpus)
    read_corpus(corpus, inputs, watched_benchmark(corpus), tokenizer)
    hold(corpus.namespace, "The soup was cold and the waiter late, 3 times.")
    for _ in range(2):
        with pytest.raises(ValueError, match="1 pairs contain a sentence that the benchmark"):
            read_corpus(corpus, inputs, watched_benchmark(corpus), tokenizer)


def test_what_the_encoding_of_reviews_for_span_corruption_cost_is_that_of_one_copy(corpus):
    """Its pairs have the review on both sides, of which it masks the one and makes the other."""
    _, tokenizer = with_sentinels(tiny_model(tiny_tokenizer()), tiny_tokenizer())
    dapt = replace(corpus, objective="span-corruption", max_target=2)
    encoded, tally, _ = read_corpus(dapt, inputs_of(dapt), {}, tokenizer)
    assert tally.stars.tolist() == [2] * 6
    kept, ends = sum(len(source) for source, _ in encoded), len(encoded)
    cost = encoded.cost
    assert (cost["tokens"], cost["input_tokens"], cost["truncated_targets"]) == (kept + ends, kept, 0)
    masks, _ = masked(encoded, encoded.subset([]), tokenizer, Pretraining(steps=1))
    told = lost(masks.cost)
    assert "0 inputs cut" in told
    assert "targets cut" not in told
    assert told.endswith(f"; of {kept} tokens kept in all")
