"""Pictures: what is drawn, what is folded, and that nothing overlaps."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import archcalc
from archcalc import Report
from archcalc.drawings.columns import _Layout
from archcalc.drawings.diagram import Diagram
from archcalc.drawings.dot import to_dot
from archcalc.drawings.geometry import SPINE
from archcalc.drawings.picture import Picture, picture
from archcalc.drawings.svg import picture_bytes
from archcalc.errors import UsageError
from archcalc.graph import Graph
from tests.helpers import some_architectures

ZOO = {architecture.name: architecture for architecture in some_architectures()}
SVG = "{http://www.w3.org/2000/svg}"
TINY = """
archcalc: 1
name: tiny
title: Two & three
input: {C: 3, H: 8, W: 8}
layers:
  - stem: conv 4 3x3 p=1 -> bn -> relu
  - block{i}:
      for: {i: 1..3}
      do:
        - residual: conv 4 3x3 p=1
        - relu
  - fc: flatten -> fc 10
"""


def report_of(name: str) -> Report:
    """The report of a zoo name."""
    return archcalc.analyze(archcalc.load(name).build())


@pytest.fixture
def spec(tmp_path: Path) -> Any:
    """A function that writes a spec and analyses it."""

    def report(text: str) -> Report:
        path = tmp_path / "spec.yaml"
        path.write_text(text.strip(), encoding="utf-8")
        return archcalc.analyze(archcalc.load(str(path)).build())

    return report


def table(*rows: str, padding: int = 0) -> str:
    """A label as DOT has it."""
    cells = "".join(f"<TR><TD>{row}</TD></TR>" for row in rows)
    return f'label=<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="{padding}">{cells}</TABLE>>'


def small(text: str) -> str:
    """A small grey line."""
    return f'<FONT POINT-SIZE="8" COLOR="#555555">{text}</FONT>'


def heading(text: str, width: int) -> str:
    """The label of a frame."""
    row = f'<TR><TD ALIGN="RIGHT" WIDTH="{width}">{text}</TD></TR>'
    return table().replace("</TABLE>", f"{row}</TABLE>")


def test_dot_of_a_tiny_net(spec: Any) -> None:
    """The whole text: heading, frame with its count, cells with what acts on them, volumes, and the dashed skip."""
    name = '<FONT POINT-SIZE="14" COLOR="black"><B>tiny</B></FONT>'
    title = table(name, "Two &amp; three", "3,134 params · 37,120 MACs", " ", padding=2)
    white, blue = 'color="#444444" fillcolor="#ffffff"', 'color="#5b8cc0" fillcolor="#cfe0f3"'
    grey, orange = 'color="#8c8c8c" fillcolor="#f4f4f4"', 'color="#d9825b" fillcolor="#fbd8c6"'
    frame = 'color="#d5d5d5" fillcolor="#fafafa" margin=8 style="rounded,filled"'
    expected = f"""
