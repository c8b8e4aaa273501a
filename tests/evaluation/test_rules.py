"""The rules: the ways to fool the peers' scorers, on the real files; and what must hold for any texts."""

import ast
import doctest
import json
import re
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tools.evaluation import rules
from hub_tools.evaluation.rules import RULES, Counts, best_sum, credit, f1_of, sentence_counts
from hub_tools.opinions import POLARITIES, fields_of, parse, serialize


TASKS = ["tsa", "asa", "acos", "target,opinion,polarity", "2"]
SENTENCE = "The spicy tuna roll and the tuna roll , great service"
WORDS = {
    "target": ["tuna roll", "spicy tuna roll", "roll", "service", "none", "pizza"],
    "opinion": ["great", "great service", "none"],
    "category": ["food quality", "food prices", "drinks quality", "service general", "food"],
    "polarity": [*POLARITIES, "great"],
    "field": ["a", "b", "", "c d"],
}


def items(task):
    """Items of a task, most of them well-formed, so that hits, near misses and faults all come up."""
    return st.tuples(*[st.sampled_from(WORDS[field]) for field in fields_of(task)]).map(" | ".join) | st.sampled_from(
        ["", "|", "tuna roll", "tuna roll | positive | x"]
    )


@st.composite
def scored(draw):
    """A task, and a few sentences' predicted and reference items."""
    task = draw(st.sampled_from(TASKS))
    texts = st.lists(items(task), max_size=5)
    return task, draw(st.lists(st.tuples(texts, texts), min_size=1, max_size=4))


def total(rule, task, predictions, references, sentences=None):
    sentences = [SENTENCE] * len(predictions) if sentences is None else sentences
    return Counts(*map(sum, zip(*sentence_counts(predictions, references, sentences, task, rule), strict=True)))


def score(rule, task, rows):
    predictions, references = ([" ; ".join(row[side]) for row in rows] for side in (0, 1))
    return f1_of(total(rule, task, predictions, references))


# --- Ways to fool a scorer -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rest14(data):
    return official_test(data, "rest14")


@pytest.fixture(scope="module")
def laptop14(data):
    return official_test(data, "laptop14")


def official_test(data, name):
    """SemEval-2014's test sentences (800 each) and gold texts, which are also InstructABSA's test files."""
    path = data / "fsa_datasets/w_hard/atsa" / name / "test.json"
    records = json.loads(path.read_text(encoding="utf-8-sig"))
    keys = {"start": "from", "end": "to", "target": "target", "polarity": "polarity"}
    texts = [
        serialize([{ours: aspect[theirs] for ours, theirs in keys.items()} for aspect in record["aspects"]], "tsa")
        for record in records
    ]
    return [record["sentence"] for record in records], texts


def percents(rule, predictions, data, task="tsa"):
    sentences, references = data
    return [round(100 * value, 2) for value in f1_of(total(rule, task, predictions, references, sentences))]


def test_the_null_rows_and_the_commas_of_instructabsa_give_its_number_of_gold_items(rest14, laptop14):
    """1,134 terms and 194 null rows, three terms with a comma; its published recalls are whole numbers of these."""
    for (sentences, references), gold in ((rest14, 1331), (laptop14, 1032)):
        assert total("instructabsa", "tsa", references, references, sentences) == Counts(gold, gold, gold, gold)


def test_instructabsa_gives_124_92_for_no_text_at_all(rest14):
    """An item of empty fields is the empty text, which is part of every gold item."""
    assert percents("instructabsa", ["|"] * 800, rest14) == [166.38, 100.0, 124.92]
    assert percents("strict", ["|"] * 800, rest14) == [0, 0, 0]


def test_instructabsa_gives_its_null_rows_to_whoever_says_nothing(rest14, laptop14):
    """194 and 378 sentences without an opinion are hits."""
    assert percents("instructabsa", [""] * 800, rest14)[2] == 18.21  # 2 · 194 / (800 + 1331)
    assert percents("instructabsa", [""] * 800, laptop14)[2] == 41.27
    assert percents("strict", [""] * 800, laptop14) == [100, 0, 0]


def test_instructabsa_gives_100_without_any_polarity(laptop14):
    bare = [re.sub(r" \| \w+", "", text) for text in laptop14[1]]
    assert percents("instructabsa", bare, laptop14) == [100, 100, 100]
    assert percents("strict", bare, laptop14) == [0, 0, 0]


