"""How students were pretrained, side by side; what is not known is a dash."""

from hub_tools.evaluation.pretraining_table import pretraining_table, students_of
from hub_tools.evaluation.typesetting import to_csv, to_markdown


COMMIT = "0123456789abcdef" * 2


def row(model, repo_id="me/t5", revision=COMMIT, **more):
    return {"model": model, "repo_id": repo_id, "revision": revision, **more}


RUN = {
    "git_revision": "c0ffee" * 6 + "c0ff+dirty",
    "config": {"namespace": "me", "objective": "distillation", "soft_teacher": "large", "teachers": ["gpt"]},
    "inputs": {"me/sentiment-understanding-corpus": "f" * 40},
    "facts": {
        "pairs": 7431,
        "reviews": 4013,
        "steps": 2800,
        "tokens": 5131190,
        "hours": 0.158,
        "validation_loss": None,
    },
}


def test_each_student_has_a_line_and_one_that_nobody_pretrained_has_dashes():
    rows = [row("base", revision="b" * 40), row("soft", seed=1), row("soft", seed=2), {"model": "of old"}]
    assert [label for label, *_ in students_of(rows)] == ["base", "soft"]
    (table,) = pretraining_table(rows, {("me/t5", COMMIT): RUN})
    base, soft = table.blocks[0].lines
    assert base == ["base", "me/t5@bbbbbbbbbbbb"] + [None] * 9
    assert soft == [
        "soft", "me/t5@0123456789ab", "c0ffeec0ffee+dirty", "distillation; distributions of large",
        "me/sentiment-understanding-corpus@ffffffffffff (gpt)", "7,431", "4,013", "2,800", "5,131,190", "0.16", None,
    ]  # fmt: skip
    assert to_markdown(table).count("| base | me/t5@bbbbbbbbbbbb | – |") == 1
    assert to_csv(table).splitlines()[1] == ",base,me/t5@bbbbbbbbbbbb,,,,,,,,,"


def test_a_label_that_stands_for_two_commits_has_a_line_of_each():
    rows = [row("dapt", config="tsa-rest14"), row("dapt", revision="b" * 40)]
    (table,) = pretraining_table(
        rows, {("me/t5", COMMIT): {"facts": {}, "config": {"keep_share": 0.3, "keep_how": "soft"}}}
    )
    assert [line[1] for line in table.blocks[0].lines] == ["me/t5@0123456789ab", "me/t5@bbbbbbbbbbbb"]
    assert table.blocks[0].lines[0][2:4] == [None, "distillation; 30 % of the pairs (soft)"]


def test_where_nothing_is_known_of_any_there_is_no_table():
    assert pretraining_table([row("base")], {}) == []