digraph tiny {{
graph [fontcolor="#555555" fontname="sans-serif" fontsize=10 {title}
 labelloc=t newrank=true nodesep=0.3 pad=0.2 ranksep=0.28]
node [fontname="sans-serif" fontsize=10 height=0.3 margin="0.1,0.04" shape=box style="rounded,filled"]
edge [arrowsize=0.6 color="#555555" fontcolor="#555555" fontname="sans-serif" fontsize=8]
"stem/conv" -> "block1/add" [style=dashed weight=1]
input [{table("input")} {white} group=spine width=0.57]
"stem/conv" [{table(small("stem"), "conv 3x3, 4 + bn + relu", small("120 params"))} {blue} group=spine width=1.89]
subgraph "cluster 2.0" {{
fontcolor="#555555" fontsize=9 {heading("<B>block1 … block3 × 3</B>", 209)} labeljust=r
{frame}
"block1/body" [{table("conv 3x3, 4", small("148 params"))} {blue} group=spine width=1.01]
"block1/add" [{table("+, relu")} {grey} group=spine width=0.72]
}}
subgraph "cluster 4.0" {{
fontcolor="#555555" fontsize=9 {heading("fc", 29)} labeljust=r
{frame}
"fc/flatten" [{table("flatten")} {grey} group=spine width=0.72]
"fc/fc" [{table("fc 10", small("2,570 params"))} {orange} group=spine width=1.08]
}}
"output fc/fc" [{table("output")} {white} group=spine width=0.64]
input -> "stem/conv" [label=" 3x8x8 " weight=200]
"stem/conv" -> "block1/body" [label=" 4x8x8 " weight=200]
"block1/body" -> "block1/add" [label=" 4x8x8 " weight=200]
"block1/add" -> "fc/flatten" [label=" 4x8x8 " weight=200]
"fc/flatten" -> "fc/fc" [label=" 256 " weight=200]
"fc/fc" -> "output fc/fc" [label=" 10 " weight=200]
}}
"""
    expected = expected.lstrip().replace("\n labelloc", " labelloc")
    assert expected == to_dot(spec(TINY)).replace("\t", "")


def test_arguments_that_say_little_are_left_out(spec: Any) -> None:
    """Whether there's a bias, or what keeps a norm from dividing by 0, is in tables."""
    assert to_dot(spec(TINY)) == to_dot(spec(TINY.replace("-> bn", "-> bn eps=0.001")))


def layers(shown: Picture, graph: Graph) -> Counter[Any]:
    """How often each layer is in the drawn cells, each as often as it occurs."""
    found: Counter[Any] = Counter()
    for cell, count in shown.cells:
        for each, more in [(each, count * inner) for each, inner in cell.inside] or [(cell, count)]:
            for i in each.nodes:
                found[graph.node(i).application] += more
    return found


def shows_all(shown: Picture, graph: Graph) -> None:
    """Every layer is drawn, in every pass, but for views that change nothing."""
    found, there = layers(shown, graph), graph.applications()
    assert found.keys() <= there.keys()
    for at, count in there.items():
        changes_nothing = len(at.input_shapes) == 1 and at.layer.changes_nothing(*at.input_shapes)
        assert (0 if changes_nothing else count) == found[at]


@pytest.mark.parametrize("name", ZOO)
def test_zoo(name: str) -> None:
    """Every architecture can be drawn; folded, unfolded or collapsed, its cells hold all layers and no other."""
    report = archcalc.analyze(ZOO[name].build())
    assert to_dot(report).startswith("digraph")
    for shown in (picture(report.graph), picture(report.graph, fold=False), picture(report.graph, depth=1)):
        shows_all(shown, report.graph)


def test_repeats_are_folded() -> None:
    """ResNet-50's equal blocks are drawn once with their count, and all of them if asked."""
    report = report_of("resnet50")
    shown, unfolded = picture(report.graph), picture(report.graph, fold=False)
    counts = {cell.path.rpartition("/body")[0]: count for cell, count in shown.cells if "/body" in cell.path}
    expected = {
        f"conv{stage}/{block}": count if block == 2 else 1
        for stage, count in zip("2345", (2, 3, 5, 2), strict=True)
        for block in (1, 2)
    }
    assert expected == counts
    assert {1} == {count for _, count in unfolded.cells}
    assert len(unfolded.cells) == sum(count for _, count in shown.cells)
    assert "2 … 4 × 3" in to_dot(report)


def test_blocks_that_are_read_from_elsewhere_are_not_folded(spec: Any) -> None:
    """A block is a copy of its neighbour only if no line but theirs connects them to the rest."""
    text = TINY.replace("do:\n        - residual: conv 4 3x3 p=1\n        - relu", "do: conv 4 3x3 p=1 -> relu")
    shown = picture(spec(text).graph)
    assert [1, 1, 3, 1, 1] == [count for _, count in shown.cells]
    shown = picture(spec(text + "  - again: from block2 -> conv 4 3x3\n").graph)
    assert [1, 1, 2, 1, 1, 1, 1] == [count for _, count in shown.cells]


def test_equal_branches_are_not_folded(spec: Any) -> None:
    """Equal branches that share their input are drawn side by side: they don't follow each other."""
    text = TINY[: TINY.index("layers")] + "layers:\n  - concat:\n      one: conv 4 3x3\n      two: conv 4 3x3\n"
    assert [1, 1, 1, 1] == [count for _, count in picture(spec(text).graph).cells]


