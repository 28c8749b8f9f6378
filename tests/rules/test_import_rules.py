"""Imports point one way. Reads the source with `ast`, so imports for types and inside functions count too."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = "olympipe_like"
SOURCE = Path(__file__).resolve().parents[2] / PACKAGE

# What each part may import, besides itself and `errors`. Parts later in the table stand higher.
MAY_IMPORT = {
    "errors": set(),
    "_model": set(),
    "_plan": {"_model"},
    "_scheduler": {"_plan", "_model"},
    "_transport": {"_model"},
    "_worker": {"_transport", "_plan", "_model"},
    "_observe": {"_plan", "_model"},
    "_executors": {"_worker", "_transport", "_plan", "_model"},
    "failed_item": set(),
    "graph": {"_plan", "_model"},
    "_remote": {"_executors", "_worker", "_transport", "_plan", "_model"},
    "remote": {"_remote", "_plan", "_model"},
    "_runtime": {
        "failed_item",
        "_remote",
        "_executors",
        "_observe",
        "_worker",
        "_transport",
        "_scheduler",
        "_plan",
        "_model",
    },
    "sampling": {"_plan"},
    # `pipeline` for types only, see MAY_NAME
    "_fluent": {"graph", "pipeline", "_runtime", "_worker", "_plan", "_model"},
    "pipeline": {"_fluent", "_runtime", "_plan", "_model"},
    "sklearn": {"pipeline"},
    "requests": {"graph", "remote", "_runtime", "_remote", "_observe", "_worker", "_transport", "_plan", "_model"},
    "__main__": {"_runtime", "_remote"},
}
# One class in several files: its parts name the whole in their signatures, and only there.
MAY_NAME = {"_fluent": {"pipeline"}}
FACE = "__init__"  # the package's own __init__: shows names of any part, and no part may import it

# The core is sans-IO: the same events give the same commands, whatever the hour, the thread and the machine.
CORE = {"_model", "_plan", "_scheduler"}
BANNED_IN_CORE = {
    "asyncio",
    "multiprocess",
    "multiprocessing",
    "os",
    "random",
    "select",
    "selectors",
    "signal",
    "socket",
    "subprocess",
    "threading",
    "time",
}

EXECUTORS = "_executors"
SHARED_BY_EXECUTORS = {"port"}


@dataclass(frozen=True)
class Import:
    """One module that one line of one module imports; both by their full dotted names."""

    importer: str
    line: int
    target: str
    for_types: bool = False  # under `if TYPE_CHECKING:`

    @property
    def only_names(self) -> bool:
        """Whether it is one of those that need not point one way, because nothing is loaded by it."""
        return self.for_types and part_of(self.target) in MAY_NAME.get(part_of(self.importer) or "", ())

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.target}"


def read_imports(package: Path) -> list[Import]:
    """Return every import of every module below a package's folder."""
    files = {module_name(path, package): path for path in sorted(package.rglob("*.py"))}
    return [
        Import(name, line, target, for_types)
        for name, path in files.items()
        for line, target, for_types in imports_of(name, path, modules=files.keys())
    ]


