"""Arrays as pictures. Loads pillow when the first one is made."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

# Floats this far outside of 0..1 are still taken for intensities: interpolation overshoots.
OVERSHOOT = 0.5


def pillow(part: str) -> Any:
    """Return a module of pillow.

    Raises
    ------
    ImportError
        If it is not installed; the text names the extra.
    """
    try:
        return importlib.import_module(f"PIL.{part}")
    except ImportError as missing:
        raise ImportError(
            "pictures of a preview need pillow: pip install 'olympipe-like[pictures]'. "
            "Without it, str(preview) is a table of texts"
        ) from missing


def is_picture(value: Any) -> bool:
    """Tell whether a value can be shown: an array of shape (height, width), or with 1, 3 or 4 channels behind."""
    numpy = sys.modules.get("numpy")  # if nobody has loaded it, there are no arrays
    if numpy is None or not isinstance(value, numpy.ndarray) or value.size == 0 or value.dtype.kind not in "buif":
        return False
    return value.ndim == 2 or (value.ndim == 3 and value.shape[2] in (1, 3, 4))


def picture(value: Any, side: int) -> Image:
    """Return an array as a picture whose longer side has so many pixels at most.

    uint8 is taken as it is, booleans are black and white, floats between 0 and 1 (and a little beyond, which is cut)
    are intensities. Anything else is stretched from its least to its largest value. Small arrays are enlarged, in
    squares.
    """
    image_module = pillow("Image")
    pixels = _bytes(value)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    image: Image = image_module.fromarray(pixels)
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if scale > 2:
        whole = int(scale)
        return image.resize((width * whole, height * whole), image_module.Resampling.NEAREST)
    return image if scale > 1 else image.resize(size, image_module.Resampling.LANCZOS)


def _bytes(value: Any) -> Any:
    """Return the array as uint8."""
    numpy = sys.modules["numpy"]
    if value.dtype == numpy.uint8:
        return numpy.ascontiguousarray(value)
    if value.dtype == bool:
        return value.astype(numpy.uint8) * 255
    finite = numpy.where(numpy.isfinite(value), value, 0).astype(float)
    low, high = span(value)
    if value.dtype.kind == "f" and low >= -OVERSHOOT and high <= 1 + OVERSHOOT:
        low, high = 0.0, 1.0
    levels = (finite - low) / (high - low) if high > low else numpy.zeros_like(finite)
    return (levels.clip(0, 1) * 255).round().astype(numpy.uint8)


def span(value: Any) -> tuple[float, float]:
    """Return the least and the largest finite value; 0 and 0 if there is none."""
    numpy = sys.modules["numpy"]
    finite = value[numpy.isfinite(value)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def caption(value: Any) -> str:
    """Return what an array is: shape, type and range."""
    low, high = span(value)
    return f"{' x '.join(map(str, value.shape))} {value.dtype}, {low:.3g} to {high:.3g}"