def roles(name: str) -> dict[tuple[str, str], str]:
    """The role of every line in a picture."""
    shown = picture(archcalc.load(name).build())
    paths = [cell.path for cell, _ in shown.cells]
    return {(paths[edge.tail], paths[edge.head]): edge.role for edge in shown.edges}


def test_skips() -> None:
    """An identity shortcut is a skip, a projection is a branch like others, and a crop's model is neither."""
    resnet, unet = roles("resnet50"), roles("unet")
    assert "skip" == resnet["conv2/1/add", "conv2/2/add"]
    assert "main" == resnet["conv2/1/shortcut/conv", "conv2/1/add"]
    assert 4 == sum(role == "skip" for role in resnet.values())
    assert {"skip", "like"} == {role for (_, head), role in unet.items() if head.endswith("up4/a")}
    assert "main" not in {role for (_, head), role in unet.items() if head.endswith("up4/a")}


def test_spine() -> None:
    """The main path: all of ResNet's bodies, of GoogLeNet only what every path goes through."""
    resnet, googlenet = picture(report_of("resnet50").graph), picture(report_of("googlenet").graph)
    off = [cell.path for number, (cell, _) in enumerate(resnet.cells) if number not in resnet.spine]
    assert ["conv2/1/shortcut/conv", "conv3/1/shortcut/conv", "conv4/1/shortcut/conv", "conv5/1/shortcut/conv"] == off
    on = [cell.path for number, (cell, _) in enumerate(googlenet.cells) if number in googlenet.spine]
    assert ["3a/concat", "3b/concat", "pool3", "4a/concat"] == on[-13:-9]


def test_depth() -> None:
    """Scopes below a depth are one node each, and a net too large to read is drawn to a depth that it names."""
    vgg = picture(report_of("vgg16").graph, depth=1)
    assert ["conv1", "conv2"] == [cell.path for cell, _ in vgg.cells if cell.collapsed][:2]
    densenet = to_dot(report_of("densenet121"))
    assert "scopes drawn to depth 2" in densenet
    assert "2 conv" in densenet


def test_spec_order_decides_what_lies_in_a_scope(spec: Any) -> None:
    """A scope that is left and entered again is drawn twice: one node for both would be fed by itself."""
    text = TINY[: TINY.index("layers")] + "layers: [a: conv 4 3x3, c: conv 5 3x3, d: conv 6 3x3]\n"
    graph = spec(text).graph
    names = iter(["input", "a/b", "c", "a/d"])  # no spec can leave a scope and come back; another source of graphs may
    nodes = (node._replace(name=next(names)) for node in graph.nodes)
    graph = Graph.of(graph.name, nodes, graph.outputs, graph.scopes)
    assert ["input", "a/b", "c", "a/d"] == [cell.path for cell, _ in picture(graph, depth=1).cells]


def boxes(svg: bytes) -> Iterator[tuple[str, tuple[float, float, float, float]]]:
    """Every node of an SVG with its sides: left, right, top, bottom."""
    for group in ElementTree.fromstring(svg).iter(f"{SVG}g"):
        if group.get("class") == "node":
            shape = group.find(f".//{SVG}path")
            assert shape is not None
            points = [tuple(map(float, pair)) for pair in re.findall(r"(-?[\d.]+),(-?[\d.]+)", shape.get("d", ""))]
            xs, ys = zip(*points, strict=True)
            title = group.find(f"{SVG}title")
            yield (title.text or "" if title is not None else ""), (min(xs), max(xs), min(ys), max(ys))