def module_name(path: Path, package: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(name: str, path: Path, modules: Collection[str]) -> Iterator[tuple[int, str, bool]]:
    home = name if path.name == "__init__.py" else name.rpartition(".")[0]
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    typed = {id(inner) for node in ast.walk(tree) if is_for_types(node) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name, id(node) in typed) for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                climbed = home.split(".")[: len(home.split(".")) - level + 1] if level else []
                origin = ".".join([*climbed, *([module] if module else [])])
                for alias in names:
                    # `from package import x`: x is a module if there is one of that name, else in package.
                    whole = f"{origin}.{alias.name}"
                    yield node.lineno, whole if whole in modules else origin, id(node) in typed
            case ast.Call(
                func=ast.Attribute(attr="import_module") | ast.Name(id="import_module" | "__import__"),
                args=[ast.Constant(value=str(target)), *_],
            ):
                yield node.lineno, target, False


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def part_of(module: str) -> str | None:
    """Return which part of the package a module belongs to; None if it is not ours."""
    ours, _, rest = module.partition(".")
    if ours != PACKAGE:
        return None
    return rest.split(".")[0] or FACE


def layer_violations(imports: list[Import]) -> list[str]:
    found = []
    for each in imports:
        importer, target = part_of(each.importer), part_of(each.target)
        if target is None or importer in {FACE, target}:
            continue
        if target == FACE:
            found.append(f"{each}: name the module itself, the package's face shows everything")
        elif importer not in MAY_IMPORT:
            found.append(f"{each}: no rule for {importer!r} yet; give it a place in MAY_IMPORT")
        elif target not in MAY_IMPORT[importer] | {"errors"} or (
            target in MAY_NAME.get(importer, ()) and not each.for_types
        ):
            found.append(f"{each}: {importer} may import {sorted(MAY_IMPORT[importer]) or 'nothing of ours'}")
    return found


def core_violations(imports: list[Import]) -> list[str]:
    return [
        f"{each}: the core knows no time, thread, process or socket"
        for each in imports
        if part_of(each.importer) in CORE and each.target.split(".")[0] in BANNED_IN_CORE
    ]


def executor_violations(imports: list[Import]) -> list[str]:
    found = []
    for each in imports:
        if part_of(each.importer) == part_of(each.target) == EXECUTORS:
            executor = each.target.removeprefix(f"{PACKAGE}.{EXECUTORS}").lstrip(".").split(".")[0]
            if executor not in SHARED_BY_EXECUTORS:
                found.append(f"{each}: executors share only {sorted(SHARED_BY_EXECUTORS)}")
    return found


def circle(imports: list[Import]) -> list[str]:
    """Return the modules of one import circle, first and last the same; empty if there is none."""
    graph: dict[str, set[str]] = {}
    for each in imports:
        if part_of(each.target) is not None and not each.only_names:
            graph.setdefault(each.importer, set()).add(each.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


@pytest.fixture(scope="module")
def imports() -> list[Import]:
    return read_imports(SOURCE)


def test_every_part_has_a_rule_and_every_rule_a_part():
    parts = {part_of(module_name(path, SOURCE)) for path in SOURCE.rglob("*.py")}

    assert parts - {FACE} == set(MAY_IMPORT)


def test_imports_point_one_way(imports):
    assert layer_violations(imports) == []


def test_the_core_imports_nothing_that_touches_the_world(imports):
    assert core_violations(imports) == []


def test_no_executor_imports_another(imports):
    assert executor_violations(imports) == []


def test_no_module_imports_itself_by_a_detour(imports):
    assert circle(imports) == []


# The checks themselves: each must find what it is there for.


@pytest.fixture
def plant(tmp_path):
    """Return a function that writes modules, named by their path in the package, and reads their imports."""

    def write_and_read(sources: dict[str, str]) -> list[Import]:
        for place, source in sources.items():
            path = tmp_path / PACKAGE / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source, encoding="utf-8")
        return read_imports(tmp_path / PACKAGE)

    return write_and_read


WAYS_TO_IMPORT_THREADS = {
    "by its name": "import olympipe_like._executors.threads",
    "from its package": "from olympipe_like._executors import threads",
    "a name of it": "from olympipe_like._executors.threads import Threads",
    "by a relative name": "from .._executors import threads",
    "inside a function": "def start():\n    from olympipe_like._executors import threads",
    "for types only": "import typing\nif typing.TYPE_CHECKING:\n    from .._executors import threads",
    "as a string": "import importlib\nimportlib.import_module('olympipe_like._executors.threads')",
}


@pytest.mark.parametrize("source", WAYS_TO_IMPORT_THREADS.values(), ids=WAYS_TO_IMPORT_THREADS.keys())
def test_an_import_against_the_layers_is_found_however_it_is_written(plant, source):
    imports = plant({"_executors/threads.py": "class Threads: ...", "_scheduler/credit.py": source})

    (found,) = layer_violations(imports)
    last_line = len(source.splitlines())
    importer, target = f"olympipe_like._scheduler.credit:{last_line}", "olympipe_like._executors.threads"
    assert found == f"{importer} imports {target}: _scheduler may import ['_model', '_plan']"


@pytest.mark.parametrize(
    ("importer", "target"),
    [
        ("errors.py", "_model"),
        ("_model/item.py", "_plan"),
        ("_plan/graph.py", "_scheduler"),
        ("_scheduler/credit.py", "_worker"),
        ("_transport/codec.py", "_plan"),
        ("_worker/loop.py", "_executors"),
        ("_observe/counters.py", "_scheduler"),
        ("_executors/threads.py", "_scheduler"),
        ("_runtime/driver.py", "pipeline"),
        ("pipeline.py", "_scheduler"),
        ("_fluent/items.py", "_scheduler"),
        ("_model/__init__.py", "_transport"),
        ("_model/item.py", "_brand_new"),
        ("_brand_new/thing.py", "_model"),
    ],
)
def test_each_layer_is_held(plant, importer, target):
    assert len(layer_violations(plant({importer: f"import olympipe_like.{target}"}))) == 1


def test_what_the_layers_allow_is_not_reported(plant):
    imports = plant(
        {
            "__init__.py": "from olympipe_like.pipeline import Pipeline",
            "errors.py": "import traceback",
            "pipeline.py": "from ._runtime import session\nfrom ._plan import graph\nfrom . import errors",
            "_runtime/session.py": "from .._scheduler import edge\nfrom .._executors import port\nimport os",
            "_scheduler/__init__.py": "from .edge import Edge",
            "_scheduler/edge.py": "from .._model.frame import Frame\nimport heapq",
            "_executors/threads.py": "from .port import Executor\nimport threading",
        }
    )

    assert layer_violations(imports) + core_violations(imports) + executor_violations(imports) == []
    assert circle(imports) == []


def test_a_part_of_the_fluent_class_may_name_the_whole_in_its_types_and_nowhere_else(plant):
    whole = "from ._fluent.items import Items"
    typed = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..pipeline import Pipeline"

    named = plant({"pipeline.py": whole, "_fluent/items.py": typed})
    loaded = plant({"pipeline.py": whole, "_fluent/items.py": "def make():\n    from ..pipeline import Pipeline"})

    assert layer_violations(named) + circle(named) == []
    assert len(layer_violations(loaded)) == 1
    assert circle(loaded)


def test_a_part_that_imports_the_packages_face_is_found(plant):
    (found,) = layer_violations(plant({"_runtime/session.py": "from olympipe_like import Pipeline"}))

    assert "name the module itself" in found


@pytest.mark.parametrize("part", sorted(CORE))
@pytest.mark.parametrize("banned", sorted(BANNED_IN_CORE))
def test_a_banned_module_in_the_core_is_found(plant, part, banned):
    imports = plant({f"{part}/new.py": f"import heapq\nfrom {banned} import anything"})

    assert core_violations(imports) == [
        f"olympipe_like.{part}.new:2 imports {banned}: the core knows no time, thread, process or socket"
    ]


def test_a_submodule_of_a_banned_module_in_the_core_is_found(plant):
    assert len(core_violations(plant({"_plan/new.py": "import os.path as paths"}))) == 1


@pytest.mark.parametrize("source", ["from . import threads", "from olympipe_like._executors.threads import Threads"])
def test_an_executor_that_imports_another_is_found(plant, source):
    imports = plant({"_executors/threads.py": "", "_executors/port.py": "", "_executors/inline.py": source})

    (found,) = executor_violations(imports)
    importer, target = "olympipe_like._executors.inline:1", "olympipe_like._executors.threads"
    assert found == f"{importer} imports {target}: executors share only ['port']"


def test_a_circle_over_three_modules_is_found(plant):
    imports = plant(
        {
            "_plan/graph.py": "from .stage import Stage",
            "_plan/stage.py": "def check():\n    from . import checks",
            "_plan/checks.py": "from .graph import Plan",
        }
    )

    found = circle(imports)
    assert found[0] == found[-1]
    assert set(found) == {
        "olympipe_like._plan.graph",
        "olympipe_like._plan.stage",
        "olympipe_like._plan.checks",
    }
