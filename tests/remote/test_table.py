"""The table of faults in README.md names every case, only tests that exist, and every test that says it proves one."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
ROWS = re.findall(r"^\| ([NB]\d\d) \| .+? \| (.+?) \|", (HERE / "README.md").read_text(encoding="utf-8"), re.MULTILINE)


def proofs_by_case():
    """Return for each case the tests that are marked with it."""
    found = {}
    for path in sorted(HERE.glob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        for marks, name in re.findall(r"((?:^@.+\n(?:(?: .*|\))\n)*)+)def (test_\w+)\(", text, re.MULTILINE):
            for case in re.findall(r'mark\.fault\("(\w+)"\)', marks):
                found.setdefault(case, set()).add(f"{path.name}::{name}")
    return found


def test_every_case_has_a_row():
    assert [case for case, _ in ROWS] == [f"{kind}{number:02}" for kind in "NB" for number in range(1, 11)]


def test_the_rows_name_the_tests_that_are_marked_and_no_others():
    named = {case: set(re.findall(r"`([\w.]+::\w+)`", tests)) for case, tests in ROWS}

    marked = proofs_by_case()
    assert {case: tests ^ marked[case] for case, tests in named.items() if tests != marked[case]} == {}
