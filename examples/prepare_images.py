"""Prepare photographs for training: JPEG files in, shards of normalised float32 arrays out.

Cuts the two photographs that scikit-learn ships into some hundreds of JPEG tiles, so there is something
real to work on, and sends them through::

    read > decode > keep the sharp ones > augment > resize > normalise > batch > write shards

Then prints the report of the run, with its bottleneck, and draws a contact sheet of before and after.

    python examples/prepare_images.py --tiles 400 --workers 2
"""

from __future__ import annotations

import argparse
import io
import math
import tempfile
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

try:
    import numpy as np
    from PIL import Image, ImageDraw, ImageEnhance, ImageFont
    from sklearn.datasets import load_sample_images
except ImportError as missing:
    raise SystemExit(
        f"this example needs numpy, pillow and scikit-learn ({missing.name} is missing): "
        "pip install 'olympipe-like[demo]'"
    ) from None

from olympipe_like import Pipeline

PHOTOGRAPHS = ("china", "flower")  # what scikit-learn calls them; the place in here is the label
TILE_SIDES = (96, 176)  # pixels; smallest and largest tile cut from a photograph
SIDE = 128  # pixels; every prepared image is SIDE x SIDE
SHARD_IMAGES = 32

# Variance of the Laplacian (Pech-Pacheco et al., ICPR 2000) that a tile must exceed. In these two
# photographs clear sky and the blurred background have 2 to 60, petals hundreds, roofs thousands.
SHARPNESS = 100.0

# Red, green and blue over ImageNet's training images: what most published networks expect.
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Tile:
    """One decoded image on its way."""

    name: str
    label: int  # which photograph it is from: its place in PHOTOGRAPHS
    pixels: np.ndarray  # shape (height, width, 3), uint8


@dataclass(frozen=True)
class Shard:
    """One written file."""

    path: Path
    images: int  # how many it holds


# The stages -------------------------------------------------------------------------------------


def read(path: Path) -> tuple[str, bytes]:
    """Return the file's name and its bytes."""
    return path.stem, path.read_bytes()


def decode(file: tuple[str, bytes]) -> Tile:
    """Decode the bytes of a JPEG file into pixels."""
    name, data = file
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image.convert("RGB"))
    return Tile(name, PHOTOGRAPHS.index(name.split("-")[1]), pixels)


def is_sharp(tile: Tile) -> bool:
    """Tell whether there is something to see, rather than plain sky or blurred background."""
    grey = tile.pixels.astype(np.float32) @ np.float32([0.299, 0.587, 0.114])
    centre = 4 * grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - centre
    return float(laplacian.var()) > SHARPNESS


def augment(tile: Tile, seed: int) -> Tile:
    """Mirror, turn and recolour the tile by chance, the same way in every run and on every worker."""
    chance = np.random.default_rng([seed, zlib.crc32(tile.name.encode())])
    image = Image.fromarray(tile.pixels)
    if chance.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image = turn(image, degrees=chance.uniform(-12, 12))
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhance(image).enhance(chance.uniform(0.8, 1.2))
    return replace(tile, pixels=np.asarray(image))


def resize(tile: Tile) -> Tile:
    """Bring the tile to SIDE x SIDE pixels."""
    image = Image.fromarray(tile.pixels).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    return replace(tile, pixels=np.asarray(image))


def normalise(tile: Tile) -> dict:
    """Scale the pixels to 0..1, then to about mean 0 and deviation 1; name them as the shard will."""
    scaled = tile.pixels.astype(np.float32) / 255
    images = (scaled - np.float32(MEAN)) / np.float32(DEVIATION)
    return {"images": images, "labels": tile.label, "names": tile.name}


def write_shard(batch: dict[str, np.ndarray], folder: Path) -> Shard:
    """Write one batch as a file of its own; a reader never sees half of it."""
    # Named after its first tile, not counted: no stage has to remember anything, and a shard
    # that is written a second time replaces itself.
    path = folder / f"shard-{batch['names'][0]}.npz"
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("wb") as file:
        np.savez(file, **batch)
    unfinished.replace(path)
    return Shard(path, len(batch["images"]))