@pytest.mark.parametrize("name", ["alexnet", "faster_rcnn", "googlenet_aux", "resnet50", "unet", "vgg16"])
def test_svg(name: str) -> None:
    """Well-formed, as wide and high as a page can show, no node on another, and no text cut by a narrower font."""
    svg = picture_bytes(to_dot(report_of(name)), "svg")
    root = ElementTree.fromstring(svg)
    width, height = (float(root.get(side, "").removesuffix("pt")) for side in ("width", "height"))
    assert 1 / 4 < width / height < 4
    found = list(boxes(svg))
    assert len(picture(report_of(name).graph).cells) < len(found)
    for (one, (left, right, top, bottom)), (other, (start, end, above, below)) in combinations(found, 2):
        assert right < start or end < left or bottom < above or below < top, f"{one} is on {other}"
    assert b'text-anchor="start"' not in svg


def test_only_what_skips_makes_a_picture_a_u() -> None:
    """The second half goes up again where lines run past nodes, not where two resolutions exchange what they see."""
    pygraphviz = pytest.importorskip("pygraphviz", reason="it lays pictures out")
    rows = range(16)
    spine = "".join(f"a{i} -> a{i + 1} [weight={SPINE}]; " for i in rows)
    pictures = {
        "streams": "".join(f"b{i} -> b{i + 1}; a{i // 2 * 2} -> b{i // 2 * 2 + 1}; " for i in rows),
        "skips": "".join(f"a{i} -> a{16 - i}; " for i in range(5)),
    }
    turned = {}
    for name, edges in pictures.items():
        graph = pygraphviz.AGraph(string=f"digraph {{ {spine} {edges} }}")
        graph.layout("dot")
        turned[name] = any(column.turned for way in _Layout(graph).ways() for column in way)
    assert {"streams": False, "skips": True} == turned


def test_other_formats(tmp_path: Path) -> None:
    """The suffix says which format it is."""
    report = report_of("conv_stack")
    for suffix, magic in {"png": b"\x89PNG", "pdf": b"%PDF", "SVG": b"<?xml", "dot": b"digraph"}.items():
        path = tmp_path / f"net.{suffix}"
        Diagram(report).save(path)
        assert path.read_bytes().startswith(magic)
    Diagram(report).save(tmp_path / "net.txt", "dot")
    assert to_dot(report) == (tmp_path / "net.txt").read_text(encoding="utf-8")


def test_stdout_has_the_picture_and_stderr_nothing(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Without a path the picture goes to stdout, as SVG; what Graphviz's libraries have to say is kept."""
    subprocess.run([sys.executable, "-m", "archcalc", "render", "conv_stack"], check=True)
    out, err = capfdbinary.readouterr()
    assert ElementTree.fromstring(out).tag == f"{SVG}svg"
    assert b"" == err


def test_same_bytes_from_two_processes() -> None:
    """A picture depends on nothing but its net."""
    code = "import archcalc, sys; sys.stdout.buffer.write(archcalc.draw('googlenet').to(sys.argv[1]))"
    for format_ in ("dot", "svg"):
        results = [
            subprocess.run(
                [sys.executable, "-c", code, format_],
                env={**os.environ, "PYTHONHASHSEED": seed},
                capture_output=True,
                check=True,
            ).stdout
            for seed in ("1", "2")
        ]
        assert results[0] == results[1] != b""


ODD = ["<b>x</b>", "a:b:c", 'a"q"', "back\\", "new\nline", "\\N\\G", "é中", "{a|b}", "strict", "&amp;", "\x07 "]


def test_odd_names_are_escaped(spec: Any) -> None:
    """Whatever a name, title or output holds is text, not markup, an escape or a port."""
    report = spec(TINY.replace("1..3", "1..2"))
    count = len(report.graph.nodes)
    nodes = [node._replace(name=f"{ODD[i % len(ODD)]}{i}") for i, node in enumerate(report.graph.nodes)]
    graph = Graph.of("<na\\me:", nodes, {"a:b\\": count - 1}, report.graph.scopes)
    graph = replace(graph, title='\\N <b> "&')
    svg = picture_bytes(to_dot(replace(report, graph=graph)), "svg")
    texts = {text.text for text in ElementTree.fromstring(svg).iter(f"{SVG}text")}
    assert {"<na\\me:", '\\N <b> "&', "a:b:c1", "new line4", "conv 3x3, 4"} <= texts
    assert len(picture(graph).cells) + 1 == len(list(boxes(svg)))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("net.jpg",), "can't draw 'jpg'\n    hint: known: svg, pdf, png, dot"),
        (("net.svg", "gif"), "can't draw 'gif'\n    hint: known: svg, pdf, png, dot"),
        (("missing/net.dot",), "can't write '{0}/missing/net.dot': no such file or directory"),
        ((".", "svg"), "can't write '{0}': is a directory"),
    ],
)
def test_errors(arguments: tuple[str, ...], expected: str, tmp_path: Path) -> None:
    """A wrong format or path is told in a line."""
    path, *format_ = arguments
    with pytest.raises(UsageError) as error:
        Diagram(report_of("conv_stack")).save(tmp_path / path, *format_)
    assert expected.format(tmp_path) == str(error.value)


