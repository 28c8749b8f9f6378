"""Closed choices: a `match` that ends in `assert_never` is checked to be complete (typing has it from 3.11 on)."""

from __future__ import annotations

from typing import NoReturn


def assert_never(value: NoReturn) -> NoReturn:
    """Fail where no value can come, unless a case was forgotten."""
    raise AssertionError(f"no case for {value!r}")
