"""Every example runs as a user runs it: as a script, in a process of its own, with the results checked."""

from __future__ import annotations

import json
import os
import random
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

import olympipe_like

EXAMPLES = Path(__file__).parents[2] / "examples"
LIMIT = 50  # seconds; below pytest's own limit, so that the example's output is in the failure


def run_example(name, *arguments, first_on_path=None, expect=0, **environment):
    paths = [Path(olympipe_like.__file__).parents[1]]
    if first_on_path:
        paths.insert(0, first_on_path)
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *map(str, arguments)],
        check=False,
        capture_output=True,
        encoding="utf-8",
        timeout=LIMIT,
        env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(map(str, paths)), "PYTHONUTF8": "1"},
    )
    assert done.returncode == expect, f"{done.stdout}\n{done.stderr}"
    return done


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_every_example_says_what_it_does_and_has_a_test_named_after_it(name):
    text = run_example(name, "--help").stdout

    assert text.startswith(f"usage: {name}")
    stem = name.removesuffix(".py")
    assert [test for test in globals() if test.startswith(f"test_{stem}_")], f"{name} needs a test_{stem}_..."


# -- prepare_images --------------------------------------------------------------------------------

TILES = 120


class Prepared:
    """What one run of the example left behind."""

    def __init__(self, folder, *arguments, example="prepare_images.py"):
        self.folder = folder
        self.done = run_example(example, "--out", folder, *arguments)
        self.tiles = sorted((folder / "tiles").iterdir())
        self.shards = []
        for path in sorted((folder / "shards").iterdir()):
            with np.load(path) as arrays:  # closed, and without pickled objects: plain arrays only
                self.shards.append(dict(arrays))

    def all(self, key):
        return np.concatenate([shard[key] for shard in self.shards])

    def printed(self, what):
        (number,) = re.findall(rf"^{what} +([\d.]+)", self.done.stdout, re.MULTILINE)
        return float(number)

    def report_row(self, stage):
        (row,) = re.findall(rf"^{stage} .*$", self.done.stdout, re.MULTILINE)
        return row.split()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return Prepared(tmp_path_factory.mktemp("prepared") / "out", "--tiles", TILES)


def sharpness(tile):
    red, green, blue = np.asarray(Image.open(tile), dtype=float).transpose(2, 0, 1)
    grey = 0.299 * red + 0.587 * green + 0.114 * blue
    return ndimage.laplace(grey)[1:-1, 1:-1].var()


def test_prepare_images_keeps_exactly_the_sharp_tiles_in_order(prepared):
    sharp = [tile.stem for tile in prepared.tiles if sharpness(tile) > 100]

    assert len(prepared.tiles) == TILES
    assert TILES * 0.5 < len(sharp) < TILES * 0.9  # the filter has something to do
    assert prepared.all("names").tolist() == sharp
    photographs = ["china", "flower"]
    assert prepared.all("labels").tolist() == [photographs.index(name.split("-")[1]) for name in sharp]
    assert set(prepared.all("labels").tolist()) == {0, 1}


def test_prepare_images_writes_full_shards_of_normalised_images(prepared):
    sizes = [len(shard["images"]) for shard in prepared.shards]

    assert set(sizes[:-1]) == {32}
    assert 1 <= sizes[-1] <= 32
    for shard, size in zip(prepared.shards, sizes, strict=True):
        assert set(shard) == {"images", "labels", "names"}
        assert shard["images"].shape == (size, 128, 128, 3)
        assert shard["images"].dtype == np.float32
        assert shard["labels"].shape == shard["names"].shape == (size,)
        assert shard["labels"].dtype.kind == "i"
    pixels = (prepared.all("images") * [0.229, 0.224, 0.225] + [0.485, 0.456, 0.406]) * 255
    assert np.abs(pixels - pixels.round()).max() < 0.01  # whole again, so nothing but the scale changed
    assert pixels.min() > -0.01
    assert pixels.max() < 255.01
    assert pixels.std(axis=(1, 2, 3)).min() > 3  # and there are pictures in them
    names = [path.name for path in sorted((prepared.folder / "shards").iterdir())]
    assert names == [f"shard-{shard['names'][0]}.npz" for shard in prepared.shards]


