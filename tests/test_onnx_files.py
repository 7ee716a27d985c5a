"""ONNX files as specs: what PyTorch's exporters write, and what hostile hands do."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from contextlib import suppress
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

import archcalc  # noqa: E402  # what it needs may not be there
from archcalc import UsageError, analyze  # noqa: E402
from archcalc.__main__ import main  # noqa: E402
from archcalc.importers.onnx.wire import varint  # noqa: E402
from tests.onnx_networks import of_name  # noqa: E402


@pytest.mark.parametrize(
    ("name", "exporter"),
    [("unet", "old"), ("vit_by_hand", "old"), ("convnext", "old"), ("shared_perceptron", "old"), ("in_place", "new")],
)
def test_a_file_is_the_module_that_it_was_exported_from(name: str, exporter: str, tmp_path: Path) -> None:
    """Its params and multiply-adds are the module's, and with the file's weights its outputs are onnxruntime's."""
    if exporter == "new":
        pytest.importorskip("onnxscript")
    assert of_name(name, exporter, tmp_path).startswith("equal")


# --- files that are written down here ---------------------------------------------------------------------------------


def file_of(folder: Path, graph: str, opset: int = 17, name: str = "net.onnx", **tensors: tuple[int, ...]) -> Path:
    """A file with this graph, in ONNX's own text, and tensors of these sizes, which have values unlike each other."""
    import numpy

    generator = numpy.random.default_rng(0)
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]>\n{graph}')
    for tensor, shape in tensors.items():
        values = generator.normal(size=shape).astype("float32")
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, tensor))
    path = folder / name
    onnx.save(model, path)
    return path


def text_of(path: Path, *inputs: str) -> str:
    """The layers of a file's spec."""
    return archcalc.from_onnx(path, inputs).spec.source.text.partition("layers:")[2]


SPELLED = {
    "ln": """mean = ReduceMean <axes = [-1]> (x) d = Sub (x, mean) two = Constant <value_float = 2.0> ()
             s = Pow (d, two) var = ReduceMean <axes = [-1]> (s) eps = Constant <value_float = 1e-5> ()
             e = Add (var, eps) root = Sqrt (e) n = Div (d, root) m = Mul (n, w) y = Add (m, b)""",
    "rmsnorm": """two = Constant <value_float = 2.0> () s = Pow (x, two) var = ReduceMean <axes = [-1]> (s)
                  eps = Constant <value_float = 1e-5> () e = Add (var, eps) root = Sqrt (e)
                  r = Reciprocal (root) n = Mul (x, r) y = Mul (w, n)""",
    "gelu": """two = Constant <value_float = 1.4142135> () d = Div (x, two) r = Erf (d)
               one = Constant <value_float = 1.0> () a = Add (r, one) m = Mul (x, a)
               half = Constant <value_float = 0.5> () y = Mul (m, half)""",
    "silu": "s = Sigmoid (x) y = Mul (x, s)",
    "mish": "p = Softplus (x) t = Tanh (p) y = Mul (x, t)",
}
"""Layers as nodes, on tokens of 8 features."""


@pytest.mark.parametrize("kind", SPELLED)
def test_layers_that_are_spelled_out_are_found(kind: str, tmp_path: Path) -> None:
    """Norms and activations whose nodes are the formula itself."""
    graph = f"net (float[N, 5, 8] x) => (float[N, 5, 8] y) {{ {SPELLED[kind]} }}"
    assert f"- {kind}" in text_of(file_of(tmp_path, graph, w=(8,), b=(8,)))


NEAR = {
    "another power": ("ln", "value_float = 2.0", "value_float = 3.0"),
    "another axis": ("ln", "mean = ReduceMean <axes = [-1]>", "mean = ReduceMean <axes = [1]>"),
    "a mean of something else": ("ln", "ReduceMean <axes = [-1]> (x)", "ReduceMean <axes = [-1]> (w)"),
    "another root": ("gelu", "1.4142135", "1.5"),
    "another half": ("gelu", "value_float = 0.5", "value_float = 0.6"),
    "another one": ("gelu", "value_float = 1.0", "value_float = 1.1"),
}


