"""What each workload is: its source, its stages, what must come out and what is measured.

Knows no library that runs the stages, and no clock but its own pace. Stage functions stand at the top level,
so that every library can send them to its workers. numpy and Pillow are imported where they are used: a
start-up figure must not pay for them.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from mmap import mmap
from pathlib import Path
from typing import Any, Literal

MIB = 1024 * 1024

# Set by the process that starts the measurements, so that every process of one run agrees.
LOOPS_VARIABLE = "BENCHMARK_LOOPS_PER_MS"
IMAGES_VARIABLE = "BENCHMARK_IMAGES"
ARCHIVES_VARIABLE = "BENCHMARK_ARCHIVES"

# glibc gives blocks above a threshold back at once, and an array of 1 MiB then pays its page faults anew in
# every stage. That alone is worth a factor of two, so the two workloads it touches are also run without it,
# for all peers alike.
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(32 * MIB),
    "MALLOC_TRIM_THRESHOLD_": str(512 * MIB),
}


@dataclass(frozen=True, slots=True)
class Map:
    """One result for each item."""

    function: Callable[[Any], Any]
    workers: int = 1


@dataclass(frozen=True, slots=True)
class Filter:
    """The items for which ``keep`` is true."""

    keep: Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Batch:
    """Lists of ``size`` items; the last may be shorter."""

    size: int


Stage = Map | Filter | Batch


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that is measured."""

    name: str
    unit: str
    higher_is_better: bool = False
    times_olympipe: float | None = 1.0  # how much better than Olympipe 2.2 we want to be; None: no target
    rival: str = "olympipe"  # the peer that is meant, if it is another
    below: float | None = None  # what we want to stay under