def test_instructabsa_gives_100_for_the_last_word_of_each_term(laptop14):
    pairs = [[item.split(" | ") for item in text.split(" ; ") if item] for text in laptop14[1]]
    last = [" ; ".join(f"{target.split()[-1]} | {polarity}" for target, polarity in items) for items in pairs]
    assert percents("instructabsa", last, laptop14) == [100, 100, 100]
    assert percents("paper", last, laptop14)[2] == 55.66  # lists, as who published this case counted strictly
    assert percents("strict", last, laptop14) == [55.85, 55.59, 55.72]  # sets
    assert percents("partial", last, laptop14)[2] == 82.33


def test_the_paper_gives_100_to_gold_and_three_inventions_or_gold_five_times(rest14):
    invented = [f"{text} ; @1 | positive ; @2 | positive ; @3 | positive" for text in rest14[1]]
    assert percents("paper", invented, rest14) == [100, 100, 100]
    assert percents("strict", invented, rest14)[2] == percents("partial", invented, rest14)[2] == 48.52
    for rule in ("paper", "strict", "partial"):  # sets forgive a repeat; `n_repeated` tells of it
        assert percents(rule, five_times(rest14), rest14) == [100, 100, 100]


def test_absa_quad_gives_166_67_for_gold_five_times(rest14):
    assert percents("absa-quad", five_times(rest14), rest14) == [100, 500, 166.67]


def five_times(data):
    return [" ; ".join([text] * 5) for text in data[1]]


