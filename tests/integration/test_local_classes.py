"""Items of classes that cannot be imported come back as what they were, and are equal as they were."""

from __future__ import annotations

import collections
import dataclasses
import enum
import gc

import pytest

from olympipe_like import Pipeline

pytestmark = pytest.mark.timeout(60)


def make_classes():
    @dataclasses.dataclass(frozen=True)
    class Row:
        number: int

    class Kind(enum.Enum):
        A = "a"
        B = "b"

    return Row, Kind


def same(item):
    return item


def test_items_come_back_as_instances_of_the_class_they_were_of():
    row_of, kinds = make_classes()

    rows = Pipeline([row_of(1), row_of(1), row_of(2)]).task(same).task(same, workers=2).wait_for_result()
    found = Pipeline([kinds.A, kinds.B]).task(same).wait_for_result()

    assert rows == [row_of(1), row_of(1), row_of(2)]
    assert found[0] is kinds.A
    assert found[1] is kinds.B


def test_functions_and_items_that_hold_a_class_hold_the_same_one():
    row_of, kinds = make_classes()

    rows = Pipeline([row_of(1), row_of(2)]).task(lambda row: isinstance(row, row_of) and row == row_of(row.number))
    found = Pipeline([kinds.A, kinds.B]).task(lambda kind: kind is kinds.A)

    assert rows.wait_for_result() == [True, True]
    assert found.wait_for_result() == [True, False]


def test_steps_that_compare_items_find_equal_what_is_equal():
    row_of, kinds = make_classes()

    def count(kind, seen):
        seen[kind] += 1
        return seen

    rows = Pipeline([row_of(n % 3) for n in range(30)]).task(same, workers=2).unique().wait_for_result()
    found = Pipeline([kinds.A, kinds.A, kinds.B]).reduce(collections.Counter(), count).wait_for_result()

    assert rows == [row_of(0), row_of(1), row_of(2)]
    assert found == [{kinds.A: 2, kinds.B: 1}]


def test_rows_of_a_table_are_all_of_one_class():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"a": range(20), "b": ["x"] * 20})

    rows = Pipeline(table.itertuples()).task(same).wait_for_result()

    assert rows == list(table.itertuples())
    assert len({type(row) for row in rows}) == 1


def test_a_class_that_a_function_makes_is_one_class_for_the_program():
    def make(number):
        row_of, _ = make_classes()
        return [row_of(number), row_of(number)]

    first, second = Pipeline([1, 2]).task(make).wait_for_result()

    assert first[0] == first[1]
    assert type(first[0]) is not type(second[0])  # it was made twice


def test_classes_that_nobody_needs_any_more_are_forgotten():
    from olympipe_like._transport import marks

    def make(number):
        row_of, _ = make_classes()
        return row_of(number)

    gc.collect()
    before = len(marks._classes), len(marks._marks)

    rows = Pipeline(range(20)).task(make).wait_for_result()
    assert [row.number for row in rows] == list(range(20))
    del rows
    gc.collect()

    assert (len(marks._classes), len(marks._marks)) == before


def test_each_run_sees_a_class_as_it_is_by_then():
    row_of, _ = make_classes()
    pipe = Pipeline([row_of(1), row_of(2), row_of(3)]).task(lambda row: row.factor * row.number)

    row_of.factor = 10
    assert pipe.wait_for_result() == [10, 20, 30]
    row_of.factor = 100
    assert pipe.wait_for_result() == [100, 200, 300]
