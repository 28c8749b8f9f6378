"""Each example of sampling runs as a user runs it: as a script, in a process of its own, with the results checked."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "sampling"
LIMIT = 55  # seconds; below pytest's own limit, so that the example's output is in the failure


def run(name, *arguments):
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *map(str, arguments)],
        check=False,
        capture_output=True,
        encoding="utf-8",
        timeout=LIMIT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def accuracies(text):
    return [float(number) for number in re.findall(r"accuracy ([\d.]+)", text)]


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_every_example_of_sampling_says_what_it_does_and_has_a_test_named_after_it(name):
    assert run(name, "--help").startswith(f"usage: {name}")
    stem = name.removesuffix(".py")
    assert [test for test in globals() if test.startswith(f"test_{stem}_")], f"{name} needs a test_{stem}_..."


def test_noisy_samples_teach_a_classifier_also_from_another_process():
    text = run("noisy_samples.py", "--samples", 2000, "--seed", 1)

    one, several, lossy, background = accuracies(text)
    assert "samples of shape (30,)" in text
    assert one > 0.9
    assert min(several, lossy) > 0.8
    assert background == several  # the same seed gives the same samples in any process


def test_from_files_learns_from_all_files_with_few_of_them_open():
    text = run("from_files.py", "--files", 40, "--open", 6, "--samples", 240)

    archives, mapped, three, _ = accuracies(text)
    files = [int(number) for number in re.findall(r"(\d+) files", text)]
    most = [int(number) for number in re.findall(r"(\d+) samples of one", text)]
    assert archives == mapped > 0.75  # the same rows, however they are read
    assert three > 0.6
    assert files[0] == files[1] > 10
    assert files[2] == 3
    assert 80 <= most[2] < 120  # three files share 240 samples
    assert most[3] >= 80


def test_epochs_give_all_rows_in_another_order_each_time_and_can_be_resumed():
    text = run("epochs.py", "--epochs", 3)

    assert len(re.findall(r"epoch \d: 1000 of 1000 rows", text)) == 3
    assert "3 different orders of the same 1000 rows" in text
    assert all(float(number) > 0.8 for number in re.findall(r"validation ([\d.]+)", text))
    assert "cycle: 1000 rows, and once more; in turn: 00/0 01/0 02/0 00/1 01/1 02/1" in text
    assert "resumed after 350: 650 rows, as if never stopped: True" in text


def test_hierarchy_draws_by_the_weights_of_populations_and_by_what_the_model_says():
    text = run("hierarchy.py", "--seed", 3)

    even, three_to_one = (int(number) for number in re.findall(r"(\d+)% upper case, 52 letters", text))
    assert (abs(even - 50) < 4, abs(three_to_one - 75) < 4) == (True, True)
    alike, told = re.findall(r"^(?:all|hard) digits .*$", text, re.MULTILINE)
    spreads = []
    for line in (alike, told):
        counts = [int(number) for number in re.findall(r"\d:(\d+)", line)]
        assert sum(counts) == 3000
        spreads.append(max(counts) / min(counts))
    assert min(accuracies(text)) > 0.88
    assert spreads[0] < 1.4
    assert spreads[1] > 2


def test_stop_and_go_on_ends_with_the_same_model():
    text = run("stop_and_go_on.py", "--batches", 60, "--stop", 23)

    whole, stopped = accuracies(text)
    assert whole == stopped > 0.7
    assert "the same model: True" in text
    assert int(re.findall(r"has (\d+) bytes", text)[0]) < 1000
