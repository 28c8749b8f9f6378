"""A graph draws itself: boxes for what has a name or is shared, the rest written out."""

from __future__ import annotations

import pytest

from olympipe_like.graph import (
    Graph,
    assert_,
    cache_file,
    conditional,
    control_dependencies,
    func_op,
    import_,
    placeholder,
    str_format,
    try_,
)


@pytest.fixture
def graph():
    with Graph() as graph:
        np = import_("numpy")
        x = placeholder("x")
        image = (np.load(x, mmap_mode="r")[..., :3] / 255.0).set_name("image")
        noise = np.random.uniform(0, 1, image.shape)
        (image * (1 - noise)).set_name("noisy")
    return graph


def test_mermaid_shows_names_and_what_lies_between_as_python(graph):
    assert graph.to_mermaid() == (
        "flowchart TB\n"
        '    n1(["x"])\n'
        "    n5[\"image<br/>numpy.load(x, mmap_mode='r')[..., :3] / 255.0\"]\n"
        '    n11["noisy<br/>image * (1 - numpy.random.uniform(0, 1, image.shape))"]\n'
        "    n1 --> n5\n"
        "    n5 --> n11\n"
    )
    assert graph._repr_markdown_() == f"```mermaid\n{graph.to_mermaid()}```"


def test_dot_shows_the_same(graph):
    assert graph.to_dot("noisy") == (
        "digraph {\n"
        '    node [shape=box, style=rounded, fontname="Helvetica", fontsize=11]\n'
        '    n1 [label="x", shape=ellipse]\n'
        "    n5 [label=\"image\\nnumpy.load(x, mmap_mode='r')[..., :3] / 255.0\"]\n"
        '    n11 [label="noisy\\nimage * (1 - numpy.random.uniform(0, 1, image.shape))"]\n'
        "    n1 -> n5\n"
        "    n5 -> n11\n"
        "}\n"
    )


def test_only_what_some_nodes_need_can_be_drawn(graph):
    text = graph.to_mermaid("image")

    assert "image" in text
    assert "noisy" not in text


def test_shared_nodes_have_a_box_with_the_name_that_others_use(graph):
    with graph:
        shared = func_op(len, graph["image"])
        func_op(max, shared, shared + 1, name="both")

    text = graph.to_mermaid("both")

    assert f'n{shared._number}["{shared.name}<br/>len(image)"]' in text
    assert f'"both<br/>max({shared.name}, {shared.name} + 1)"' in text


def test_lazy_nodes_are_hexagons_and_what_they_may_not_ask_for_has_dashed_arrows():
    with Graph() as graph:
        x, y = placeholder("x"), placeholder("y")
        conditional(x > 0, y, 0, name="chosen")
        try_(x / 2, [(ZeroDivisionError, y)], name="tried")
        cache_file(x + y, "%s", key=y, name="kept")
    text, dot = graph.to_mermaid(), graph.to_dot()

    assert 'n3{{"chosen<br/>conditional(x #gt; 0, y, 0)"}}' in text
    assert "n0 --> n3" in text
    assert "n1 -.-> n3" in text
    assert 'n5{{"tried<br/>try_(x / 2, ZeroDivisionError: y)"}}' in text
    assert "n0 --> n5" in text
    assert "n1 -.-> n5" in text
    assert '"kept<br/>cache_file(x + y)"' in text
    assert "n0 -.-> n7" in text
    assert "n1 --> n7" in text
    assert "n1 -> n3 [style=dashed]" in dot


def test_control_dependencies_have_dotted_arrows():
    with Graph() as graph:
        x = placeholder("x")
        with control_dependencies([assert_(x, "no x")]):
            func_op(int, x, name="number")

    assert "n1 -. before .-> n2" in graph.to_mermaid()
    assert 'n1 -> n2 [style=dotted, label="before"]' in graph.to_dot()


def test_marks_of_the_languages_are_escaped():
    with Graph() as graph:
        str_format('<"{}">\\', placeholder("x")).set_name("text")

    assert "#lt;#quot;" in graph.to_mermaid()
    assert '\\"{}\\"' in graph.to_dot()


def test_a_long_chain_is_broken_into_boxes():
    with Graph() as graph:
        at = placeholder("x")
        for _ in range(100):
            at = at + 1000

    lines = graph.to_mermaid().splitlines()

    assert 5 < len(lines) < 50
    assert max(map(len, lines)) < 130
