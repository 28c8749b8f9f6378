"""A file that outgrows a reader's patience gets split, not excused."""

from __future__ import annotations

from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "olympipe_like"

MOST_LINES = 400


def too_long(package: Path) -> list[str]:
    """Return a line for each source file that has more lines than it may."""
    found = []
    for path in sorted(package.rglob("*.py")):
        place = path.relative_to(package).as_posix()
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > MOST_LINES:
            found.append(f"{place} has {lines} lines, {MOST_LINES} at most")
    return found


def test_no_file_is_too_long():
    assert any(SOURCE.rglob("*.py"))
    assert too_long(SOURCE) == []


def test_one_line_too_many_is_found(tmp_path):
    (tmp_path / "_plan").mkdir()
    (tmp_path / "_plan" / "graph.py").write_text("pass\n" * 400)
    (tmp_path / "_plan" / "layout.py").write_text("pass\n" * 401)

    assert too_long(tmp_path) == ["_plan/layout.py has 401 lines, 400 at most"]
