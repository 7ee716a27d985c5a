"""Receptive fields from the graph alone: published values, phases, misaligned paths, symbolic sizes, speed."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archcalc import analyze
from archcalc.analyses.field import MAX_PERIOD
from archcalc.analyses.positions import positions_of
from archcalc.analyses.receptive_field import receptive_fields
from archcalc.analyses.receptive_field_exact import exact_field
from archcalc.analyses.receptive_field_paths import merged, misalignments, remarks
from archcalc.errors import UsageError
from archcalc.graph import Graph
from archcalc.layers.reads import Runs, Sampled
from archcalc.symbolic import ceil_div, dim, is_symbolic
from archcalc.zoo import load
from tests.helpers import graph_of
from tests.receptive_field_graphs import graphs

LINE = "archcalc: 1\nname: t\ninput: {C: 2, W: 64}\n"


def fields_of(layers: str, head: str = LINE, path: str = "y") -> dict[str, Any]:
    """The fields behind the layer called y."""
    graph = graph_of(layers, head)
    return dict(receptive_fields(graph)[graph.places[path]])


PUBLISHED = [
    ("alexnet", "pool5", 195, 32, None),
    ("alexnet_pad2", "pool5", 195, 32, None),
    ("vgg16", "conv5/pool", 212, 32, 90),
    ("vgg19", "conv5/pool", 268, 32, None),
    ("resnet50_v1", "conv5", 483, 32, None),
    ("resnet50", "conv5", 427, 32, None),
    ("resnet101_v1", "conv5", 1027, 32, None),
    ("resnet152_v1", "conv5", 1507, 32, None),
    ("mobilenetv1", "ds13", 315, 32, None),
    ("inception_v3", "7c", 1311, 32, 618),
    ("fcn_alexnet", "score", 355, 32, None),
    ("fcn_vgg16", "score", 404, 32, None),
    ("rpn_vgg", "window", 228, 16, None),
    ("rpn_zf", "window", 171, 16, None),
]


@pytest.mark.parametrize(("name", "path", "size", "stride", "padding"), PUBLISHED)
def test_published_sizes(name: str, path: str, size: int, stride: int, padding: int | None) -> None:
    """Sizes, strides and paddings are those that Distill 2019, FCN, Faster R-CNN and the papers print."""
    for field in analyze(load(name).build())[path].fields.values():
        assert (size, stride) == (field.size, field.stride)
        if padding is not None:
            assert padding == field.padding


def test_alexnet_padding_is_distills() -> None:
    """With the paddings of Distill's alexnet_v2, the padding is 64: ours has them."""
    assert {64} == {field.padding for field in analyze(load("alexnet").build())["pool5"].fields.values()}


def test_phases_of_a_transposed_convolution() -> None:
    """Behind a transposed convolution positions take turns: with kernel 3 and stride 2, two inputs, then one."""
    (field,) = fields_of("layers: [{y: tconv 2 3 s=2}]\n").values()
    assert ((-1, 0), (0, 0)) == field.windows
    assert (2, Fraction(1, 2), 1) == (field.size, field.stride, field.padding)
    assert ["2 phases, seeing 1-2"] == list(map(str, remarks({"W": field})))


def test_positions_that_see_nothing() -> None:
    """A transposed convolution whose stride is greater than its kernel leaves positions that see nothing."""
    (field,) = fields_of("layers: [{y: tconv 2 1 s=3}]\n").values()
    assert ((0, 0), None, None) == field.windows
    (field,) = fields_of("layers:\n- a: tconv 2 1 s=3\n- y: conv 2 1 s=3 p=[1,1]\n").values()
    assert (None, 1) == (field.windows[0], field.advance)


def test_upsampling_after_pooling_restores_the_stride() -> None:
    """Half the positions and twice as many again: stride 1 on average, in two phases."""
    (field,) = fields_of("layers: [{a: maxpool 2}, {y: upsample 2}]\n").values()
    assert (2, 1, ((0, 1), (0, 1))) == (field.size, field.stride, field.windows)


def test_misaligned_paths_are_named() -> None:
    """A merge of paths with unequal centres is reported with both paths, not refused."""
    graph = graph_of("layers:\n- y:\n    add:\n      a: conv 2 3 p=1\n      b: conv 2 3 p=[2,0]\n", LINE)
    fields = receptive_fields(graph)
    assert ["y/add: y/a and y/b are misaligned along W: centres 0 and -1 of the first position"] == list(
        map(str, misalignments(graph, fields))
    )
    (field,) = fields[graph.places["y"]].values()
    assert (False, (-2, 1)) == (field.aligned, field.windows[0])


