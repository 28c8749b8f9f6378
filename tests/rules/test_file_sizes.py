"""A file that outgrows a reader's patience gets split, not excused."""

from __future__ import annotations

from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "olympipe_like"

MOST_LINES = 400
# The fluent class cannot be split; each of its methods is a signature, a short docstring and one line.
MOST_LINES_OF = {"pipeline.py": 480}


def too_long(package: Path) -> list[str]:
    """Return a line for each source file that has more lines than it may."""
    found = []
    for path in sorted(package.rglob("*.py")):
        place = path.relative_to(package).as_posix()
        lines = len(path.read_text(encoding="utf-8").splitlines())
        most = MOST_LINES_OF.get(place, MOST_LINES)
        if lines > most:
            found.append(f"{place} has {lines} lines, {most} at most")
    return found


def test_no_file_is_too_long():
    assert any(SOURCE.rglob("*.py"))
    assert too_long(SOURCE) == []


def test_one_line_too_many_is_found(tmp_path):
    (tmp_path / "_plan").mkdir()
    (tmp_path / "_plan" / "graph.py").write_text("pass\n" * 400)
    (tmp_path / "_plan" / "pipeline.py").write_text("pass\n" * 401)
    (tmp_path / "pipeline.py").write_text("pass\n" * 481)

    assert too_long(tmp_path) == [
        "_plan/pipeline.py has 401 lines, 400 at most",
        "pipeline.py has 481 lines, 480 at most",
    ]