def test_prepare_images_changes_every_tile_but_leaves_its_picture(prepared):
    pictures = prepared.all("images") * [0.229, 0.224, 0.225] + [0.485, 0.456, 0.406]

    mirrored = 0
    for name, picture in zip(prepared.all("names"), pictures, strict=True):
        with Image.open(prepared.folder / "tiles" / f"{name}.jpg") as tile:
            plain = np.asarray(tile.resize((128, 128))) / 255
        straight, turned = (abs(picture - side).mean() for side in (plain, plain[:, ::-1]))
        assert 0.004 < min(straight, turned) < 0.25  # more than one grey level, less than another picture
        mirrored += turned < straight

    assert len(pictures) * 0.25 < mirrored < len(pictures) * 0.75


def test_prepare_images_prints_numbers_that_add_up(prepared):
    kept = len(prepared.all("names"))

    assert prepared.printed("tiles read") == TILES
    assert prepared.printed("tiles kept") == kept
    assert prepared.printed("tiles dropped") == TILES - kept
    assert prepared.printed("tiles failed") == 0
    assert prepared.printed("shards written") == len(prepared.shards)
    assert 0 < prepared.printed("seconds") < LIMIT
    assert str(prepared.folder / "shards") in prepared.done.stdout
    assert "Traceback" not in prepared.done.stderr


def test_prepare_images_survives_an_image_that_crashes_the_decoder_and_names_it(prepared, tmp_path):
    bad = prepared.all("names")[40]
    source = (EXAMPLES / "prepare_images.py").read_text(encoding="utf-8")
    line = "    name, data = file\n"
    assert source.count(line) == 1
    crash = f"    if name == {bad!r}:\n        import ctypes\n\n        ctypes.string_at(0)\n"
    (tmp_path / "crashing.py").write_text(source.replace(line, line + crash), encoding="utf-8")

    survived = Prepared(tmp_path / "out", "--tiles", TILES, example=tmp_path / "crashing.py")

    assert survived.all("names").tolist() == [name for name in prepared.all("names").tolist() if name != bad]
    assert survived.printed("tiles failed") == 1
    (line,) = re.findall(r"^  stage 2/8 'decode': worker crashed .*$", survived.done.stdout, re.MULTILINE)
    assert line.startswith("  stage 2/8 'decode': worker crashed with SIGSEGV; gave up after 3 attempts — item ")
    assert bad in line
    assert "Every item is accounted for." in survived.done.stdout


def test_prepare_images_prints_a_report_with_the_same_numbers(prepared):
    kept, shards = len(prepared.all("names")), len(prepared.shards)

    for stage, workers, taken, given in [
        ("read", "1", TILES, TILES),
        ("decode", "2", TILES, TILES),
        ("augment", "2", kept, kept),
        ("write_shard", "1", shards, shards),
    ]:
        assert prepared.report_row(stage)[1:4] == [workers, str(taken), str(given)]
    assert prepared.report_row("is_sharp")[2:5] == [str(TILES), str(kept), str(TILES - kept)]


def test_prepare_images_draws_the_tile_and_what_became_of_it_side_by_side(prepared):
    with Image.open(prepared.folder / "contact_sheet.png") as sheet:
        assert sheet.format == "PNG"
        assert sheet.size == (1232, 1194)
        before, after = sheet.crop((48, 152, 176, 280)), sheet.crop((180, 152, 308, 280))

    first = prepared.all("images")[0] * [0.229, 0.224, 0.225] + [0.485, 0.456, 0.406]
    assert np.abs(np.asarray(after) - first * 255).max() < 1
    with Image.open(prepared.folder / "tiles" / f"{prepared.all('names')[0]}.jpg") as tile:
        assert np.asarray(before).tolist() == np.asarray(tile.resize((128, 128), 1)).tolist()


def test_prepare_images_gives_the_same_shards_inline(prepared, tmp_path):
    inline = Prepared(tmp_path / "out", "--tiles", TILES, "--inline")

    for key in ("names", "labels", "images"):
        np.testing.assert_array_equal(inline.all(key), prepared.all(key))


def test_prepare_images_gives_other_shards_for_another_seed(prepared, tmp_path):
    other = Prepared(tmp_path / "out", "--tiles", TILES, "--inline", "--seed", 1)

    assert [tile.name for tile in other.tiles] == [tile.name for tile in prepared.tiles]
    assert other.all("names").tolist() != prepared.all("names").tolist()


