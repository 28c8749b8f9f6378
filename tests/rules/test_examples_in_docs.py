"""What the documents show works: Python blocks run as scripts, docstring examples give what they say.

A fenced block's info string says what is done with it:

- ``python``: run as a script of its own, in an empty folder, within a minute;
- ``python continued``: belongs to the block before it; both run as one script;
- ``python no-run``: compiled only, for what needs a service or a file that is not there.
"""

from __future__ import annotations

import doctest
import importlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import olympipe_like

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "olympipe_like"
SECONDS = 60.0  # for one script; above what any example may need on a slow machine

FENCE = re.compile(r"(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,})[ \t]*(?P<info>[^`]*)$")


@dataclass(frozen=True)
class Script:
    """A block, or several that continue each other, as one source text."""

    document: str
    line: int  # of the first block's first line, from 1
    source: str  # every line at the line number it has in the document, so that tracebacks point there
    runs: bool

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def documents(root: Path) -> list[Path]:
    return [path for path in (root / "README.md", *sorted((root / "docs").glob("**/*.md"))) if path.is_file()]


def scripts_in(path: Path, root: Path) -> list[Script]:
    scripts: list[Script] = []
    for line, info, body in blocks_in(path):
        language, *orders = info.split() or [""]
        if language not in {"python", "py", "python3"}:
            continue
        source = "\n" * (line - 1) + body
        match orders:
            case []:
                scripts.append(Script(path.relative_to(root).as_posix(), line, source, runs=True))
            case ["no-run"]:
                scripts.append(Script(path.relative_to(root).as_posix(), line, source, runs=False))
            case ["continued"] if scripts and scripts[-1].runs:
                begun = scripts.pop()
                gap = "\n" * (line - 1 - begun.source.count("\n"))
                scripts.append(Script(begun.document, begun.line, begun.source + gap + body, runs=True))
            case _:
                msg = f"{path}:{line}: cannot follow ```{info}"
                raise ValueError(msg)
    return scripts


def blocks_in(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield line number, info string and text of each fenced block."""
    opened: re.Match[str] | None = None
    begin, body = 0, []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        fence = FENCE.match(line)
        if opened is None:
            if fence:
                opened, begin, body = fence, number + 1, []
        elif fence and not fence["info"] and fence["fence"].startswith(opened["fence"]):
            yield begin, opened["info"].strip(), "".join(f"{each}\n" for each in body)
            opened = None
        else:
            # A block inside a list is indented as a whole.
            body.append(line.removeprefix(opened["indent"]))
    if opened is not None:
        msg = f"{path}:{begin - 1}: this block is never closed"
        raise ValueError(msg)


def run_script(script: Script, folder: Path, seconds: float = SECONDS) -> None:
    """Run a script in a folder; fail with all it said if it fails, or takes too long."""
    path = folder / f"{script.document.replace('/', '_')}.py"
    path.write_text(script.source, encoding="utf-8")
    search_path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    with subprocess.Popen(
        [sys.executable, str(path)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": search_path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # so that a hanging run can be ended with all its processes
    ) as child:
        try:
            said, _ = child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            said, _ = child.communicate()
            pytest.fail(f"{script} was not done after {seconds:g} s. It said:\n{said}", pytrace=False)
    if child.returncode:
        pytest.fail(f"{script} ended with exit code {child.returncode}. It said:\n{said}", pytrace=False)


SCRIPTS = [script for path in documents(ROOT) for script in scripts_in(path, ROOT)]
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted(SOURCE.rglob("*.py"))
    if path.name != "__main__.py"
]


def test_the_readme_has_examples_that_run():
    assert [script for script in SCRIPTS if script.document == "README.md" and script.runs]


@pytest.mark.timeout(SECONDS + 30)
@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_an_example_in_the_documents_works(script, tmp_path):
    compile(script.source, str(script), "exec")
    if script.runs:
        run_script(script, tmp_path)


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_in_docstrings_give_what_they_say(module, capsys):
    # What documents a method of Pipeline need not import it.
    shown = {"Pipeline": olympipe_like.Pipeline}
    result = doctest.testmod(importlib.import_module(module), extraglobs=shown, optionflags=doctest.ELLIPSIS)

    assert result.failed == 0, capsys.readouterr().out


def test_there_are_examples_in_docstrings():
    finder = doctest.DocTestFinder(exclude_empty=True)
    assert any(each.examples for module in MODULES for each in finder.find(importlib.import_module(module)))


# The reading of documents itself.


@pytest.fixture
def read(tmp_path):
    """Return a function that writes a document and returns its scripts."""

    def write_and_read(text: str) -> list[Script]:
        (tmp_path / "page.md").write_text(text, encoding="utf-8")
        return scripts_in(tmp_path / "page.md", tmp_path)

    return write_and_read


def test_only_python_blocks_are_scripts(read):
    scripts = read("```sh\nmake\n```\n\n```python\nx = 1\n```\n\n    indented = 'text'\n\n```\nplain\n```\n")

    assert [(str(script), script.source.strip(), script.runs) for script in scripts] == [("page.md:6", "x = 1", True)]


def test_a_continued_block_keeps_its_line_numbers(read):
    (script,) = read("```python\nx = 1\n```\ntext\n\n```python continued\nassert x == 1\n```\n")

    assert script.source.splitlines() == ["", "x = 1", "", "", "", "", "assert x == 1"]


def test_a_block_in_a_list_loses_its_indent(read):
    (script,) = read("- so:\n\n  ```python\n  if True:\n      x = 1\n  ```\n")

    assert script.source.split("\n")[3:5] == ["if True:", "    x = 1"]


def test_a_longer_fence_may_hold_a_shorter_one(read):
    assert read("````markdown\n```python\nraise SystemExit(1)\n```\n````\n") == []


def test_a_block_not_to_be_run_is_only_compiled(read):
    (script,) = read("```python no-run\nraise SystemExit(1)\n```\n")

    assert not script.runs


@pytest.mark.parametrize("info", ["python norun", "python continued", "python no-run continued"])
def test_an_info_string_that_cannot_be_followed_is_refused(read, info):
    with pytest.raises(ValueError, match=rf"page\.md:2: cannot follow ```{info}"):
        read(f"```{info}\nx = 1\n```\n")


def test_a_block_that_is_never_closed_is_refused(read):
    with pytest.raises(ValueError, match=r"page\.md:3: this block is never closed"):
        read("text\n\n```python\nx = 1\n")


def test_an_example_that_fails_is_reported_with_its_line_in_the_document(read, tmp_path):
    (script,) = read("text\n\n```python\nprint('said before')\n1 / 0\n```\n")

    with pytest.raises(
        pytest.fail.Exception, match=r"(?s)page\.md:4 ended with exit code 1.*line 5.*ZeroDivisionError"
    ):
        run_script(script, tmp_path)


def test_an_example_that_hangs_is_ended_with_its_processes(read, tmp_path):
    (script,) = read(
        "```python\nimport subprocess, sys\n"
        "subprocess.run([sys.executable, '-c', 'import time; print(1, flush=True); time.sleep(600)'])\n```\n"
    )

    # Ends only when every process that holds the pipe is gone.
    with pytest.raises(pytest.fail.Exception, match=r"page\.md:2 was not done after 2 s"):
        run_script(script, tmp_path, seconds=2.0)