def test_paths_that_disagree_in_a_later_phase_are_named_there() -> None:
    """Behind an upsampling, the first position whose centres differ is named, with two centres that do differ."""
    layers = "layers:\n- stem: conv 2 3 p=1\n- up: maxpool 4 -> upsample 4\n- cat: {concat: [from up, from stem]}\n"
    layers += "- r1: {residual: conv 4 3 p=1}\n- r2: {residual: conv 4 3 p=1}\n"
    graph = graph_of(layers, LINE)
    fields = receptive_fields(graph)
    found = list(misalignments(graph, fields))
    assert "r2/add: r2/body and r1/add are misaligned along W: centres -0.5 and 1.5 of position 1" == str(found[-1])
    for one in found:
        centres = [exact_field(graph, graph.places[path], {"W": 4 + one.position}).interval("W") for path in one.paths]
        assert len({sum(window) for window in centres if window}) == 2


def test_rows_of_different_paths_do_not_see_the_same_columns() -> None:
    """Where paths that see unequal columns lie one above the other, a mean over columns is not global: at most."""
    layers = (
        "layers:\n- one: conv 2 1\n- far: from one -> conv 2 1 s=1x2 p=1 -> crop size=3x3\n"
        "- both: {concat: [from one, from far], axis: H}\n- mean: adaptive_avgpool 2x1\n"
    )
    graph = graph_of(layers, "archcalc: 1\nname: t\ninput: {C: 2, H: 3, W: 3}\n")
    place = graph.places["mean"]
    seen = [exact_field(graph, place, {"H": row, "W": 0}).interval("W") for row in range(2)]
    assert [(0, 2), (1, 1)] == seen
    assert receptive_fields(graph)[place]["W"].bounded


@pytest.mark.parametrize(
    "after",
    [
        "conv 2 2 p=1 d=2",
        "conv 2 1 p=2",
        "maxpool 2 s=1 p=1 d=2",
        "upsample 3 -> tconv 2 1 s=2",
        "tconv 2 2 s=2 d=3",
        "tconv 2 2 s=2 output_padding=1",
    ],
)
def test_what_reads_padding_alone_sees_nothing_of_a_global_value(after: str) -> None:
    """Behind a global layer a position sees everything or, where its window holds no input, nothing: at most."""
    graph = graph_of(f"layers:\n- global_avgpool\n- {after}\n", LINE)
    index = len(graph.nodes) - 1
    (field,) = receptive_fields(graph)[index].values()
    seen = [exact_field(graph, index, {"W": at}).interval("W") for at in range(graph.nodes[index].shape["W"])]
    assert None in seen
    assert (True, ((0, 63),)) == (field.bounded, field.windows)


def test_unequal_strides_are_named() -> None:
    """Paths of unequal stride drift apart: the field is the first position's, and exact windows remain exact."""
    graph = graph_of(
        "layers:\n- y:\n    add:\n      a: conv 2 3 s=2 p=1 -> crop size=8\n      b: conv 2 1 -> crop size=8\n", LINE
    )
    fields = receptive_fields(graph)
    (only,) = misalignments(graph, fields)
    assert (("y/a/crop", "y/b/crop"), (2, 1)) == (only.paths, only.strides)
    (field,) = fields[graph.places["y"]].values()
    assert (False, True, (23, 28)) == (field.aligned, field.drifts, field.windows[0])
    assert (35, 39) == exact_field(graph, graph.places["y"], {"W": 7}).interval("W")


def test_axes_on_which_paths_disagree_alike_are_told_once() -> None:
    """Height and width with the same misalignment make one entry."""
    graph = graph_of("layers:\n- y:\n    add:\n      a: conv 2 3 p=1\n      b: conv 2 3 p=[2,0]\n")
    (only,) = merged(misalignments(graph, receptive_fields(graph)))
    assert "H, W" == only.axis


def test_too_many_phases_are_bounded() -> None:
    """Where phases would become too many, a field says that it is a bound, and it holds every position's window."""
    ups = "".join(f"- u{i}: tconv 2 3 s=2\n" for i in range(12))
    graph = graph_of(f"layers:\n{ups}", "archcalc: 1\nname: t\ninput: {C: 2, W: 2}\n")
    fields = receptive_fields(graph)
    assert not fields[10]["W"].bounded
    assert len(fields[10]["W"].windows) == MAX_PERIOD
    last = fields[-1]["W"]
    assert (True, 1, Fraction(1, 4096)) == (last.bounded, len(last.windows), last.stride)
    for position in range(0, graph.nodes[-1].shape["W"], 97):
        low, high = exact_field(graph, 12, {"W": position}).interval("W") or (0, 0)
        bound = last.at(position)
        assert bound is not None
        assert bound[0] <= low
        assert high <= bound[1]


