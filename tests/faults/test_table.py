"""The table of faults in README.md names every case, and only tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
TABLE = (HERE / "README.md").read_text(encoding="utf-8")


def test_every_case_has_a_row_with_a_test():
    rows = re.findall(r"^\| (T\d\d) \| .+? \| `.+?` \| .*\|$", TABLE, re.MULTILINE)

    assert rows == [f"T{number:02}" for number in range(1, 57)]


def test_every_test_in_the_table_exists():
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", TABLE)
    missing = []
    for file, name in named:
        path = HERE / file if "/" not in file else HERE.parent.parent / file
        if f"def {name}(" not in path.read_text(encoding="utf-8"):
            missing.append(f"{file}::{name}")

    assert len(named) > 100
    assert missing == []