@pytest.mark.parametrize("name", NEAR)
def test_what_is_nearly_a_layer_isnt_taken_for_it(name: str, tmp_path: Path) -> None:
    """Another axis, another constant: the formula is another one."""
    kind, old, new = NEAR[name]
    assert old in SPELLED[kind]
    graph = f"net (float[N, 5, 8] x) => (float[N, 5, 8] y) {{ {SPELLED[kind].replace(old, new, 1)} }}"
    path = file_of(tmp_path, graph, w=(8,), b=(8,))
    try:
        text = text_of(path)
    except UsageError:
        return
    assert f"- {kind}" not in text


def test_attention_is_over_all_keys(tmp_path: Path) -> None:
    """A softmax over another axis is another computation."""
    graph = """net (float[N, 5, 8] x) => (float[N, 5, 8] y) {{
        shape = Constant <value_ints = [0, 5, 2, 4]> () whole = Constant <value_ints = [0, 5, 8]> ()
        h = Reshape (x, shape) q = Transpose <perm = [0, 2, 1, 3]> (h) k = Transpose <perm = [0, 2, 3, 1]> (h)
        s = MatMul (q, k) half = Constant <value_float = 0.5> () m = Mul (s, half) p = Softmax <axis = {axis}> (m)
        o = MatMul (p, q) t = Transpose <perm = [0, 2, 1, 3]> (o) y = Reshape (t, whole)
    }}"""
    found = {axis: text_of(file_of(tmp_path, graph.format(axis=axis))) for axis in (-1, 3, 2)}
    assert [True, True, False] == ["sdpa" in text for text in found.values()]


def test_sizes_that_are_open_are_asked_for(tmp_path: Path) -> None:
    """The batch needs no size; others do, and what's given has to be what the file says where it says something."""
    graph = "net (float[N, 3, H, W] x) => (float[N, 4, A, B] y) { y = Conv <pads = [1, 1, 1, 1]> (x, w) }"
    path = file_of(tmp_path, graph, w=(4, 3, 3, 3))
    with pytest.raises(UsageError, match="leaves the sizes of what enters open: H, W") as error:
        archcalc.from_onnx(path)
    assert "--input 3x224x224" == error.value.hint
    assert 4 * 27 * 10 * 12 == analyze(archcalc.from_onnx(path, ["3x10x12"])).totals["macs"]
    with pytest.raises(UsageError, match="says that 3xHxW enters as 'x', not 4x10x12"):
        archcalc.from_onnx(path, ["4x10x12"])


def test_shapes_that_a_graph_computes_are_known(tmp_path: Path) -> None:
    """Shape, Gather, Concat and Reshape are followed with the sizes that enter."""
    graph = """net (float[N, 4, 6, 6] x) => (float[N, 5] y) {
        s = Shape (x) zero = Constant <value_int = 0> () n = Gather (s, zero) axes = Constant <value_ints = [0]> ()
        m = Unsqueeze (n, axes) rest = Constant <value_ints = [-1]> () both = Concat <axis = 0> (m, rest)
        f = Reshape (x, both) y = Gemm <transB = 1> (f, w, b) }"""
    path = file_of(tmp_path, graph, w=(5, 144), b=(5,))
    assert "- flatten -> fc" in text_of(path)


def test_equal_tensors_that_a_file_holds_once_are_each_layers_own(tmp_path: Path) -> None:
    """Exporters write equal tensors once: layers of different submodules have one each, a table stays one."""
    graph = """net (int64[N, 7] x) => (float[N, 7, 9] y) {
        e = Gather (t, x) a = MatMul (e, w) b = Relu (a) c = MatMul (b, w) turned = Transpose <perm = [1, 0]> (t)
        y = MatMul (c, turned) }"""
    path = file_of(tmp_path, graph, t=(9, 8), w=(8, 8))
    model = onnx.load(path)
    for node, name in zip(model.graph.node, ("/emb/G", "/one/M", "/R", "/two/M", "/head/T", "/head/M"), strict=True):
        node.name = name
    onnx.save(model, path)
    assert 9 * 8 + 2 * 8 * 8 == analyze(archcalc.from_onnx(path)).totals["params"]
    assert "tie=" in text_of(path)