def test_same_padding_depends_on_the_size() -> None:
    """With `same` padding and a stride, the padding in front is another for another size, and that is said."""
    head = "archcalc: 1\nname: t\ninput: {C: 2, W: size}\nhparams: {size: 8}\n"
    layers = "layers: [{y: conv 2 3 s=2 p=same}]\n"
    (even,) = fields_of(layers, head).values()
    (odd,) = fields_of(layers, head.replace("8", "9")).values()
    assert (0, 1) == (even.padding, odd.padding)
    assert even.size_dependent
    assert not fields_of(layers.replace("3 s=2", "3"), head)["W"].size_dependent
    assert not fields_of(layers.replace("3 s=2", "1 s=2"), head)["W"].size_dependent


def test_same_padding_of_a_symbolic_size() -> None:
    """For a symbolic size the padding is an expression, whose values are those of the sizes put in."""
    head = "archcalc: 1\nname: t\ninput: {C: 2, W: size}\nhparams: {size: sym}\n"
    (field,) = fields_of("layers: [{a: conv 2 7 s=2 p=same}, {y: maxpool 3 s=2 p=same}]\n", head).values()
    assert is_symbolic(field.padding)
    for size in range(16, 32):
        (number,) = fields_of(
            "layers: [{a: conv 2 7 s=2 p=same}, {y: maxpool 3 s=2 p=same}]\n", head.replace("sym", str(size))
        ).values()
        assert number.padding == field.padding.subs(dim("size"), size)


@pytest.mark.parametrize(
    "name", ["alexnet", "vgg16", "googlenet", "resnet50", "mobilenetv2", "unet", "fcn_vgg16", "zfnet"]
)
def test_symbolic_sizes_have_the_same_strides(name: str) -> None:
    """Zoo nets that build on any H and W have the same field on them: neither size nor stride depends on them."""
    architecture = load(name)
    number = receptive_fields(architecture.build())
    graph = architecture.build(sizes={"H": dim("H"), "W": dim("W")})
    for before, after in zip(number, receptive_fields(graph), strict=True):
        for axis, field in after.items():
            if field.follows and not field.whole and not before[axis].whole and not is_symbolic(field.size):
                assert (before[axis].size, before[axis].stride) == (field.size, field.stride)


def test_global_layers_see_everything() -> None:
    """Behind global pooling, and fc on a vector, the field is the whole input."""
    for path in ("fc", "conv5"):
        field = analyze(load("resnet18").build())[path].fields["H"]
        assert (path == "fc") == field.whole
    assert 224 == analyze(load("resnet18").build())["fc"].fields["H"].size


def test_from_an_inner_layer() -> None:
    """Relative to an inner layer the field starts there, and layers before it have none."""
    graph = load("vgg16").build()
    fields = receptive_fields(graph, graph.places["conv4/pool"])
    inner, pooled = (fields[graph.places[path]]["H"] for path in ("conv5/3", "conv5/pool"))
    assert [(7, 1, 3), (8, 2, 3)] == [(field.size, field.stride, field.padding) for field in (inner, pooled)]
    assert {} == fields[graph.places["conv4/1"]]


def test_deep_nets_take_time_linear_in_their_depth() -> None:
    """A net of 3,000 blocks has its fields quickly, and they are what counting says."""
    graph = load("resnet:cifar").build(n=1000)
    field = receptive_fields(graph)[graph.places["conv4"]]["H"]
    # 2 for each convolution at stride 1, the first of the next stage included; then 4 for each, then 8
    assert (1 + 2 * (1 + 2000 + 1) + 4 * (1999 + 1) + 8 * 1999, 4) == (field.size, field.stride)


