"""Faults are tested under the same condition as everything else: whatever happens, nothing is left behind."""

from __future__ import annotations

from tests.integration.conftest import (
    eventually,
    nothing_is_left_behind,
    pytest_runtest_makereport,
    script,
    tally,
)

__all__ = ["eventually", "nothing_is_left_behind", "pytest_runtest_makereport", "script", "tally"]
