"""Nobody pays for what they do not use: no worker at its start, no script that imports the package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import olympipe_like.graph

ROOT = Path(__file__).resolve().parents[2]


def modules_loaded_by(statement: str) -> set[str]:
    """Return what a fresh interpreter has loaded after a statement, beyond what it starts with."""
    child = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))",
        ],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    return set(child.stdout.split())


def names_below(module: str, loaded: set[str]) -> list[str]:
    return sorted(name for name in loaded if name == module or name.startswith(f"{module}."))


def test_what_a_fresh_interpreter_loads_is_seen():
    loaded = modules_loaded_by("import json.decoder")

    assert "json.decoder" in names_below("json", loaded)


@pytest.mark.parametrize("module", ["_scheduler", "_runtime", "_observe", "_executors", "_fluent", "pipeline"])
def test_a_worker_loads_nothing_of_the_hubs_side(module):
    loaded = modules_loaded_by("import olympipe_like._worker.loop")

    assert "olympipe_like._worker.loop" in loaded
    assert names_below(f"olympipe_like.{module}", loaded) == []


@pytest.mark.parametrize("module", ["numpy", "dill", "tqdm", "cloudpickle", "multiprocess", "asyncio", "sklearn"])
def test_importing_the_package_alone_loads_no(module):
    loaded = modules_loaded_by("import olympipe_like")

    assert "olympipe_like" in loaded
    assert names_below(module, loaded) == []


@pytest.mark.parametrize("module", ["numpy", "PIL", "scipy", "dill", "multiprocess", "olympipe_like._runtime"])
def test_expression_graphs_load_no(module):
    names = ", ".join(olympipe_like.graph.__all__)
    loaded = modules_loaded_by(f"from olympipe_like.graph import {names}")

    assert "olympipe_like.graph.side_by_side" in loaded
    assert names_below(module, loaded) == []


@pytest.mark.parametrize("name", olympipe_like.graph.__all__)
def test_every_name_of_expression_graphs_is_there(name):
    assert getattr(olympipe_like.graph, name) is not None


@pytest.mark.parametrize("module", ["numpy", "sklearn", "olympipe_like._runtime", "olympipe_like._worker"])
def test_streams_that_draw_nothing_load_no(module):
    loaded = modules_loaded_by(
        "from olympipe_like.sampling import ChainMux, RoundRobinMux, Streamer, tuples;"
        "assert len(list(ChainMux([RoundRobinMux(['ab', 'c']), Streamer(range, 3)], 'cycle').iterate(9))) == 9"
    )

    assert "olympipe_like.sampling.in_order" in loaded
    assert names_below(module, loaded) == []


@pytest.mark.parametrize("name", olympipe_like.__all__)
def test_every_public_name_is_there(name):
    assert getattr(olympipe_like, name) is not None


def test_dir_shows_every_public_name():
    assert set(olympipe_like.__all__) <= set(dir(olympipe_like))


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = olympipe_like.no_such_name