def test_too_much_to_draw(spec: Any) -> None:
    """Graphviz is never asked for what would take it minutes."""
    start = TINY[: TINY.index("layers")] + "layers:\n"
    long = start + "".join(f"  - l{i}: conv {i + 1} 3x3 p=1\n" for i in range(1600))
    branches = ("".join(f"        p{j}: from l{j}\n" for j in range(i)) for i in range(1, 40))
    dense = (
        start + "  - l0: conv 4 3x3\n" + "".join(f"  - l{i}:\n      concat:\n{b}" for i, b in enumerate(branches, 1))
    )
    hint = "scopes can be drawn as one node each: name the chains"
    for text, nodes in ((long, "1,602"), (dense, "42")):
        with pytest.raises(UsageError) as error:
            to_dot(spec(text))
        assert f"{nodes} nodes and the lines between them are too much to draw\n    hint: {hint}" == str(error.value)
    with pytest.raises(UsageError, match="depth 0 is less than 1"):
        to_dot(spec(TINY), depth=0)


def test_outputs_are_nodes_to_draw(spec: Any) -> None:
    """A few kB of a spec that lists every layer as an output would take Graphviz long, in a column or in a row."""
    start = TINY[: TINY.index("layers")] + "layers:\n  - first: conv 4 1\n"
    for item, count, nodes in (("conv 4 1", 1000, "2,002"), ("from first -> relu -> conv 4 1", 600, "1,202")):
        layers = "".join(f"  - l{i}: {item}\n" for i in range(count))
        outputs = ", ".join(f"l{i}" for i in range(count))
        with pytest.raises(UsageError) as error:
            to_dot(spec(f"{start}{layers}outputs: [{outputs}]\n"))
        message = f"{nodes} nodes and the lines between them are too much to draw"
        hint = f"{count:,} of them are outputs, which no depth hides: list fewer under 'outputs'"
        assert f"{message}\n    hint: {hint}" == str(error.value)


PICTURES = {
    "graph": "'conv_stack'",
    "fields": "archcalc.receptive_field('conv_stack')",
    "plot": "archcalc.sweep('alphago_policy', k=[64, 128])",
}


@pytest.mark.parametrize("what", PICTURES)
def test_without_fonts(what: str, tmp_path: Path) -> None:
    """On a machine without fonts a PNG would have boxes for letters: that is an error; an SVG is fine."""
    config = tmp_path / "fonts.conf"
    config.write_text(f"<fontconfig><dir>{tmp_path}</dir><cachedir>{tmp_path}</cachedir></fontconfig>")
    code = f"""
import archcalc
picture = archcalc.draw({PICTURES[what]})
assert "<svg" in picture.svg
for form in ("png", "pdf"):
    try:
        picture.to(form)
    except archcalc.UsageError as error:
        print(error.args[0])
"""
    environment = {**os.environ, "FONTCONFIG_FILE": str(config)}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    told = [f"there is no font on this machine, and {form} needs one" for form in ("png", "pdf")]
    assert (told, "") == (run.stdout.splitlines(), run.stderr)


def test_graphviz_is_loaded_for_pictures_only() -> None:
    """Importing the renderers loads neither graphviz nor pygraphviz."""
    code = "import sys, archcalc, archcalc.drawings.svg; print({'graphviz', 'pygraphviz'} & set(sys.modules))"
    assert "set()\n" == subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
