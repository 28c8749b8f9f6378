"""What holds for local executors holds for the remote one: their own tests, with workers of another machine."""

from __future__ import annotations

from types import FunctionType, ModuleType

import pytest

from tests.integration import test_branches, test_class_task, test_errors, test_items, test_limit_skip, test_operators

pytestmark = [pytest.mark.timeout(60), pytest.mark.slow]


# Those that say how many workers there are: remote ones come by themselves. The last writes the name into a script.
EXCEPT = {
    "test_each_worker_builds_one_instance_and_closes_it_once",
    "test_each_worker_may_get_arguments_of_its_own",
    "test_with_many_workers_the_results_before_the_failure_still_come_first",
    "test_workers_work_at_the_same_time",
    "test_debug_prints_each_nth_item_once_on_standard_output",
}


@pytest.fixture
def executor(request, machines, hub):
    one = request.function.__module__ == test_class_task.__name__  # whose instances count what they are given
    machines(1 if one else 6)
    return hub()


def proofs(module: ModuleType) -> dict[str, FunctionType]:
    """Return the tests of a module that hold for processes and others, without those others."""
    found = {}
    for name, test in vars(module).items():
        marks = getattr(test, "pytestmark", [])
        executors = [mark for mark in marks if mark.name == "parametrize" and mark.args[0] == "executor"]
        if name.startswith("test_") and name not in EXCEPT and executors and "process" in executors[0].args[1]:
            copy = FunctionType(test.__code__, vars(module), name, test.__defaults__, test.__closure__)
            copy.pytestmark = [mark for mark in marks if mark not in executors]
            found[name] = copy
    return found


for each in (test_branches, test_class_task, test_errors, test_items, test_limit_skip, test_operators):
    globals().update(proofs(each))