def test_values_stay_where_they_are(tmp_path: Path) -> None:
    """A file with a matrix of 40 GB, which is a hole in it, is read in no memory."""
    path = file_of(tmp_path, "net (float[N, 100000] x) => (float[N, 100000] y) { y = MatMul (x, w) }")
    model, size = onnx.load(path), 4 * 10**10
    tensor = onnx.TensorProto(name="w", dims=[10**5, 10**5], data_type=1).SerializeToString() + b"\x4a" + varint(size)
    graph = model.graph.SerializeToString() + b"\x2a" + varint(len(tensor) + size) + tensor
    model.ClearField("graph")
    with path.open("wb") as file:
        file.write(model.SerializeToString() + b"\x3a" + varint(len(graph) + size) + graph)
        file.truncate(file.tell() + size)
    tracemalloc.start()
    assert 10**10 == analyze(archcalc.from_onnx(path)).totals["params"]
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


# --- what can't be read -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "isn't an ONNX file: it has no operator set"),
        (b"archcalc: 1\nname: x\n", "isn't an ONNX file"),
        (b"\x08\x08\x3a\xff\xff\xff\xff\x0f\x00", "is cut off, or isn't an ONNX file"),
    ],
)
def test_what_isnt_onnx_is_refused(
    content: bytes, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever else ends in .onnx."""
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    assert 2 == main(["table", str(path)])
    assert message in capsys.readouterr().err


def test_operator_sets_have_to_be_known(tmp_path: Path) -> None:
    """Those before 13 are others, and those after what onnx knows can't be read."""
    graph = "net (float[N, 8] x) => (float[N, 8] y) { y = Relu (x) }"
    for opset, message in ((9, "has operator set 9, and 13 is the oldest"), (999, "has operator set 999, and onnx")):
        with pytest.raises(UsageError, match=message):
            archcalc.from_onnx(file_of(tmp_path, graph, opset))
    with pytest.raises(UsageError, match="operation 'Relo' of operator set 17 isn't one that onnx knows"):
        archcalc.from_onnx(file_of(tmp_path, graph.replace("Relu", "Relo")))
    for near in ("Elu <alpha = 3> (x)", "Relu <beta = 1.0> (x)"):
        with pytest.raises(UsageError, match=r"has no attribute '.*' of this type"):
            archcalc.from_onnx(file_of(tmp_path, graph.replace("Relu (x)", near)))


@pytest.mark.parametrize("seed", range(60))
def test_broken_files_end_in_errors(seed: int, tmp_path: Path) -> None:
    """Cut anywhere, or with bytes changed anywhere, a file is a network still or an error that says so."""
    import random

    chance = random.Random(seed)
    graph = """net (float[N, 3, 8, 8] x) => (float[N, 5] y) {
        c = Conv <pads = [1, 1, 1, 1]> (x, w) r = Relu (c) g = GlobalAveragePool (r) s = Shape (g)
        f = Flatten (g) y = Gemm <transB = 1> (f, v, b) }"""
    path = file_of(tmp_path, graph, w=(4, 3, 3, 3), v=(5, 4), b=(5,))
    data = bytearray(path.read_bytes())
    if seed % 4 == 0:
        del data[chance.randrange(len(data)) :]
    for _ in range(0 if seed % 4 == 0 else chance.choice((1, 2, 20))):
        data[chance.randrange(len(data))] = chance.randrange(256)
    path.write_bytes(data)
    with suppress(archcalc.ArchcalcError):
        archcalc.from_onnx(path)


def test_without_onnx_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not a traceback: what to install."""
    monkeypatch.setitem(sys.modules, "onnx", None)
    (tmp_path / "net.onnx").write_bytes(b"")
    with pytest.raises(UsageError, match="this needs onnx") as error:
        archcalc.from_onnx(tmp_path / "net.onnx")
    assert "pip install 'archcalc[onnx]'" == error.value.hint


def test_an_onnx_file_needs_no_torch(tmp_path: Path) -> None:
    """Where nothing but layers is in it."""
    path = file_of(tmp_path, "net (float[N, 8] x) => (float[N, 8] y) { y = Relu (x) }")
    code = (
        f"import sys; from archcalc.__main__ import main; main(['table', {str(path)!r}]); print('torch' in sys.modules)"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout.endswith("False\n")
