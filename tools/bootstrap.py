"""Make `.venv` if need be, then run one target in it: demo, test, bench, lint or clean.

    python3 tools/bootstrap.py test [arguments for pytest]

`make test` is the same, shorter. Uses the standard library only and installs
nothing outside the clone. Knows which extras a target needs and how to get an
environment from a Python that lacks `venv`. Does not know what the targets do.

Pythons that are too old must be able to parse this file and to import what it
imports, so that they reach the check in `main`: no syntax newer than 3.6 here.
"""

import argparse
import contextlib
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

OLDEST: "tuple[int, int]" = (3, 10)  # A SyntaxError in this line? olympipe_like needs Python 3.10 or newer.

if sys.version_info < OLDEST:
    sys.exit(
        f"olympipe_like needs Python 3.10 or newer; {sys.executable} is {sys.version.split()[0]}. "
        "Name another one: make test PYTHON=python3.12"
    )
if os.name != "posix":
    sys.exit("olympipe_like runs on Linux and macOS. On Windows, use it inside WSL.")

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = str(VENV / "bin" / "python")
STAMP = VENV / "olympipe_like.json"  # what was installed; inside, so that it goes when the environment goes

PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input")
# Python 3.10.0 brings pip 21.2, which cannot install a hatchling project in editable mode; 21.3 can.
PIP_FOR_EDITABLE = "pip>=21.3"
DEBIAN = "On Debian and Ubuntu: sudo apt install python3-venv"

# Each target: the extra it needs, and its commands. What the user adds goes to the end of each command.
TARGETS: dict[str, tuple[str, list[list[str]]]] = {
    "demo": ("demo", [["examples/prepare_images.py"]]),
    # Three at a time, however many cores there are: many wait, and those of time limits want a core. `-n 0`: one.
    "test": ("test", [["-m", "pytest", "-n", "3"]]),
    "bench": ("bench", [["-m", "benchmarks"]]),
    "lint": (
        "test",
        [["-m", "ruff", "format", "--check"], ["-m", "ruff", "check"], ["-m", "mypy", "--strict"]],
    ),
}