def test_prepare_images_names_the_temporary_folder_it_made(tmp_path):
    done = run_example("prepare_images.py", "--tiles", 3, "--workers", 1, TMPDIR=str(tmp_path))

    (sheet,) = re.findall(r"^contact sheet: +(.+)$", done.stdout, re.MULTILINE)
    assert Path(sheet).is_file()
    assert [Path(sheet).parent] == list(tmp_path.glob("prepared-images-*"))
    assert len(list((Path(sheet).parent / "tiles").iterdir())) == 3


def test_prepare_images_leaves_a_folder_with_files_in_it_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")

    done = run_example("prepare_images.py", "--out", tmp_path, expect=2)

    assert f"--out {tmp_path} is not empty" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("example", ["prepare_images.py", "image_graph.py"])
@pytest.mark.parametrize("module", ["numpy", "PIL", "sklearn"])
def test_prepare_images_names_the_extra_to_install_in_one_line(example, module, tmp_path):
    (tmp_path / f"{module}.py").write_text("raise ModuleNotFoundError('No module', name=__name__)")

    done = run_example(example, first_on_path=tmp_path, expect=1)

    (line,) = done.stderr.splitlines()
    assert f"({module} is missing)" in line
    assert line.endswith("pip install 'olympipe-like[demo]'")


# -- image_graph -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stages") / "out"
    return folder, run_example("image_graph.py", "--out", folder).stdout


def test_image_graph_rotates_each_photograph_by_the_angle_it_prints(stages):
    folder, printed = stages
    angles = dict(re.findall(r"^(\w+)\.png +rotated by +(-?[\d.]+) degrees$", printed, re.MULTILINE))

    assert set(angles) == {"china", "flower"}
    for name, angle in angles.items():
        plain = np.asarray(Image.open(folder / f"{name}.png")) / 255
        made = np.asarray(Image.open(folder / f"{name}_rotated.png")) / 255
        expected = ndimage.rotate(plain, float(angle), reshape=False, cval=1.0)
        assert -45 <= float(angle) <= 45
        assert made.shape == plain.shape == (427, 640, 3)
        # The noise takes an eighth away on average; smoothed, the rest is the picture.
        ratio = ndimage.uniform_filter(made, 15)[100:-100, 200:-200] / ndimage.uniform_filter(expected, 15)[
            100:-100, 200:-200
        ].clip(0.05)
        assert 0.8 < np.median(ratio) < 0.95
        assert np.percentile(abs(ratio - np.median(ratio)), 90) < 0.1


def test_image_graph_draws_three_stages_of_two_photographs_side_by_side(stages):
    folder, _ = stages
    with Image.open(folder / "stages.png") as sheet:
        assert sheet.format == "PNG"
        assert sheet.size == (1064, 644)
        pixels = np.asarray(sheet.convert("RGB")) / 255

    for row, name in enumerate(["china", "flower"]):
        top = 90 + row * 284
        whole = Image.open(folder / f"{name}.png").resize((320, 214), Image.Resampling.LANCZOS)
        image, noisy, rotated = (pixels[top : top + 214, left : left + 320] for left in (32, 372, 712))
        assert np.abs(image - np.asarray(whole) / 255).mean() < 0.02
        assert 0.02 < np.abs(noisy - image).mean() < 0.15
        assert np.abs(rotated - noisy).mean() > 0.1
        assert rotated[0, 0].min() == 1.0  # a corner that the rotation left empty


def test_image_graph_draws_the_graph_and_is_the_same_again(stages, tmp_path):
    folder, printed = stages

    again = run_example("image_graph.py", "--out", tmp_path).stdout
    other = run_example("image_graph.py", "--out", tmp_path / "other", "--seed", 1).stdout

    assert again.replace(str(tmp_path), str(folder)) == printed
    assert other.splitlines()[0] != printed.splitlines()[0]
    drawn = (folder / "graph.mmd").read_text(encoding="utf-8")
    assert drawn.startswith("flowchart TB\n")
    assert "noisy_image<br/>image * noise" in drawn


# -- client_records --------------------------------------------------------------------------------


def lists_in(folder):
    names = ("no_email", "no_phone", "complete")
    return [json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in names]


def can_be_written_to(record):
    user, at, host = (record.get("email") or "").partition("@")
    letters = (user + host).replace(".", "").replace("-", "").replace("+", "")
    return bool(user and at and letters.isalnum() and "." in host and all(host.split(".")))


