"""Images and tensors travel beside the pickle and arrive as they were sent, whatever else they have."""

from __future__ import annotations

import copyreg
import pickle
import sys
from types import ModuleType

import pytest

from olympipe_like._transport.codec import decode, encode

KEPT_INSIDE = 1000  # bytes that a pickle of something large may have


def travelled(item, **how):
    """Return an item that was sent and received, and the parts it was sent in."""
    parts = encode([item], ())
    (got,), _ = decode(bytes(parts[0]), [bytearray(part) for part in parts[1:]], **how)
    return got, parts


def sizes(parts):
    return [memoryview(part).nbytes for part in parts]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "1", "P", "F", "CMYK"])
def test_an_image_travels_beside_the_pickle(mode):
    image = pytest.importorskip("PIL.Image").new("RGB", (400, 300), (10, 200, 30)).convert(mode)
    image.info["dpi"] = (72, 72)

    got, parts = travelled(image)

    assert sizes(parts)[0] < 2 * KEPT_INSIDE  # a palette has 768
    assert sizes(parts)[1:] == [len(image.tobytes())]
    assert (type(got), got.mode, got.size, got.info) == (type(image), mode, (400, 300), {"dpi": (72, 72)})
    assert got.tobytes() == image.tobytes()
    assert got.getpalette() == image.getpalette()
    got.putpixel((0, 0), image.getpixel((5, 5)))


def test_an_image_of_no_size_travels():
    image = pytest.importorskip("PIL.Image").new("L", (0, 4))

    got, _ = travelled(image)

    assert got.size == (0, 4)


def test_an_image_for_which_the_user_has_a_reducer_of_his_own_is_left_to_it(monkeypatch):
    image = pytest.importorskip("PIL.Image").new("L", (400, 300))
    monkeypatch.setitem(copyreg.dispatch_table, type(image), lambda each: (str, (f"{each.size}",)))

    assert travelled(image)[0] == "(400, 300)"


@pytest.mark.parametrize("module", ["numpy", "PIL.Image", "torch"])
def test_a_module_that_another_thread_is_importing_is_no_hindrance(monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, ModuleType(module))  # as it is in the beginning

    for item in ([1, 2], bytes(100_000), [bytes(100_000)]):
        assert travelled(item)[0] == item


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


TENSORS = {
    "float": lambda torch: torch.arange(6000.0).reshape(60, 100),
    "half": lambda torch: torch.arange(6000).half(),
    "bool": lambda torch: torch.arange(6000) % 3 == 0,
    "complex": lambda torch: torch.arange(6000) * (1 + 2j),
    "transposed": lambda torch: torch.arange(6000.0).reshape(60, 100).T,
    "a slice": lambda torch: torch.arange(60_000.0).reshape(60, 1000)[:, ::7],
    "without axes": lambda torch: torch.tensor(3.5),
    "empty": lambda torch: torch.zeros(0, 4),
    "bfloat16": lambda torch: torch.arange(6000).bfloat16(),
    "sparse": lambda torch: torch.eye(50).to_sparse(),
    "with a gradient": lambda torch: torch.arange(6000.0, requires_grad=True),
    "conjugated": lambda torch: (torch.arange(6000) * (1 + 2j)).conj(),
    "a parameter": lambda torch: torch.nn.Parameter(torch.arange(6000.0)),
    "quantized": lambda torch: torch.quantize_per_tensor(torch.arange(6000.0), 0.5, 3, torch.qint8),
}
BESIDE = {"float", "half", "bool", "complex", "transposed", "a slice"}


def values_of(tensor):
    return (tensor.dequantize() if tensor.is_quantized else tensor.to_dense()).resolve_conj()


@pytest.mark.parametrize("kind", TENSORS)
def test_a_tensor_arrives_as_it_was_sent(torch, kind):
    tensor = TENSORS[kind](torch)

    got, parts = travelled(tensor)

    assert (type(got), got.dtype, got.shape) == (type(tensor), tensor.dtype, tensor.shape)
    assert (got.layout, got.requires_grad) == (tensor.layout, tensor.requires_grad)
    assert torch.equal(values_of(got), values_of(tensor))
    if kind in BESIDE:
        assert sizes(parts)[0] < KEPT_INSIDE
        assert sizes(parts)[1:] == [tensor.numel() * tensor.element_size()]


def test_what_a_tensor_was_given_by_its_user_arrives(torch):
    tensor = torch.arange(6000.0)
    tensor.origin = "a.jpg"

    got, _ = travelled(tensor)

    assert getattr(got, "origin", None) == getattr(pickle.loads(pickle.dumps(tensor)), "origin", None)


def test_a_tensor_that_is_only_looked_at_may_be_written_to(torch):
    got, _ = travelled(torch.arange(6000.0), read_only=True)  # torch knows no others, and would crash

    got += 1

    assert got[5] == 6