LEFTOVERS = (".venv", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", "build", "dist")


def main() -> None:
    """Run the target named on the command line; leave with its exit code."""
    parser = argparse.ArgumentParser(prog="tools/bootstrap.py", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("target", choices=[*TARGETS, "clean"])
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="passed on to what the target runs")
    asked = parser.parse_args()

    os.chdir(ROOT)
    if asked.target == "clean":
        clean()
        return
    extra, commands = TARGETS[asked.target]
    with only_one_at_a_time():
        prepare(extra)
    commands = [[VENV_PYTHON, *command, *asked.arguments] for command in commands]
    if len(commands) == 1:
        # Become the command: Ctrl-C and a CI's SIGTERM then reach it, and its exit code is ours.
        os.execv(VENV_PYTHON, commands[0])  # noqa: S606 (no shell is wanted)
    # All of them, so that one run shows everything there is to mend.
    sys.exit(max([subprocess.call(command) for command in commands], key=abs))


def prepare(extra: str) -> None:
    """Bring the environment to what pyproject.toml asks for; quick if it is there already."""
    stamp = read_stamp()
    reason = why_remake(stamp)
    if reason:
        say(f"making .venv with Python {sys.version.split()[0]} ({reason})")
        make_venv()
        stamp = {}
    # Once asked for, an extra stays: `make test` after `make bench` must not change versions to and fro.
    extras = ",".join(sorted({extra, *filter(None, stamp.get("extras", "").split(","))}))
    wanted = {
        "root": str(ROOT),
        "pyproject": hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest(),
        "extras": extras,
    }
    if stamp == wanted:
        return
    say(f"installing olympipe_like[{extras}] into .venv; once, a minute or so")
    STAMP.unlink(missing_ok=True)
    # The first costs no network where pip is new enough, which is nearly everywhere.
    for packages in ([PIP_FOR_EDITABLE], ["--editable", f".[{extras}]"]):
        if subprocess.call([VENV_PYTHON, *PIP, "install", "--quiet", *packages]):
            fail(f"pip could not install {packages[-1]}; its message is above. Is a package index in reach?")
    STAMP.write_text(json.dumps(wanted), encoding="utf-8")


def read_stamp() -> dict[str, str]:
    """Return what was installed last; empty if nothing was, or not to the end."""
    try:
        return dict(json.loads(STAMP.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def why_remake(stamp: dict[str, str]) -> str:
    """Return why the environment cannot be used as it is; empty if it can."""
    if not VENV.exists():
        return "there is none yet"
    if not (VENV / "pyvenv.cfg").is_file() and any(VENV.iterdir()):
        fail(f"{VENV} is no virtual environment, so it is not mine to replace; move it away and try again")
    if stamp and stamp["root"] != str(ROOT):
        return "the clone was moved"  # scripts and the editable install hold absolute paths
    try:
        asked = quiet([VENV_PYTHON, "-c", "import sys, pip; print('%d.%d' % sys.version_info[:2])"])
    except OSError:
        return "the old one's Python is gone"
    version = asked.stdout.decode().strip()
    if asked.returncode:
        return "the old one does not work"
    if version != f"{sys.version_info[0]}.{sys.version_info[1]}":
        return f"the old one has Python {version}"
    return ""


def make_venv() -> None:
    """Make a new environment in the place of any old one, with `venv` or else with `virtualenv`."""
    # Run from inside the environment that is about to go, its Python goes as well: use the one it came from.
    inside = Path(sys.prefix).resolve() == VENV
    python = getattr(sys, "_base_executable", sys.executable) if inside else sys.executable
    if VENV.is_symlink():
        fail(f"{VENV} is a link and cannot be used as it is; remove it and try again")
    if VENV.exists():
        shutil.rmtree(VENV)

    # Debian takes venv apart: the module is there and ensurepip is not. Only trying tells.
    made = quiet([python, "-m", "venv", str(VENV)])
    if made.returncode == 0:
        return
    shutil.rmtree(VENV, ignore_errors=True)
    if importlib.util.find_spec("pip") is None:
        fail(f"{python} has neither a working venv nor pip. {DEBIAN}")
    say("this Python cannot make environments by itself; getting virtualenv")
    with tempfile.TemporaryDirectory() as folder:
        # --target needs no rights, and works where the system's Python is "externally managed" (PEP 668).
        made = quiet([python, *PIP, "install", "--quiet", "--target", folder, "virtualenv"])
        if made.returncode == 0:
            made = quiet([python, "-m", "virtualenv", "--quiet", str(VENV)], {**os.environ, "PYTHONPATH": folder})
    if made.returncode:
        shutil.rmtree(VENV, ignore_errors=True)
        sys.stderr.write(made.stdout.decode(errors="replace"))
        fail(f"could not make .venv; why is above. {DEBIAN}")


def quiet(command: list[str], environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run a command and return what it said instead of showing it."""
    return subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )


@contextlib.contextmanager
def only_one_at_a_time() -> Iterator[None]:
    """Hold other bootstraps of this clone back: `make -j demo test` must not build one .venv twice."""
    import fcntl  # absent on Windows, which must get as far as its message

    with (ROOT / "pyproject.toml").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def clean() -> None:
    """Remove the environment and every cache; never a file that git knows."""
    for name in LEFTOVERS:
        shutil.rmtree(ROOT / name, ignore_errors=True)
    for folder in ROOT.glob("*/**/__pycache__"):
        shutil.rmtree(folder, ignore_errors=True)


def say(text: str) -> None:
    """Print a line about the environment, apart from the target's own output."""
    print(f"bootstrap: {text}", file=sys.stderr, flush=True)


def fail(text: str) -> NoReturn:
    """End with one clear line."""
    sys.exit(f"bootstrap: {text}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
