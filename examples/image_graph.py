"""Noise and rotate photographs with an expression graph, and look at every stage of it.

A graph is written once, as plain Python over values that are not there yet::

    file name > image > image with noise > rotated image

Here it is applied twice. First in the workers of a pipeline, which send back the last stage only; then to some items
in this process, with all stages kept, for a picture of them side by side.

    python examples/image_graph.py --out stages
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

try:
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_sample_image
except ImportError as missing:
    raise SystemExit(
        f"this example needs numpy, pillow and scikit-learn ({missing.name} is missing): "
        "pip install 'olympipe-like[demo]'"
    ) from None

from olympipe_like import Pipeline
from olympipe_like.graph import Graph, constant, import_, placeholder, preview

PHOTOGRAPHS = ("china.jpg", "flower.jpg")
STAGES = ("image", "noisy_image", "rotated_image")


def write_photographs(folder: Path) -> list[Path]:
    """Write the two photographs that scikit-learn ships as PNG files."""
    paths = []
    for name in PHOTOGRAPHS:
        paths.append((folder / name).with_suffix(".png"))
        Image.fromarray(load_sample_image(name)).save(paths[-1])
    return paths


def image_graph() -> Graph:
    """Return the transformation. Nothing is loaded or computed here."""
    with Graph() as graph:
        # Imported where the graph is evaluated: in the workers.
        pillow = import_("PIL.Image")
        ndimage = import_("scipy.ndimage")
        np = import_("numpy")

        filename = placeholder("filename")
        seed = placeholder("seed")
        random = np.random.default_rng(seed).set_name("random")

        image = (np.asarray(pillow.open(filename).set_name("imread"))[..., :3] / 255.0).set_name("image")
        noise_scale = constant(0.25, name="noise_scale")
        noise = (1 - random.uniform(0, noise_scale, image.shape)).set_name("noise")
        noisy_image = (image * noise).set_name("noisy_image")
        angle = random.uniform(-45, 45).set_name("angle")
        ndimage.rotate(noisy_image, angle, reshape=False, cval=1.0).set_name("rotated_image")
    return graph


def main(arguments: Sequence[str] | None = None) -> None:
    """Apply the graph in workers, then draw it and its stages."""
    parser = argparse.ArgumentParser(description="Noise and rotate photographs with an expression graph.")
    parser.add_argument("--out", type=Path, help="a folder for the pictures (default: a temporary one)")
    parser.add_argument("--seed", type=int, default=5, help="for noise and angles (default: 5)")
    options = parser.parse_args(arguments)
    out: Path = options.out or Path(tempfile.mkdtemp(prefix="image-graph-"))
    out.mkdir(parents=True, exist_ok=True)

    graph = image_graph()
    # An item is a photograph and a seed of its own: the same pictures, whatever worker makes them.
    items = [(str(path), options.seed + number) for number, path in enumerate(write_photographs(out))]
    inputs = ["filename", "seed"]

    fetches = {"picture": "rotated_image", "angle": "angle"}
    for (name, _), made in zip(items, Pipeline(items).graph_task(graph, fetches, inputs, workers=2), strict=True):
        path = Path(name)
        pixels = (made["picture"].clip(0, 1) * 255).round().astype(np.uint8)
        Image.fromarray(pixels).save(path.with_name(f"{path.stem}_rotated.png"))
        print(f"{path.name:<12} rotated by {made['angle']:6.1f} degrees")

    stages = preview(graph, items, STAGES, inputs)
    stages.save(out / "stages.png")
    (out / "graph.mmd").write_text(graph.to_mermaid("rotated_image"), encoding="utf-8")
    print()
    print(preview(graph, items, ["angle", "noise", "rotated_image"], inputs))
    print()
    print(f"the stages, side by side:  {out / 'stages.png'}")
    print(f"the graph, for Mermaid:    {out / 'graph.mmd'}")


if __name__ == "__main__":
    main()
