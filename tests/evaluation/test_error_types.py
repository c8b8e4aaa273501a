"""The table of error types, by numbers that can be checked by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from hub_tools.evaluation.error_sheet import SheetError
from hub_tools.evaluation.error_types import agreements, cohen, table_lines, type_table, wilson


def lines(types, model="ours", config="tsa-rest14", errors="40", items="100", first=0):
    facts = {"model": model, "config": config, "errors": errors, "items": items}
    return [{"item": f"e{number}", "type": type_, **facts} for number, type_ in enumerate(types, first)]


def test_shares_are_of_all_items_and_sum_to_the_error_rate():
    [cell] = type_table({"a": lines(["1", "1", "2", "3", ""])})
    assert [share.share for share in cell.shares] == pytest.approx([0.2, 0.1, 0.1])
    assert (cell.marked, cell.unmarked) == (4, 1)
    assert (cell.shares[0].low, cell.shares[0].high) == pytest.approx([0.4 * end for end in wilson(2, 4)])


def test_an_error_that_two_people_marked_counts_once():
    [cell] = type_table({"a": lines(["1", "2"]), "b": lines(["1", "3"])})
    assert [share.share for share in cell.shares] == pytest.approx([0.2, 0.1, 0.1])
    assert (cell.marked, cell.unmarked) == (2, 0)


def test_a_mark_of_one_person_is_enough():
    [cell] = type_table({"a": lines(["", ""]), "b": lines(["3", ""])})
    assert (cell.marked, cell.unmarked) == (1, 1)


def test_sheets_of_different_files_are_not_mixed():
    with pytest.raises(SheetError, match=r"b: item e0 of model 'ours', config 'tsa-rest14' tells errors and items"):
        type_table({"a": lines(["1"]), "b": lines(["1"], errors="41")})


def test_the_table_has_a_line_per_model_and_three_columns_per_config():
    sheets = {
        "a": lines(["1", "3"]),
        "b": lines([""], config="asa-rest16"),
        "c": lines(["2"] * 10, model="theirs", errors="10"),
    }
    header, table = table_lines(type_table(sheets))
    assert header == [
        "model",
        *(f"tsa-rest14 {name}" for name in ("Type1", "Type2", "Type3", "marked")),
        *(f"asa-rest16 {name}" for name in ("Type1", "Type2", "Type3", "marked")),
    ]
    assert [line[0] for line in table] == ["ours", "theirs"]
    assert [cell.split()[0] for cell in table[0][1:4]] == ["20.00", "0.00", "20.00"]
    assert table[0][4:] == ["2 of 2", "–", "–", "–", "0 of 1"]
    assert table[1][2] == "10.00 (7.2–10.0)"
    assert table[1][5:] == ["–"] * 4


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_is_wilsons(case):
    count, n = case
    expected = binomtest(count, n).proportion_ci(method="wilson")
    assert wilson(count, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_kappa_by_hand():
    # 4 of 6 alike; expected (3·2 + 2·3 + 1·1) / 36 = 13/36; (24 − 13) / (36 − 13) = 11/23.
    pairs = [("1", "1"), ("1", "1"), ("1", "2"), ("2", "2"), ("2", "2"), ("3", "3")]
    observed, kappa = cohen(pairs)
    assert (observed, kappa) == pytest.approx((5 / 6, (30 - 13) / (36 - 13)))
    assert cohen([("1", "1")] * 3) == (1.0, None)


def test_agreement_is_of_what_both_marked():
    sheets = {"a": lines(["1", "2", "", "3"]), "b": lines(["1", "3", "2"]), "c": lines(["1"], first=9)}
    [found] = agreements(sheets)
    assert (found.sheets, found.marked, found.agreed) == (("a", "b"), 2, 0.5)
    assert found.kappa == pytest.approx(1 / 3)