def can_be_called(record):
    digits = [letter for letter in record.get("phone") or "" if letter not in " -.()+"]
    return 8 <= len(digits) <= 15 and set(digits) <= set("0123456789")


def test_client_records_come_out_in_the_right_lists(tmp_path):
    records = json.loads((EXAMPLES / "data" / "clients.json").read_text(encoding="utf-8"))

    done = run_example("client_records.py", "--out", tmp_path)

    no_email, no_phone, complete = lists_in(tmp_path)
    assert no_email == [record for record in records if not can_be_written_to(record)]
    reachable = [record for record in records if can_be_written_to(record)]
    assert no_phone == [record for record in reachable if not can_be_called(record)]
    assert complete == [record for record in reachable if can_be_called(record)]
    assert (len(no_email), len(no_phone), len(complete)) == (11, 6, 43)
    assert done.stdout.startswith("60 client records, 43 complete\n")
    first, second = done.stdout.split("\n\n")[1:]
    for text, found in ((first, no_email), (second, no_phone)):
        assert text.splitlines()[0].endswith(f": {len(found)}")
        listed = [line[2:22].rstrip() for line in text.splitlines()[1:]]
        assert listed == [record["name"] for record in found]


def test_client_records_sorts_any_file_of_records(tmp_path):
    chance = random.Random(20)
    emails = {"a.b+c@example.com": True, "x@mail.example.org": True, "x@example": False, None: False}
    phones = {"+44 20 7946 0112": True, "(206) 555-0102": True, "5550102": False, "": False}
    records, expected = [], ([], [], [])
    for number in range(500):
        email, phone = chance.choice(list(emails)), chance.choice(list(phones))
        records.append({"name": f"client {number}", "city": "Bern", "email": email, "phone": phone})
        expected[0 if not emails[email] else 1 if not phones[phone] else 2].append(records[-1])
    (tmp_path / "records.json").write_text(json.dumps(records))

    run_example("client_records.py", "--records", tmp_path / "records.json", "--out", tmp_path / "out")

    assert lists_in(tmp_path / "out") == list(expected)


# -- queued_steps ----------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [(), ("--processes",)], ids=["threads", "processes"])
def test_queued_steps_gives_the_same_in_every_form_and_learns(arguments):
    said = run_example("queued_steps.py", *arguments).stdout

    assert len(re.findall(r"^.*step\) +as expected$|^step +as expected$", said, re.MULTILINE)) == 6
    hosts = re.search(r"answers of hosts: 200, of (.*)", said)[1].split(" and ")
    assert set(hosts) <= {"host1", "host2"}  # one of them may be quick enough to answer all
    assert "features of 1797 digits: 80" in said
    assert float(re.search(r"not seen before: ([\d.]+)%", said)[1]) > 90


def test_queued_steps_measures_rows_and_columns_of_the_digits_beside_their_pixels():
    script = runpy.run_path(str(EXAMPLES / "queued_steps.py"))
    images = np.random.default_rng(0).integers(0, 17, (250, 64)).astype(float)

    features = script["measure"](images, use_processes=False)

    squares = images.reshape(-1, 8, 8)
    np.testing.assert_allclose(features, np.hstack([images, squares.sum(axis=2), squares.sum(axis=1)]))


# -- remote_workers --------------------------------------------------------------------------------


def test_remote_workers_lose_nothing_when_a_machine_is_killed():
    done = run_example("remote_workers.py", "--blocks", "90")

    assert "30 blocks are done; killing the machine 'grace'" in done.stdout
    assert "WARNING worker grace (key 'local') is lost (its main process was killed)" in done.stderr
    assert re.search(r"1\.\d +count_primes +grace +\d+ .* left\n", done.stdout)
    assert "Every item is accounted for." in done.stdout
    primes = sum(all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(2, 180_000))
    assert f"{primes} primes below 180000, from 90 of 90 blocks" in done.stdout


# -- ask_workers -----------------------------------------------------------------------------------


def test_ask_workers_draws_every_sample_though_a_worker_is_killed():
    done = run_example("ask_workers.py", "--samples", "80")

    assert "40 samples are drawn; killing worker" in done.stdout
    found = re.search(r"80 samples from 2 workers, of lengths 1 to (\d+)\nthe model is at level (\d+)\n", done.stdout)
    assert found, done.stdout
    assert 8 <= int(found[1]) <= int(found[2])