def reads(graph: Graph, current: int, axis: str, positions: set[int]) -> set[int]:
    """The positions along one axis that those of a node read, those in the padding included."""
    node = graph.nodes[current]
    window = node.layer.windows(*node.application.input_shapes).get(axis)
    size, count = node.application.input_shapes[0][axis], node.shape[axis]
    if node.kind.startswith("adaptive"):
        bins = (range(o * size // count, ceil_div((o + 1) * size, count)) for o in positions)
        return {i for o in bins for i in o}
    found = node.layer.reads(*node.application.input_shapes)[0]
    relation = None if found is None else found.along.get(axis)
    if isinstance(relation, Sampled if node.kind == "resize" else Runs):
        return {i for o in positions for i in range(*relation.bounds(o, size))}
    if node.kind == "resize" and relation is not None:
        # of one position, or of a position on each side: whatever is asked for
        return {i for i in range(size) if relation.read_by(1, size) >> i & 1}
    return positions if window is None else {i for o in positions for i in window.reads(o)}


def unclipped(graph: Graph, index: int, axis: str, position: int) -> tuple[set[int], bool]:
    """All input positions on the way back from one position along one axis, and whether none lies outside its volume.

    A way on which all positions along another axis lie in the padding counts as one that does.
    """
    sets: dict[int, set[int]] = {index: {position}}
    others = {other: {index: {*range(size)}} for other, size in positions_of(graph.nodes[index].shape).items()}
    inside = True
    for current in range(index, 0, -1):
        node = graph.nodes[current]
        if current not in sets:
            continue
        inside &= all(0 <= o < node.shape[axis] for o in sets[current])
        for other, known in others.items():
            there = reads(graph, current, other, known[current])
            there &= {*range(node.application.input_shapes[0][other])}
            inside &= bool(there)
            for place in node.inputs:
                known.setdefault(place, set()).update(there)
        for place in node.inputs:
            sets.setdefault(place, set()).update(reads(graph, current, axis, sets[current]))
    found = sets.get(0, set())
    return found, inside and all(0 <= i < graph.input[axis] for i in found)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), graph=graphs(largest=40, tails=False))
def test_forward_fields_are_exact_inside(data: st.DataObject, graph: Graph) -> None:
    """Away from the borders the propagated field is the hull of what the position really sees."""
    end = graph.outputs["out"]
    for axis, field in receptive_fields(graph)[end].items():
        if field.constant or not field.follows or field.drifts or field.bounded:
            continue
        sizes = positions_of(graph.nodes[end].shape)
        at = data.draw(st.integers(0, sizes[axis] - 1) | st.just(sizes[axis] // 2), label=axis)
        free, inside = unclipped(graph, end, axis, at)
        if inside or not any(node.kind == "resize" for node in graph.nodes):  # beyond its ends that isn't defined
            assert (min(free), max(free)) == field.at(at) if free else field.at(at) is None
        # along the other axis all positions may see nothing but padding, or gaps of a transposed convolution
        if inside and free and exact_field(graph, end, {}).count:
            assert exact_field(graph, end, {axis: at}).interval(axis) == field.at(at)


def test_positions_that_do_not_exist_are_refused() -> None:
    """A position outside the volume, and one in a symbolic volume, are errors that say why."""
    graph = load("vgg16").build()
    with pytest.raises(UsageError, match="has no position H=7") as error:
        exact_field(graph, graph.places["conv5/pool"], {"H": 7})
    assert "H 0 to 6" in error.value.hint
    graph = load("vgg16").build(sizes={"H": dim("H"), "W": dim("W")}, fcn="true")
    with pytest.raises(UsageError, match="symbolic sizes"):
        exact_field(graph, graph.places["conv5/pool"], {"H": 0})


def test_gridding_leaves_gaps() -> None:
    """Three 3x3 convolutions with dilation 2 see every second position of their field only."""
    graph = graph_of("layers: [(conv 2 3 d=2 p=2)*3]\n")
    seen = exact_field(graph, 3, {"H": 16, "W": 16})
    assert (49, 49 / 169) == (seen.count, seen.share)
    assert (10, 22) == seen.interval("H")


def test_clipping_happens_at_every_layer() -> None:
    """A crop before a padded convolution clips first: the window is not the one clipped at the input."""
    graph = graph_of("layers: [{a: crop size=8}, {y: conv 2 5 p=2}]\n", LINE)
    end = graph.places["y"]
    assert (26, 30) == receptive_fields(graph)[end]["W"].at(0)
    assert (28, 30) == exact_field(graph, end, {"W": 0}).interval("W")


def test_bins_after_paths_of_unequal_stride_keep_a_fraction_of_a_stride() -> None:
    """As many bins as positions change nothing; fewer have multiples of the stride, which may be half a position."""
    head = "archcalc: 1\nname: t\ninput: {C: 2, H: 4, W: 4}\nlayers:\n"
    for count, stride in ((4, Fraction(1, 2)), (2, 1)):
        graph = graph_of(
            "  - up: tconv 2 1 s=1x2 -> crop size=4x4\n  - both: {add: [from up, from input]}\n"
            f"  - bins: adaptive_avgpool {count}\n",
            head,
        )
        before, after = (receptive_fields(graph)[graph.place(name)]["W"] for name in ("both", "bins"))
        assert (Fraction(1, 2), stride) == (before.stride, after.stride)
        assert after.drifts
        assert not after.constant