SECONDS = Figure("wall", "s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One thing to measure, for every peer the same.

    ``amount`` is what the first figure counts per second; None: the first figure is the time itself.
    ``chunk`` is how many items a sensible person would put in one message of a hand-written chain, ``large``
    whether such a message holds so many bytes that sending should overlap with work.
    """

    title: str
    items: int
    source: Callable[[], Any]  # makes the items, or a `Mux` that each peer builds of its own parts
    stages: tuple[Stage, ...]
    expected: Callable[[], list[Any]]
    mode: Literal["collect", "start", "latency", "leave", "draw"] = "collect"
    figures: tuple[Figure, ...] = (SECONDS,)
    amount: float | None = None
    chunk: int = 1
    large: bool = False
    summary: Callable[[list[Any]], list[Any]] = field(default=list)  # results -> what ``expected`` lists
    memory: bool = False  # whether its peak memory says something
    environment: Mapping[str, str] = field(default_factory=dict)


# --- W1, W4, W8: tiny items


def add_one(x: Any) -> Any:
    return x + 1


def is_even(x: int) -> bool:
    return x % 2 == 0


def triple(x: int) -> int:
    return x * 3


THREE_TINY_STAGES: tuple[Stage, ...] = (Map(add_one), Filter(is_even), Map(triple))


def tiny(items: int) -> Workload:
    return Workload(
        title=f"{items:,} ints: +1, keep even, *3",
        items=items,
        source=lambda: range(items),
        stages=THREE_TINY_STAGES,
        expected=lambda: list(range(6, 3 * items + 1, 6)),
        figures=(Figure("rate", "items/s", higher_is_better=True, times_olympipe=10.0),),
        amount=items,
        chunk=4096,
        memory=True,
    )


def start_up(items: int) -> Workload:
    return replace(
        tiny(items),
        title=f"start, {items} ints, stop; three stages",
        mode="start",
        figures=(
            Figure("import", "ms", times_olympipe=None),
            Figure("cold (first run)", "ms", below=100.0),
            Figure("warm (second run)", "ms", below=100.0),
        ),
        amount=None,
        chunk=1,
        memory=False,
    )


class SharedCount:
    """A number that a forked process can raise and its parent can read."""

    def __init__(self) -> None:
        self._bytes = mmap(-1, 8)

    @property
    def value(self) -> int:
        return int.from_bytes(self._bytes[:8], "little")

    @value.setter
    def value(self, number: int) -> None:
        self._bytes[:8] = number.to_bytes(8, "little")


ITEMS_READ = SharedCount()


def endless() -> Iterator[int]:
    for n in itertools.count():
        ITEMS_READ.value = n + 1
        yield n


def leaving(items: int) -> Workload:
    return Workload(
        title=f"leave an endless source after {items} results; three stages",
        items=items,
        source=endless,
        stages=THREE_TINY_STAGES,
        expected=lambda: list(range(6, 6 * items + 1, 6)),
        mode="leave",
        figures=(
            Figure("until all has stopped", "ms"),
            Figure("read from the source", "items", times_olympipe=None),
        ),
    )


# --- W2, W2b: arrays


def double(array: Any) -> Any:
    return array * 2


def summarise(array: Any) -> tuple[float, float, int, int]:
    """Return what tells a damaged array: its ends, its size and all its bits folded into 64."""
    import numpy as np

    return float(array[0]), float(array[-1]), array.size, int(np.bitwise_xor.reduce(array.view(np.uint64)))


def arrays(items: int, nbytes: int) -> Iterator[Any]:
    import numpy as np

    ramp = np.arange(nbytes // 4, dtype=np.float32)  # whole numbers below 2**24: exact in float32
    for n in range(items):
        yield ramp + np.float32(n)


def _array_workload(items: int, nbytes: int) -> Workload:
    def expected() -> list[Any]:
        return [summarise(double(add_one(array))) for array in arrays(items, nbytes)]

    return Workload(
        title=f"{items:,} float32 arrays of {nbytes // 1024:,} KiB: +1, *2, checksum",
        items=items,
        source=lambda: arrays(items, nbytes),
        stages=(Map(add_one), Map(double), Map(summarise)),
        expected=expected,
        figures=(Figure("rate", "MiB/s", higher_is_better=True),),
        amount=items * nbytes / MIB,
        chunk=max(1, min(256, 64 * 1024 // nbytes)),  # as many as fill a pipe: the fastest of 1, 4, 16 and 64
        large=nbytes >= 256 * 1024,
        memory=True,
    )


def big_arrays(items: int) -> Workload:
    return _array_workload(items, MIB)


def small_arrays(items: int) -> Workload:
    return _array_workload(items, 16 * 1024)


# --- W3, W3b, W3b2: CPU


def burn(loops: int) -> int:
    """Spend CPU by counting, not by the clock: a process that has to wait for a core then takes longer."""
    x = 1
    for _ in range(loops):
        x = (x * 1103515245 + 12345) & 0x7FFFFFFF
    return x


def calibrate() -> int:
    """Return how many loops of :func:`burn` take 1 ms here: the fastest of 20 tries of about 5 ms."""
    loops = 100_000
    fastest = float("inf")
    for _ in range(20):
        started = time.perf_counter()
        burn(loops)
        fastest = min(fastest, time.perf_counter() - started)
    return round(loops / (fastest * 1000))


def _burn_milliseconds(milliseconds: float) -> None:
    burn(round(milliseconds * int(os.environ[LOOPS_VARIABLE])))


def burn_one(n: int) -> int:
    _burn_milliseconds(1.0)
    return 2 * n + 1


def even_cpu(items: int, workers: int = 2) -> Workload:
    return Workload(
        title=f"{items:,} x 1 ms of CPU, {workers} workers",
        items=items,
        source=lambda: range(items),
        stages=(Map(burn_one, workers),),
        expected=lambda: [2 * n + 1 for n in range(items)],
    )


def skewed_loads(items: int) -> list[tuple[int, float, float]]:
    """Return (number, load in stage 1, load in stage 2); in ms: 0.75, and 20 for one item in twenty."""
    slow = items // 20
    loads = [20.0] * slow + [0.75] * (items - slow)
    draw = random.Random(20)
    return list(zip(range(items), draw.sample(loads, items), draw.sample(loads, items), strict=True))


def burn_first(item: tuple[int, float, float]) -> tuple[int, float]:
    number, first, second = item
    _burn_milliseconds(first)
    return number + 1, second


def burn_second(item: tuple[int, float]) -> int:
    number, second = item
    _burn_milliseconds(second)
    return number * 2


def _skewed_cpu(items: int, workers: int) -> Workload:
    return Workload(
        title=f"{items:,} items, 5 % of 20 ms and 95 % of 0.75 ms CPU, two stages, {workers} worker(s) each",
        items=items,
        source=lambda: skewed_loads(items),
        stages=(Map(burn_first, workers), Map(burn_second, workers)),
        expected=lambda: [2 * (n + 1) for n in range(items)],
    )


def skewed_cpu(items: int) -> Workload:
    return _skewed_cpu(items, workers=1)


def skewed_cpu_two(items: int) -> Workload:
    return _skewed_cpu(items, workers=2)


# --- W5: waiting; W6: latency


def wait_ten_milliseconds(n: int) -> int:
    time.sleep(0.010)
    return n + 1


def waiting(items: int) -> Workload:
    return Workload(
        title=f"{items} sleeps of 10 ms, 16 at once",
        items=items,
        source=lambda: range(items),
        stages=(Map(wait_ten_milliseconds, workers=16),),
        expected=lambda: list(range(1, items + 1)),
    )


PACE_SECONDS = 0.005
WARM_UP_ITEMS = 20  # they wait for the workers to start, which is W4's matter


def paced(items: int) -> Iterator[tuple[int, float]]:
    """Yield (number, when it was made) every 5 ms; time by ``perf_counter``, which all processes share."""
    due = time.perf_counter()
    for n in range(items):
        due += PACE_SECONDS
        time.sleep(max(0.0, due - time.perf_counter()))
        yield n, time.perf_counter()


def count_up(item: tuple[int, float]) -> tuple[int, float]:
    return item[0] + 1, item[1]


def latency(items: int) -> Workload:
    return Workload(
        title=f"{items} items, one every 5 ms, through three stages",
        items=items,
        source=lambda: paced(items),
        stages=(Map(count_up), Map(count_up), Map(count_up)),
        expected=lambda: list(range(3, items + 3)),
        mode="latency",
        figures=(Figure("p50", "µs"), Figure("p99", "µs")),
        summary=lambda results: [number for number, _ in results],
    )


# --- W7: images

IMAGES = 200
BATCH = 32


def read(path: str) -> bytes:
    return Path(path).read_bytes()


def decode(data: bytes) -> Any:
    import io

    import numpy as np
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def resize(pixels: Any) -> Any:
    import numpy as np
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).resize((224, 224), Image.Resampling.BILINEAR))


def normalise(pixels: Any) -> Any:
    """Return uint8 pixels (height, width, 3) as float32 of mean 0 and spread 1, channels first."""
    import numpy as np

    scaled = (pixels.astype(np.float32) / 255 - np.float32(0.45)) / np.float32(0.225)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1))


def fingerprint(array: Any) -> str:
    return hashlib.blake2b(array.tobytes(), digest_size=8).hexdigest() + str(array.shape)


def make_images(folder: Path, count: int = IMAGES) -> None:
    """Write JPEGs of 1280x960, all different, from scikit-learn's two photos, and what they must become."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_sample_image  # type: ignore[import-untyped,unused-ignore]

    photos = [
        np.asarray(Image.fromarray(load_sample_image(name)).resize((1280, 960))) for name in ("china.jpg", "flower.jpg")
    ]
    prints = []
    for n in range(count):
        path = folder / f"{n:03}.jpg"
        Image.fromarray(np.roll(photos[n % 2], 6 * n, axis=1)).save(path, quality=90)
        prints.append(fingerprint(normalise(resize(decode(read(str(path)))))))
    (folder / "expected.txt").write_text("\n".join(prints))


def images(items: int) -> Workload:
    # A user of images has loaded these before the first run, and workers inherit them.
    import numpy as np  # noqa: F401
    from PIL import Image  # noqa: F401

    folder = Path(os.environ.get(IMAGES_VARIABLE, "."))
    batches = -(-items // BATCH)

    def summary(results: list[list[Any]]) -> list[str]:
        # The lengths of the batches go first: a wrong length is a wrong result, not a wrong order.
        return [str([len(batch) for batch in results])] + [fingerprint(x) for batch in results for x in batch]

    def expected() -> list[str]:
        prints = (folder / "expected.txt").read_text().split("\n")[:items]
        return [str([min(BATCH, items - BATCH * n) for n in range(batches)]), *prints]

    return Workload(
        title=f"{items} JPEGs 1280x960: read, decode (2 workers), resize, normalise, batch {BATCH}",
        items=items,
        source=lambda: [str(folder / f"{n:03}.jpg") for n in range(items)],
        stages=(Map(read), Map(decode, workers=2), Map(resize), Map(normalise), Batch(BATCH)),
        expected=expected,
        large=True,
        summary=summary,
        memory=True,
    )


# --- S: samples drawn from many sources


@dataclass(frozen=True, slots=True)
class Mux:
    """Samples drawn from many sources with few of them open; the same to build for every library of muxes."""

    function: Callable[..., Iterable[Any]]
    arguments: tuple[tuple[Any, ...], ...]  # for each source
    n_active: int
    rate: int | None
    weights: tuple[float, ...] | None = None
    buffer: int | None = None  # how many samples make a batch of arrays


Sample = dict[str, Any]
SOURCES, ROW = 200, 64


def rows(number: int) -> Iterator[Sample]:
    """Yield without end the rows of a table, each with the number of its source."""
    import numpy as np

    table, labels = np.tile(np.arange(float(ROW)) + number, (100, 1)), np.full(100, number)
    for n in itertools.cycle(range(100)):
        yield {"X": table[n], "Y": labels[n, ...]}  # 0-d: Pescador sends arrays only


def centred(sample: Sample) -> Sample:
    return {"X": sample["X"] - sample["X"].mean(), "Y": sample["Y"]}


def told_apart(sample: Sample) -> int:
    """Return the label of a row, or -1 if the row is not what it was."""
    return int(sample["Y"]) if abs(float(sample["X"][-1]) - (ROW - 1) / 2) < 1e-9 else -1


def centred_rows(batch: Sample) -> Sample:
    return {"X": batch["X"] - batch["X"].mean(axis=1, keepdims=True), "Y": batch["Y"]}


def told_apart_rows(batch: Sample) -> list[int]:
    right = abs(batch["X"][:, -1] - (ROW - 1) / 2) < 1e-9
    return [int(label) if fine else -1 for label, fine in zip(batch["Y"], right, strict=True)]


def all_right(labels: list[Any], sources: int) -> list[Any]:
    """Return how many came, and whether each is a label; which ones is up to chance."""
    return [len(labels), all(0 <= label < sources for label in labels)]


def _samples(items: int, weighted: bool = False) -> Workload:
    weights = tuple(float(1 + n % 7) for n in range(SOURCES)) if weighted else None
    return Workload(
        title=f"{items:,} rows of {ROW} floats from {SOURCES} sources{' by weight' if weighted else ''}, 32 open, "
        "16 from each on average",
        items=items,
        source=lambda: Mux(rows, tuple((n,) for n in range(SOURCES)), 32, 16, weights),
        stages=(),
        expected=lambda: [items, True],
        mode="draw",
        figures=(Figure("rate", "items/s", higher_is_better=True, rival="pescador"),),
        amount=items,
        summary=lambda labels: all_right(labels, SOURCES),
    )


def drawn(items: int) -> Workload:
    return _samples(items)


def drawn_by_weight(items: int) -> Workload:
    return _samples(items, weighted=True)


def drawn_into_stages(items: int) -> Workload:
    plain = _samples(items)
    return replace(
        plain,
        title=plain.title + "; two process stages: centre, check",
        mode="collect",
        stages=(Map(centred), Map(told_apart)),
        chunk=64,
    )


SAMPLES = 32  # of a batch


def batches_into_stages(items: int) -> Workload:
    """Return the same with batches of samples; ``items`` counts batches."""
    plain = _samples(items * SAMPLES)
    return replace(
        plain,
        items=items,
        title=f"{items:,} batches of {SAMPLES} rows, drawn as in S1; two process stages: centre, check",
        source=lambda: replace(plain.source(), buffer=SAMPLES),
        mode="collect",
        stages=(Map(centred_rows), Map(told_apart_rows)),
        chunk=2,
        summary=lambda found: all_right([label for labels in found for label in labels], SOURCES),
    )


ARCHIVES, ARCHIVE_ROWS, ARCHIVE_WIDTH, SLICE = 192, 1024, 512, 32


def make_archives(folder: Path) -> None:
    """Write arrays of 4 MiB whose rows say which archive they are of."""
    import numpy as np

    for number in range(ARCHIVES):
        np.save(folder / f"{number:03}.npy", np.full((ARCHIVE_ROWS, ARCHIVE_WIDTH), float(number)))


def slices(path: str) -> Iterator[Sample]:
    """Yield without end some rows of an archive, which is in memory as a whole as long as this runs."""
    import numpy as np

    array = np.load(path)
    chance = random.Random(path)
    while True:
        start = chance.randrange(len(array) - SLICE)
        yield {"X": array[start : start + SLICE].copy(), "Y": np.array(int(array[start, 0]))}


def out_of_core(items: int) -> Workload:
    folder = Path(os.environ.get(ARCHIVES_VARIABLE, "."))
    paths = tuple((str(folder / f"{n:03}.npy"),) for n in range(ARCHIVES))
    total = ARCHIVES * ARCHIVE_ROWS * ARCHIVE_WIDTH * 8 // MIB
    return Workload(
        title=f"{items:,} times {SLICE} rows drawn from {ARCHIVES} archives of {total} MiB together, 8 in memory",
        items=items,
        source=lambda: Mux(slices, paths, 8, 16),
        stages=(),
        expected=lambda: [items, True],
        mode="draw",
        figures=(Figure("rate", "items/s", higher_is_better=True, rival="pescador"),),
        amount=items,
        summary=lambda labels: all_right(labels, ARCHIVES),
        memory=True,
    )


# --- growth


def growth(items: int, nbytes: int = 0, stages: int = 3, workers: int = 1, cpu: bool = False) -> Workload:
    """Return a plain chain with one size to vary; ``nbytes`` 0: ints, ``cpu``: one stage of 1 ms an item."""
    if cpu:
        return even_cpu(items, workers)
    if nbytes:
        return replace(_array_workload(items, nbytes), figures=(SECONDS,), amount=None)
    return Workload(
        title=f"{items:,} ints, {stages} stages of +1, {workers} worker(s) each",
        items=items,
        source=lambda: range(items),
        stages=(Map(add_one, workers),) * stages,
        expected=lambda: list(range(stages, items + stages)),
        chunk=4096,
    )


# --- all of them


def keeping_memory(make: Callable[[int], Workload]) -> Callable[[int], Workload]:
    def made(items: int) -> Workload:
        workload = make(items)
        return replace(workload, title=workload.title + " (malloc keeps memory)", environment=KEEP_MEMORY)

    return made


PEERS = ("ours", "handwritten", "olympipe", "serial")


@dataclass(frozen=True, slots=True)
class Size:
    """How to make a workload and with how many items; ``olympipe`` where the full number takes minutes."""

    make: Callable[[int], Workload]
    full: int
    quick: int
    olympipe: tuple[int, int] | None = None  # full, quick
    peers: tuple[str, ...] = PEERS

    def items(self, peer: str, *, quick: bool) -> int:
        full, fast = self.olympipe if peer == "olympipe" and self.olympipe else (self.full, self.quick)
        return fast if quick else full


MUXES = ("ours", "pescador")
THREADS = (*PEERS, "ours-threads")
ARRAYS = (*THREADS, "handwritten-memory")


WORKLOADS: dict[str, Size] = {
    "W1": Size(tiny, 2_000_000, 500_000, olympipe=(200_000, 40_000), peers=(*PEERS, "ours-fused")),
    "W2": Size(big_arrays, 400, 100, peers=ARRAYS),
    "W2m": Size(keeping_memory(big_arrays), 400, 100, peers=ARRAYS),
    "W2b": Size(small_arrays, 20_000, 3_000, peers=ARRAYS),
    "W3": Size(even_cpu, 2_000, 400),
    "W3b": Size(skewed_cpu, 1_000, 200),
    "W3b2": Size(skewed_cpu_two, 1_000, 200),
    "W4": Size(start_up, 10, 10),
    "W5": Size(waiting, 500, 96, peers=THREADS),
    "W6": Size(latency, 400, 120),
    "W7": Size(images, IMAGES, 48, peers=THREADS),
    "W7m": Size(keeping_memory(images), IMAGES, 48, peers=THREADS),
    "W8": Size(leaving, 10, 10),
    "S1": Size(drawn, 200_000, 20_000, peers=MUXES),
    "S1w": Size(drawn_by_weight, 200_000, 20_000, peers=MUXES),
    "S2": Size(drawn_into_stages, 200_000, 20_000, peers=(*MUXES, "pescador-bare")),
    "S2b": Size(batches_into_stages, 10_000, 1_000, peers=(*MUXES, "pescador-bare")),
    "S3": Size(out_of_core, 4_000, 800, peers=MUXES),
}