def preparation(tiles: Sequence[Path], folder: Path, *, seed: int, workers: int) -> Pipeline:
    """Describe the whole preparation; nothing starts yet."""
    return (
        Pipeline(tiles, name="tiles")
        .task(read, executor="thread")
        .task(decode, workers=workers, on_error="collect")
        .filter(is_sharp)
        .task(partial(augment, seed=seed), workers=workers, name="augment")
        .task(resize, workers=workers)
        .task(normalise)
        .batch(SHARD_IMAGES, collate="stack")
        .task(partial(write_shard, folder=folder), name="write_shard")
    )


# Around the pipeline ----------------------------------------------------------------------------


def turn(image: Image.Image, degrees: float) -> Image.Image:
    """Turn a square image and cut away the empty corners."""
    angle = math.radians(abs(degrees))
    side = image.width / (math.cos(angle) + math.sin(angle))
    margin = math.ceil((image.width - side) / 2)
    turned = image.rotate(degrees, Image.Resampling.BICUBIC)
    return turned.crop((margin, margin, image.width - margin, image.height - margin))


def cut_tiles(folder: Path, amount: int, seed: int) -> list[Path]:
    """Cut square tiles of many sizes from random places of the photographs, as JPEG files."""
    photographs = dict(zip(PHOTOGRAPHS, load_sample_images().images, strict=True))
    chance = np.random.default_rng(seed)
    paths = []
    for number in range(amount):
        photograph = PHOTOGRAPHS[number % len(PHOTOGRAPHS)]
        pixels = photographs[photograph]
        side = chance.integers(*TILE_SIDES, endpoint=True)
        top, left = (chance.integers(length - side, endpoint=True) for length in pixels.shape[:2])
        path = folder / f"{number:04d}-{photograph}.jpg"
        Image.fromarray(pixels[top : top + side, left : left + side]).save(path, quality=92)
        paths.append(path)
    return paths


def load(shard: Path) -> dict[str, np.ndarray]:
    """Return the images of a shard by name, as pixels to look at again."""
    with np.load(shard) as arrays:
        scaled = arrays["images"] * np.float32(DEVIATION) + np.float32(MEAN)
        pixels = (scaled.clip(0, 1) * 255).round().astype(np.uint8)
        return dict(zip(arrays["names"].tolist(), pixels, strict=True))


# The contact sheet ------------------------------------------------------------------------------

PAPER, INK, PENCIL, LINE = "#faf9f6", "#23272b", "#7b8087", "#dddad3"
MARGIN, GAP, HAIR = 48, 32, 4  # pixels: around the sheet, between pairs, within a pair
COLUMNS, ROWS = 4, 5
PAIR = 2 * SIDE + HAIR
ROW = SIDE + 38  # an image, its caption and the space below
SHEET_WIDTH = 2 * MARGIN + COLUMNS * PAIR + (COLUMNS - 1) * GAP
GRID_TOP = 152
SMALL, SMALL_STEP, SMALL_COUNT = 112, 128, 9  # the tiles left out; 9 of them fill the width