def test_absa_quad_gives_100_for_half_of_gold_said_twice(data):
    """On ASQP-Rest16's test sentences with an even number of quads."""
    path = data / "quads/asqp_rest16/test.txt"
    sentences, references, halves = [], [], []
    for line in path.read_text(encoding="utf-8").splitlines():
        sentence, _, quads = line.partition("####")
        texts = [
            f"{category} | {polarity} | {target.replace('NULL', 'none')} | {words.replace('NULL', 'none')}"
            for target, category, polarity, words in ast.literal_eval(quads)
        ]
        if len(texts) % 2 == 0:
            sentences.append(sentence)
            references.append(" ; ".join(texts))
            halves.append(" ; ".join(texts[: len(texts) // 2] * 2))
    assert len(sentences) > 100
    assert percents("absa-quad", halves, (sentences, references), "asqp") == [100, 100, 100]
    assert percents("strict", halves, (sentences, references), "asqp") == [100, 50, 66.67]


def test_absa_quad_counts_two_unreadable_texts_as_a_hit():
    assert total("absa-quad", "acos", ["good food"], ["???"]) == Counts(1, 1, 1, 1)
    assert total("absa-quad", "acos", ["", "x"], ["", "a | b | c | d"]) == Counts(1, 2, 1, 2)
    assert total("strict", "acos", ["good food"], ["???"]) == Counts(0, 1, 0, 0)


def test_the_triplet_of_instructabsa_is_joined_by_colons():
    said, gold = "roll | great | positive", "tuna roll | great | positive"
    task = "target,opinion,polarity"
    assert total("instructabsa", task, [said], [gold]) == Counts(1, 1, 1, 1)  # "roll:great:positive" is part of it
    assert total("instructabsa", task, [gold.replace("pos", "neg")], [gold]) == Counts(0, 1, 0, 1)


# --- Partial credit --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "said", "gold", "expected"),
    [
        ("tsa", ("tuna roll", "positive"), ("spicy tuna roll", "positive"), 4 / 5),
        ("tsa", ("the spicy tuna", "positive"), ("spicy tuna roll", "positive"), 2 / 3),
        ("tsa", ("spicy roll", "positive"), ("spicy tuna roll", "positive"), 2 / 5),  # a run of one word
        ("tsa", ("roll,", "positive"), ("roll", "positive"), 2 / 3),
        ("tsa", ("rolls", "positive"), ("roll", "positive"), 0),
        ("tsa", ("Roll", "positive"), ("roll", "positive"), 0),
        ("tsa", ("", "positive"), ("roll", "positive"), 0),
        ("tsa", ("roll", "neutral"), ("roll", "positive"), 1 / 2),
        ("tsa", ("roll", "conflict"), ("roll", "negative"), 1 / 2),
        ("tsa", ("roll", "negative"), ("roll", "positive"), 0),
        ("asa", ("food prices", "positive"), ("food quality", "positive"), 1 / 2),
        ("asa", ("drinks quality", "neutral"), ("food quality", "positive"), 1 / 4),
        ("asa", ("service general", "positive"), ("food quality", "positive"), 0),
        ("asa", ("food", "positive"), ("service", "positive"), 0),  # neither has an attribute
        ("acos", ("food quality", "positive", "none", "great"), ("food quality", "positive", "roll", "great"), 0),
        ("acos", ("food quality", "positive", "none", "none"), ("food quality", "positive", "none", "none"), 1),
        ("acos", ("food prices", "neutral", "roll", "so great"), ("food quality", "positive", "roll", "great"), 1 / 6),
        ("2", ("a b", "c"), ("a", "c"), 0),
    ],
)
def test_credit_is_the_product_of_its_fields_and_symmetric(task, said, gold, expected):
    assert credit(said, gold, task) == credit(gold, said, task) == pytest.approx(expected, abs=1e-12)


def test_each_gold_item_pays_once_and_the_best_assignment_counts():
    gold = "spicy tuna roll | positive ; tuna | positive"
    assert total("partial", "tsa", ["roll | positive ; tuna roll | positive"], [gold.split(" ; ")[0]]).right == 4 / 5
    # "spicy tuna" is nearest to "spicy tuna roll" (4/5), but then nothing would be left for "roll".
    said = "spicy tuna | positive ; roll | positive"
    assert total("partial", "tsa", [said], [gold]) == pytest.approx((2 / 3 + 1 / 2, 2, 2 / 3 + 1 / 2, 2))


def test_what_is_malformed_or_invented_costs_and_earns_nothing():
    said = "tuna | positive ; tuna burger | positive ; tuna roll"
    assert total("partial", "tsa", [said], ["tuna roll | positive"]) == Counts(2 / 3, 3, 2 / 3, 1)


credits = st.sampled_from([0, 0.25, 0.5, 2 / 3, 0.9, 1])
matrices = st.integers(0, 5).flatmap(
    lambda width: st.lists(st.lists(credits, min_size=width, max_size=width), max_size=5)
)


@given(matrices)
def test_the_assignment_is_the_best_of_all(matrix):
    wide = matrix if not matrix or len(matrix) <= len(matrix[0]) else list(zip(*matrix, strict=True))
    columns = range(len(wide[0])) if wide else ()
    sums = (sum(row[j] for row, j in zip(wide, chosen, strict=True)) for chosen in permutations(columns, len(wide)))
    assert best_sum(matrix) == pytest.approx(max(sums, default=0))


# --- Whatever the texts ----------------------------------------------------------------------------------------------


@given(scored())
def test_our_rules_stay_between_0_and_1(case):
    for rule in ("paper", "strict", "partial"):
        assert all(0 <= value <= 1 for value in score(rule, *case))


@given(scored(), st.randoms())
def test_the_order_of_items_and_sentences_changes_nothing(case, random):
    task, rows = case
    shuffled = [tuple(random.sample(side, len(side)) for side in row) for row in random.sample(rows, len(rows))]
    for rule in RULES:
        assert score(rule, task, shuffled) == pytest.approx(score(rule, task, rows), abs=1e-12)


@given(scored(), st.data())
def test_a_repeat_of_what_is_readable_changes_nothing_strictly_and_partially(case, data):
    task, rows = case
    said, wanted = rows[0]
    readable = [item for item in said if parse(item, task, SENTENCE).pairs]
    if readable:
        again = [([*said, data.draw(st.sampled_from(readable))], wanted), *rows[1:]]
        for rule in ("strict", "partial"):
            assert score(rule, task, again) == score(rule, task, rows)


@given(scored(), st.data())
def test_an_added_wrong_item_never_raises_strict_nor_one_without_credit_partial(case, data):
    task, rows = case
    added = data.draw(items(task))
    found, gold = parse(added, task, SENTENCE).pairs, parse(" ; ".join(rows[0][1]), task, SENTENCE).pairs
    more = [([*rows[0][0], added], rows[0][1]), *rows[1:]]
    if not set(found) & set(gold):
        assert score("strict", task, more)[2] <= score("strict", task, rows)[2]
    if not any(credit(item, other, task) for item in found for other in gold):
        assert score("partial", task, more)[2] <= score("partial", task, rows)[2] + 1e-12


@given(scored())
def test_partial_is_never_below_strict_and_is_strict_where_every_credit_is_all_or_nothing(case):
    task, rows = case
    strict, partial = score("strict", task, rows), score("partial", task, rows)
    assert all(soft >= hard - 1e-12 for soft, hard in zip(partial, strict, strict=True))
    read = [[parse(" ; ".join(side), task, SENTENCE).pairs for side in row] for row in rows]
    credits = {credit(said, gold, task) for row in read for said in row[0] for gold in row[1]}
    if credits <= {0, 1}:
        assert partial == strict


@given(scored())
def test_precision_and_recall_change_places_when_gold_and_prediction_do(case):
    task, rows = case
    clean = [[[i for i in side if parse(i, task, SENTENCE).pairs] for side in row] for row in rows]
    turned = [row[::-1] for row in clean]
    for rule in ("paper", "strict", "partial"):
        precision, recall, f1 = score(rule, task, clean)
        assert score(rule, task, turned) == pytest.approx((recall, precision, f1), abs=1e-12)


@given(scored())
def test_gold_fed_back_is_perfect_by_every_rule(case):
    task, rows = case
    clean = [[[i for i in row[1] if parse(i, task, SENTENCE).pairs]] * 2 for row in rows]
    for rule in RULES:
        if rule != "absa-quad" or all(len(set(row[0])) == len(row[0]) for row in clean):
            assert score(rule, task, clean) == (1, 1, 1)


@given(scored())
def test_absa_quad_and_instructabsa_equal_their_plain_statement(case):
    task, rows = case
    size = len(fields_of(task))
    hits = found = 0
    n_said, n_gold = [0, 0], [0, 0]
    for said, gold in ((" ; ".join(said), " ; ".join(gold)) for said, gold in rows):
        tuples = []
        for text in (said, gold):
            tuples.append([])
            for item in text.split(";"):
                parts = [part.strip() for part in item.split("|")]
                tuples[-1].append(tuple(parts) if len(parts) == size else ("",) * size)
        hits += sum(item in tuples[1] for item in tuples[0])
        n_said[0] += len(tuples[0])
        n_gold[0] += len(tuples[1])
        theirs = []
        for text in (said, gold):
            items_ = [item for item in text.split(";") if item.strip()]
            items_ = [":".join(part.strip() for part in item.split("|")) for item in items_]
            items_ = ["" if set(item) <= {":"} else item for item in items_]
            theirs.append(", ".join(items_).split(", ") if items_ else ["noaspectterm:none"])
        for gold_item in theirs[1]:
            for said_item in theirs[0]:
                if said_item in gold_item or gold_item in said_item:
                    found += 1
                    break
        n_said[1] += len(theirs[0])
        n_gold[1] += len(theirs[1])
    predictions, references = ([" ; ".join(row[side]) for row in rows] for side in (0, 1))
    assert total("absa-quad", task, predictions, references) == (hits, n_said[0], hits, n_gold[0])
    assert total("instructabsa", task, predictions, references) == (found, n_said[1], found, n_gold[1])


# --- The module ------------------------------------------------------------------------------------------------------


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(rules).failed == 0


@pytest.mark.parametrize(
    ("task", "rule", "message"),
    [("tsa", "semeval", "unknown rule 'semeval'; allowed: paper, strict, inst"), ("x", "strict", "unknown task 'x'")],
)
def test_an_unknown_name_is_refused_beside_what_is_known(task, rule, message):
    with pytest.raises(ValueError, match=message):
        sentence_counts([], [], [], task, rule)


def test_columns_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        sentence_counts(["", ""], [""], [""], "tsa", "strict")


def test_the_rules_need_nothing_but_the_text_form():
    imported = set()
    for node in ast.walk(ast.parse(Path(rules.__file__).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            imported.add(node.module)
        elif isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
    assert imported == {"re", "collections.abc", "functools", "typing", "hub_tools.opinions"}
