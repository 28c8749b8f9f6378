"""Modules that travel: which others their import needs on the other machine."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest

from olympipe_like import Pipeline
from olympipe_like._remote import luggage
from olympipe_like._transport.callables import pack
from olympipe_like.errors import PlanError


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write the files of a package that nobody has imported, and return its name."""
    name = "travels_" + tmp_path.name.replace("-", "_")
    monkeypatch.syspath_prepend(tmp_path)

    def write(**files: str) -> str:
        (tmp_path / name).mkdir()
        for file, text in files.items():
            path = tmp_path / name / f"{file.replace('__of__', '/')}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return name

    yield write
    for each in [each for each in sys.modules if each.partition(".")[0] == name]:
        del sys.modules[each]


def needed(name: str) -> tuple[str, ...]:
    return luggage.needed(pickle.dumps(pack(len), protocol=5), {}, luggage.collect([name]), [name])


def test_all_that_its_import_leads_to_is_needed(package):
    name = package(
        __init__="from . import a\nfrom .deep.b import function\n",
        a="import numpy\n",
        deep__of____init__="import zmq.utils\n",
        deep__of__b="from ..c import something\ndef function(x):\n    return x\n",
        c="from pytest import mark as something\n",
    )

    assert needed(name) == ("numpy", "pytest", "zmq")


def test_what_only_its_tests_import_is_not(package):
    name = package(
        __init__="from .a import function\n",
        a="def function(x):\n    return x\n",
        tests__of____init__="",
        tests__of__test_a="import not_there\n",
        __main__="import not_there_either\n",
        old="print 'of another Python'\n",
    )

    assert needed(name) == ()


def test_a_package_with_tests_travels_to_a_machine_that_cannot_run_them(package, machines, hub):
    name = package(__init__="def twice(x):\n    return 2 * x\n", test_it="import not_there\n")
    module = __import__(name)
    machines(1)

    assert Pipeline([1, 2]).task(module.twice, executor=hub(modules=[name])).wait_for_result() == [2, 4]


def test_a_module_that_is_no_python_is_refused_by_name(package, hub):
    name = package(__init__="def f(:\n")

    with pytest.raises(PlanError, match=f"modules: '{name}' cannot travel: SyntaxError: invalid syntax"):
        Pipeline([1]).task(str, executor=hub(modules=[name])).wait_for_result()