def spread(paths: Sequence[Path], amount: int) -> list[Path]:
    """Return at most `amount` of the paths, evenly spread."""
    amount = min(amount, len(paths))
    return [paths[place * len(paths) // amount] for place in range(amount)]


def contact_sheet(tiles: Sequence[Path], shards: Sequence[Shard]) -> Image.Image:
    """Draw pairs of a tile and what became of it, and below them some of the tiles left out."""
    prepared = {name: pixels for shard in shards for name, pixels in load(shard.path).items()}
    kept = [tile for tile in tiles if tile.stem in prepared]
    dropped = [tile for tile in tiles if tile.stem not in prepared]
    pairs = spread(kept, COLUMNS * ROWS)

    grid_bottom = GRID_TOP + math.ceil(len(pairs) / COLUMNS) * ROW
    height = grid_bottom + (SMALL + 60 if dropped else 0) + MARGIN - 8
    sheet = Image.new("RGB", (SHEET_WIDTH, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    title, text, small = (ImageFont.load_default(size=size) for size in (32, 16, 13))

    counts = {"tiles": tiles, "prepared": kept, "left out": dropped, "shards": shards}
    summary = "  ·  ".join(f"{len(counted)} {what}" for what, counted in counts.items())
    draw.text((MARGIN, 36), "Photographs, before and after", INK, title)
    draw.text((MARGIN, 82), summary, PENCIL, text)
    for column in range(min(COLUMNS, len(pairs))):
        left = MARGIN + column * (PAIR + GAP)
        draw.line((left, GRID_TOP - 32, left + PAIR - 1, GRID_TOP - 32), LINE)
        draw.text((left, GRID_TOP - 22), "before", PENCIL, small)
        draw.text((left + SIDE + HAIR, GRID_TOP - 22), "after", PENCIL, small)

    for place, tile in enumerate(pairs):
        left = MARGIN + place % COLUMNS * (PAIR + GAP)
        top = GRID_TOP + place // COLUMNS * ROW
        side = paste(sheet, tile, (left, top), SIDE)
        sheet.paste(Image.fromarray(prepared[tile.stem]), (left + SIDE + HAIR, top))
        draw.text((left, top + SIDE + 5), tile.stem.replace("-", "  "), INK, small)
        draw.text((left + PAIR, top + SIDE + 5), f"{side} to {SIDE} px", PENCIL, small, anchor="ra")

    if dropped:
        draw.line((MARGIN, grid_bottom + 8, SHEET_WIDTH - MARGIN - 1, grid_bottom + 8), LINE)
        draw.text((MARGIN, grid_bottom + 20), "Left out: too little detail", INK, text)
        for place, tile in enumerate(spread(dropped, SMALL_COUNT)):
            paste(sheet, tile, (MARGIN + place * SMALL_STEP, grid_bottom + 52), SMALL)
    return sheet


def paste(sheet: Image.Image, tile: Path, corner: tuple[int, int], side: int) -> int:
    """Put a tile on the sheet at the size given; return the size it has."""
    with Image.open(tile) as image:
        sheet.paste(image.resize((side, side), Image.Resampling.LANCZOS), corner)
        return image.width


# The command ------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> None:
    """Cut, prepare, report, draw."""
    parser = argparse.ArgumentParser(description="Prepare two photographs, cut into tiles, for training.")
    parser.add_argument("--tiles", type=int, default=900, help="how many tiles to cut (default: 900)")
    parser.add_argument("--out", type=Path, help="an empty or new folder (default: a temporary one)")
    parser.add_argument("--workers", type=int, default=2, help="workers of each heavy stage (default: 2)")
    parser.add_argument("--seed", type=int, default=0, help="for cutting and augmenting (default: 0)")
    parser.add_argument("--inline", action="store_true", help="run in this process, for a debugger")
    options = parser.parse_args(arguments)
    if options.tiles < 1:
        parser.error(f"--tiles must be >= 1, got {options.tiles}")
    if options.out and options.out.is_dir() and any(options.out.iterdir()):
        parser.error(f"--out {options.out} is not empty")

    out: Path = options.out or Path(tempfile.mkdtemp(prefix="prepared-images-"))
    (out / "tiles").mkdir(parents=True)
    (out / "shards").mkdir()
    tiles = cut_tiles(out / "tiles", options.tiles, options.seed)

    pipe = preparation(tiles, out / "shards", seed=options.seed, workers=options.workers)
    started = time.perf_counter()
    with pipe.run(progress=True, executor="inline" if options.inline else None) as run:
        shards = list(run)
    seconds = time.perf_counter() - started

    contact_sheet(tiles, shards).save(out / "contact_sheet.png")
    kept = sum(shard.images for shard in shards)
    print(run.report)
    print()
    print(f"tiles read      {len(tiles):5}")
    print(f"tiles kept      {kept:5}")
    print(f"tiles failed    {len(run.failures):5}   could not be decoded")
    print(f"tiles dropped   {len(tiles) - kept - len(run.failures):5}   too little detail")
    print(f"shards written  {len(shards):5}   up to {SHARD_IMAGES} images each")
    print(f"seconds         {seconds:5.1f}")
    print()
    print(f"shards:         {out / 'shards'}")
    print(f"contact sheet:  {out / 'contact_sheet.png'}")


if __name__ == "__main__":
    main()
