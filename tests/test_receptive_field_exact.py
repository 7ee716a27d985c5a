"""The exact window of one position against PyTorch's gradients: every zoo net, and random graphs."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archcalc.analyses.positions import positions_of
from archcalc.analyses.receptive_field import receptive_fields
from archcalc.analyses.receptive_field_exact import exact_field
from archcalc.graph import Graph
from archcalc.zoo import architectures
from tests.helpers import graph_of, regions_of, some_of_the_zoo
from tests.receptive_field_graphs import graphs

ZOO = {architecture.name: architecture for architecture in architectures()}
SMALLER: dict[str, dict[str, Any]] = {
    "c3d": {"H": 56, "W": 56},
    "r3d_18": {"D": 8, "H": 64, "W": 48},
    "r2plus1d_18": {"D": 8, "H": 48, "W": 64},
    "efficientnet_b0": {"H": 96, "W": 128},
    "efficientnet_v2_s": {"H": 128, "W": 96},
    "inception_v4": {"H": 171, "W": 203},
    "xception": {"H": 128, "W": 96},
    "seresnet50": {"H": 96, "W": 128},
    "resnext50_32x4d": {"H": 128, "W": 96},
    "convnext_small": {"H": 96, "W": 96},
    "swin3d_t": {"D": 4, "H": 64, "W": 96},
    "swin_v2_t": {"H": 128, "W": 96},
    "swin_t": {"H": 96, "W": 128},
    "convnext_tiny": {"H": 128, "W": 96},
    "densenet121": {"H": 96, "W": 128},
    "densenet161": {"H": 64, "W": 64},
    "densenet169": {"H": 64, "W": 96},
    "densenet201": {"H": 64, "W": 64},
    "darknet53": {"H": 96, "W": 64},
    "deeplabv3_resnet50": {"H": 72, "W": 88},
    "detr_resnet50": {"H": 96, "W": 128},
    "fast_rcnn_vgg16": {"H": 128, "W": 160},
    "faster_rcnn": {"H": 128, "W": 160},
    "hrnet_w18": {"H": 64, "W": 96},
    "segformer_b0": {"H": 64, "W": 96},
    "yolov3": {"H": 96, "W": 128},
    "fcn_googlenet": {"H": 256, "W": 224},
    "fcn_vgg16": {"H": 224, "W": 256},
    "inception_v3": {"H": 171, "W": 203},
    "resnet50": {"H": 128, "W": 96},
    "fpn_resnet50": {"H": 128, "W": 96},
    "mask_rcnn_fpn": {"H": 128, "W": 160},
    "retinanet": {"H": 96, "W": 128},
    "resnet101": {"H": 128, "W": 96},
    "resnet152": {"H": 128, "W": 96},
    "resnet101_v1": {"H": 128, "W": 96},
    "resnet152_v1": {"H": 128, "W": 96},
    "ddpm_cifar10": {"H": 16, "W": 24},
    "rpn_vgg": {"H": 192, "W": 224},
    "rpn_zf": {"H": 256, "W": 192},
    "sd_v1": {"H": 16, "W": 8},
    "slowfast_8x8": {"D": 2, "H": 64, "W": 32, "fast": {"D": 8, "H": 64, "W": 32}},
    "stable_diffusion_vae": {"H": 48, "W": 32},
    "unet": {"H": 220, "W": 204},
    "vgg19": {"H": 160, "W": 128},
    "wav2vec2_base": {"W": 1680},
    "wavenet": {"W": 1200},
}
"""Input sizes for the nets that would take PyTorch long; the others have their own."""
NUMBERS = {"rcnn_alexnet": {"R": 2}, "sd_v1": {"ch": 64}}
"""Other values for hyperparameters that would take PyTorch long."""


def wide_nodes(graph: Graph) -> list[int]:
    """The nodes with more than one position."""
    return [
        index
        for index, node in enumerate(graph.nodes)
        if node.inputs and node.shape.spatial and max(node.shape[axis] for axis in node.shape.spatial) > 1
    ]


def questions_of(graph: Graph) -> list[tuple[int, dict[str, int]]]:
    """Of the last wide node a corner and the centre; of two inner ones a place near the far corner."""
    wide = wide_nodes(graph)
    found = []
    for number, index in enumerate([wide[-1], wide[len(wide) // 3], wide[2 * len(wide) // 3]]):
        shape = graph.nodes[index].shape
        if number == 0:
            found += [(index, dict.fromkeys(shape.spatial, 0)), (index, {a: shape[a] // 2 for a in shape.spatial})]
        else:
            found.append((index, {a: shape[a] - 1 if a == "W" else 2 * shape[a] // 3 for a in shape.spatial}))
    return found


@pytest.mark.torch
@pytest.mark.parametrize("name", some_of_the_zoo())
def test_zoo_gradients_arrive_where_the_window_says(name: str) -> None:
    """In nets of every spec of the zoo the positions that a gradient reaches are those computed, each single one."""
    torch = pytest.importorskip("torch", reason="gradients need PyTorch")
    from archcalc.pytorch.gradient import Question, supports

    graph = ZOO[name].build(sizes=SMALLER.get(name), **{**regions_of(name), **NUMBERS.get(name, {})})
    if not graph.input.spatial or not wide_nodes(graph):
        assert not any(receptive_fields(graph)) or not wide_nodes(graph)
        return
    questions = questions_of(graph)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    actual = list(supports(graph, [Question(*question) for question in questions], device=device))
    for (index, position), seen in zip(questions, actual, strict=True):
        assert exact_field(graph, index, position) == seen, (graph.nodes[index].name, position)


@pytest.mark.torch
def test_what_tables_say_holds_of_random_graphs() -> None:
    """A sample of the fuzzer: crops, remainders, gates, tokens, grids, reshapes, regions, joins; masks and numbers."""
    pytest.importorskip("torch", reason="gradients need PyTorch")
    from tests.fuzz_fields import run

    assert run(15, 5) > 100


@pytest.mark.torch
@settings(max_examples=600, deadline=None)
@given(data=st.data(), graph=graphs())
def test_random_gradients_arrive_where_the_window_says(data: st.DataObject, graph: Graph) -> None:
    """In random graphs with branches, too, all of the mask is equal, from the input and from an inner volume."""
    pytest.importorskip("torch", reason="gradients need PyTorch")
    from archcalc.pytorch.gradient import Question, supports

    ends = {graph.outputs["out"], data.draw(st.integers(0, len(graph) - 1), label="inner")}
    source = data.draw(st.sampled_from([0, 0, *range(min(ends) + 1)]), label="source")
    questions = []
    for end in ends:
        sizes = positions_of(graph.nodes[end].shape)
        position = {axis: data.draw(st.integers(0, size - 1), label=axis) for axis, size in sizes.items()}
        questions.append(Question(end, position))
    for question, seen in zip(questions, supports(graph, questions, source), strict=True):
        assert exact_field(graph, question.node, question.position, source) == seen


@pytest.mark.torch
@pytest.mark.parametrize(
    "layers",
    [
        "global_avgpool -> conv 2 1x1",
        "avgpool 120 s=1",
        "maxpool 120 s=1",
        "adaptive_avgpool 1",
        "global_maxpool",
        "mul: [identity, global_avgpool -> conv 1 1x1 -> sigmoid]",
        "avgpool 30 -> upsample 100 mode=bilinear",
        "upsample 3 mode=bilinear -> conv 1 3x3",
    ],
)
def test_means_of_very_many_positions_do_not_vanish(layers: str) -> None:
    """One position among 14,400 has a share of 7e-5 in a mean, less than what counts as a rounding error."""
    pytest.importorskip("torch", reason="gradients need PyTorch")
    from archcalc.pytorch.gradient import Question, supports

    graph = graph_of(f"layers:\n  - {layers}\n", "archcalc: 1\nname: t\ninput: {C: 1, H: 120, W: 121}\n")
    for index, part in itertools.product(range(1, len(graph.nodes)), (3, 8)):
        position = {axis: graph.nodes[index].shape[axis] // part for axis in graph.nodes[index].shape.spatial}
        (seen,) = supports(graph, [Question(index, position)])
        assert exact_field(graph, index, position) == seen, (graph.nodes[index].name, position)


@pytest.mark.torch
def test_windows_that_read_nothing_have_a_gradient_of_nothing() -> None:
    """A dilated window may lie beside the only row there is, for every position."""
    pytest.importorskip("torch", reason="gradients need PyTorch")
    from archcalc.pytorch.gradient import Question, supports

    graph = graph_of("layers: [maxpool 2 s=1 p=1 d=2]\n", "archcalc: 1\nname: t\ninput: {C: 2, H: 2, W: 1}\n")
    for row in range(2):
        (seen,) = supports(graph, [Question(1, {"H": row, "W": 0})])
        assert exact_field(graph, 1, {"H": row, "W": 0}) == seen
