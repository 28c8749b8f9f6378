"""What holds for local executors holds for the remote one: their own tests, with workers of another machine."""

from __future__ import annotations

from types import FunctionType, ModuleType

import pytest

from tests.integration import test_branches, test_class_task, test_errors, test_items, test_limit_skip, test_operators

pytestmark = [pytest.mark.timeout(60), pytest.mark.slow]


@pytest.fixture
def executor(machines, hub):
    machines(6)
    return hub()


def proofs(module: ModuleType) -> dict[str, FunctionType]:
    """Return the tests of a module that hold for processes and others, without those others."""
    found = {}
    for name, test in vars(module).items():
        marks = getattr(test, "pytestmark", [])
        executors = [mark for mark in marks if mark.name == "parametrize" and mark.args[0] == "executor"]
        if name.startswith("test_") and executors and "process" in executors[0].args[1]:
            copy = FunctionType(test.__code__, vars(module), name, test.__defaults__, test.__closure__)
            copy.pytestmark = [mark for mark in marks if mark not in executors]
            found[name] = copy
    return found


for each in (test_branches, test_class_task, test_errors, test_items, test_limit_skip, test_operators):
    globals().update(proofs(each))
