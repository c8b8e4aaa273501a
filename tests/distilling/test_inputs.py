"""What a pretraining run reads, on the embedded Hub."""

import uuid
from dataclasses import replace

import pytest
from datasets import Dataset
from huggingface_hub import HfApi

from hub_tools.distilling.arguments import Pretrain
from hub_tools.distilling.inputs import inputs_of, pairs_of, watched_benchmark
from hub_tools.hub.push import push_dataset


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


def test_what_is_left_out_of_a_strangers_instructions_is_counted_once_however_often_they_are_read(namespace):
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
    for refuse in (True, False):  # by every process alike
        pairs, left_out = pairs_of(arguments, inputs, watched, refuse)
        assert [[pair["target"] for pair in pairs] for _ in range(2)] == [["Hello."]] * 2
        assert left_out["benchmark sentence"] == 1
        assert sum(left_out.values()) == 2
