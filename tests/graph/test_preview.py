"""The intermediates of some items, side by side."""

from __future__ import annotations

import base64
import builtins
import io
import re
import sys

import numpy as np
import pytest
from PIL import Image

from olympipe_like.graph import Graph, constant, func_op, import_, placeholder, preview
from olympipe_like.graph.pictures import is_picture, picture


@pytest.fixture
def graph():
    with Graph() as graph:
        np_ = import_("numpy")
        size = placeholder("size")
        scale = constant(0.5, name="scale")
        ramp = np_.linspace(0, 1, size).set_name("ramp")
        image = (ramp[:, None] * ramp).set_name("image")
        (image * scale).set_name("darker")
        func_op(lambda value: value["no"], image, name="broken")
    return graph


def test_placeholders_and_named_nodes_are_shown_by_default(graph):
    shown = preview(graph, [4], ["size", "ramp", "image", "darker"])

    assert preview(graph, [4]).columns == ["size", "ramp", "image", "darker", "broken"]
    assert shown.columns == ["size", "ramp", "image", "darker"]
    assert shown.rows[0]["size"] == 4
    assert shown.rows[0]["darker"].tolist() == (shown.rows[0]["image"] * 0.5).tolist()


def test_it_prints_as_a_table(graph):
    lines = str(preview(graph, [4, 2], ["size", "image"])).splitlines()

    assert [line.split() for line in lines] == [
        ["item", "size", "image"],
        ["0", "4", "ndarray", "(4,", "4)", "float64"],
        ["1", "2", "ndarray", "(2,", "2)", "float64"],
    ]


def test_an_item_that_fails_shows_why_and_what_there_was_before(graph):
    shown = preview(graph, [3, "x"], ["image", "broken", "darker"])

    assert [set(row) for row in shown.rows] == [{"image", "darker"}, set()]
    first, second = str(shown).splitlines()[1:]
    assert "IndexError" in first
    assert "node 'ramp': TypeError" in second
    assert second.endswith("-")


def test_an_item_that_gives_no_values_for_the_graph_is_shown_as_one_that_fails(graph):
    items = [{"size": 2}, {"sise": 2}, 3, {"size": 4}]

    shown = preview(graph, items, ["size", "ramp"], dict)

    assert [sorted(row) for row in shown.rows] == [["ramp", "size"], [], [], ["ramp", "size"]]
    assert "NodeNotFound: the graph has no node" in str(shown)
    assert "TypeError: 'int' object is not" in str(shown)
    with graph:
        func_op(fail_oddly, graph["size"], name="odd")
    assert "node 'odd'" not in str(preview(graph, [1], "odd", "size"))
    assert "Odd: no" in str(preview(graph, [1], "odd", "size"))


class Odd(Exception):
    """Cannot be combined with another type."""

    def __init_subclass__(cls, **_):
        raise TypeError("no subclasses")


def fail_oddly(_):
    raise Odd("no")


def test_inputs_are_as_in_a_pipeline(graph):
    assert preview(graph, [{"size": 2}], "image", dict).rows[0]["image"].shape == (2, 2)
    assert preview(graph, [[2]], "image", lambda item: {"size": item[0]}).columns == ["image"]


def test_it_saves_a_sheet_with_a_picture_for_each_array(graph, tmp_path):
    shown = preview(graph, [200, 3], {"a": "image", "b": "darker"}, side=100)

    shown.save(tmp_path / "sheet.png")

    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.format == "PNG"
        pixels = np.asarray(sheet.convert("L")).astype(int)
    dark = pixels < 30
    assert dark.sum() > 2 * 100 * 10  # the black corner of each of the two large pictures, at least
    assert pixels[:, -20:].min() > 230  # nothing in the margin
    assert 2 * 100 < pixels.shape[0] < 500
    assert shown._repr_png_()[:4] == b"\x89PNG"


def test_a_notebook_gets_a_table_with_pictures_and_escaped_texts(graph):
    html = preview(graph, [20, "<b>"], ["size", "image"], side=64)._repr_html_()

    (data,) = re.findall(r"data:image/png;base64,([^']+)'", html)
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert image.size == (60, 60)
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
    assert "20 x 20 float64, 0 to 1" in html


def test_without_pillow_there_is_a_table_and_the_error_names_the_extra(graph, monkeypatch, tmp_path):
    for name in [name for name in sys.modules if name.split(".")[0] == "PIL"]:
        monkeypatch.delitem(sys.modules, name)
    plain = builtins.__import__

    def no_pillow(name, *args, **kwargs):
        if name.split(".")[0] == "PIL":
            raise ModuleNotFoundError(name, name=name)
        return plain(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_pillow)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("importlib.import_module", no_pillow)
    shown = preview(graph, [4], ["image"])

    assert "ndarray (4, 4) float64" in str(shown)
    assert "ndarray (4, 4) float64" in shown._repr_html_()
    assert shown._repr_png_() is None
    with pytest.raises(ImportError, match=r"pip install 'olympipe-like\[pictures\]'"):
        shown.save(tmp_path / "x.png")


@pytest.mark.parametrize("side", [0, 15, 2.5, True])
def test_a_picture_needs_a_size(graph, side):
    with pytest.raises(ValueError, match=r"preview \(test_preview\.py:\d+\): side must be"):
        preview(graph, [3], side=side)


# -- arrays as pictures ---------------------------------------------------------------------------------------------


def levels(array, side=64):
    image = picture(np.asarray(array), side)
    return sorted(set(np.asarray(image).ravel().tolist())), image.mode


def test_what_is_a_picture():
    shapes = {(4, 4): True, (4, 4, 1): True, (4, 4, 3): True, (4, 4, 4): True, (4, 4, 5): False, (4,): False}
    shapes |= {(0, 4): False, (2, 4, 4, 3): False, (): False}

    assert {shape: is_picture(np.zeros(shape)) for shape in shapes} == shapes
    assert not is_picture([[1]])
    assert not is_picture(np.array([["a"]]))
    assert not is_picture(np.zeros((2, 2), complex))


def test_levels_of_arrays():
    assert levels(np.array([[0, 7], [200, 255]], np.uint8)) == ([0, 7, 200, 255], "L")
    assert levels([[True, False]]) == ([0, 255], "L")
    assert levels([[0.0, 0.2], [1.0, 1.3]]) == ([0, 51, 255], "L")  # intensities, with an overshoot
    assert levels([[-100.0, 0.0], [100.0, np.nan]])[0] == [0, 128, 255]
    assert levels([[0, 1000]]) == ([0, 255], "L")
    assert levels([[5.0, 5.0]]) == ([0], "L")
    assert levels(np.zeros((2, 2, 1)))[1] == "L"
    assert levels(np.zeros((2, 2, 3)))[1] == "RGB"
    assert levels(np.zeros((2, 2, 4)))[1] == "RGBA"


def test_large_arrays_are_made_smaller_and_small_ones_larger_in_squares():
    assert picture(np.zeros((400, 200)), 100).size == (50, 100)
    assert picture(np.zeros((60, 80)), 100).size == (80, 60)
    assert picture(np.zeros((3, 2)), 100).size == (66, 99)
    assert picture(np.zeros((1, 5000)), 100).size == (100, 1)
