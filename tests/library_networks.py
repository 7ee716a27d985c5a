"""The zoo against the classes of torchvision and timm: `python -m tests.library_networks --only resnet`.

For each network that a library ships: its class, built without memory, has the parameters of ours, layer by layer;
PyTorch's own counter finds our multiply-adds on it; and with the library's weights ours gives the library's outputs.
Needs torchvision and timm, which may be installed without their own dependencies on PyTorch.
"""

from __future__ import annotations

import argparse
import importlib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from archcalc import Graph, analyze, load
from archcalc.pytorch.network import Network
from archcalc.symbolic import known

OPERATORS = ("roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool", "deform_conv2d", "qnms")
"""What torchvision's Python declares gradients or fake tensors of; its compiled part has them, if it can be loaded."""
JOINED = re.compile(r"(in_proj_|qkv\.)(weight|bias)$")
"""The names of parameters that hold those of three projections."""
MIXING = re.compile(r"(out_proj|proj|merge)\.")
"""The name of the last projection, which comes before what heads and positions have of their own."""
TOLERANCE = 1e-4
"""Of outputs, as a share of the largest: sums of floats in another order."""


class Found(NamedTuple):
    """What a comparison found: each is empty where both agree."""

    params: str
    macs: str
    outputs: str

    @property
    def wrong(self) -> str:
        """All that differs."""
        return "; ".join(text for text in self if text)


def torchvision() -> Any:
    """The models of torchvision, with or without its compiled part."""
    try:
        return importlib.import_module("torchvision.models")
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        for name in OPERATORS:
            library.define(f"{name}(Tensor x) -> Tensor")
            library.define(f"_{name}_backward(Tensor x) -> Tensor")
        return importlib.import_module("torchvision.models")


def built(name: str, **options: Any) -> nn.Module:
    """A library's network, in evaluation mode: `resnet50` of torchvision, `timm/seresnet50` of timm."""
    library, _, model = name.rpartition("/")
    source = torchvision()
    if library == "pyramid":
        return pyramid(source.detection, model, **options)
    if library == "detection":
        return OneShot(getattr(source.detection, model)(weights=None, weights_backbone=None, **options)).eval()
    if library == "video":
        return getattr(source.video, model)(weights=None, **options).eval()  # type: ignore[no-any-return]
    if library == "timm":
        return importlib.import_module("timm").create_model(model, **options).eval()  # type: ignore[no-any-return]
    if library == "detr":
        trunk = importlib.import_module("transformers").ResNetConfig(out_features=["stage4"], **options)
        given = {"use_timm_backbone": False, "backbone": None, "backbone_config": trunk, "num_labels": 91}
        return BoxesAtOnce(of_transformers("transformers.models.detr", model, given)).eval()
    if library.startswith("transformers"):
        return of_transformers(library.replace("/", ".models."), model, options).eval()
    return source.get_model(model, weights=None, **options).eval()  # type: ignore[no-any-return]


class Deformed(nn.Module):
    """What takes the place of a 3x3 in detectors with deformable convolutions: torchvision's, and what moves its taps."""

    def __init__(self, plain: nn.Conv2d, masked: bool) -> None:
        super().__init__()
        channels, sides = plain.in_channels, {"stride": plain.stride, "padding": plain.padding}
        self.offset = nn.Conv2d(channels, 18, 3, **sides)
        self.mask = nn.Conv2d(channels, 9, 3, **sides) if masked else None
        make = importlib.import_module("torchvision.ops").DeformConv2d
        self.conv = make(channels, plain.out_channels, 3, **sides, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        mask = None if self.mask is None else self.mask(x).sigmoid()
        made: Tensor = self.conv(x, self.offset(x), mask)
        return made


def deformed(masked: bool) -> nn.Module:
    """Torchvision's ResNet-50 with deformable convolutions from its second stage on."""
    net = torchvision().resnet50(weights=None)
    for block in (*net.layer2, *net.layer3, *net.layer4):
        block.conv2 = Deformed(block.conv2, masked)
    return net.eval()  # type: ignore[no-any-return]


class OneShot(nn.Module):
    """What torchvision's detectors without regions learn: a trunk, and a head that reads its maps."""

    def __init__(self, detector: Any) -> None:
        super().__init__()
        self.trunk, self.head = detector.backbone, detector.head

    def forward(self, x: Tensor) -> Any:
        """The numbers of all boxes, before any is chosen, by name."""
        return dict(sorted(self.head([*self.trunk(x).values()]).items()))


def pyramid(detection: Any, model: str, levels: list[int], convolved: bool) -> nn.Module:
    """A detector on a pyramid over ResNet-50, whose batch norms are frozen as they are where it comes with weights."""
    parts = importlib.import_module("torchvision.ops.feature_pyramid_network")
    extra = parts.LastLevelP6P7(256, 256) if convolved else parts.LastLevelMaxPool()
    make = detection.backbone_utils.resnet_fpn_backbone
    trunk = make(backbone_name="resnet50", weights=None, returned_layers=levels, extra_blocks=extra)
    if not model:
        return trunk.eval()
    detector = getattr(detection, model)(trunk, 91)
    return (TwoSteps(detector) if hasattr(detector, "rpn") else OneShot(detector)).eval()


class TwoSteps(nn.Module):
    """What torchvision's detectors with regions learn, run on 100 regions in which there is nothing."""

    def __init__(self, detector: Any) -> None:
        super().__init__()
        self.trunk, self.proposing, self.heads = detector.backbone, detector.rpn.head, detector.roi_heads

    def forward(self, x: Tensor) -> Any:
        """The numbers of all boxes and of the regions."""
        proposed = self.proposing([*self.trunk(x).values()])
        classes, boxes = self.heads.box_predictor(self.heads.box_head(x.new_zeros(100, 256, 7, 7)))
        if self.heads.mask_predictor is None:
            return proposed, classes, boxes
        masks = self.heads.mask_predictor(self.heads.mask_head(x.new_zeros(100, 256, 14, 14)))
        return proposed, classes, boxes, masks


class BoxesAtOnce(nn.Module):
    """A DETR that is not told where on the map its tokens lie, and whose decoder starts from what it looks for."""

    def __init__(self, detr: Any) -> None:
        super().__init__()
        self.detr = detr

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The classes of the boxes, and where they are."""
        model = self.detr.model
        tokens = model.input_projection(model.backbone.model(x).feature_maps[0]).flatten(2).transpose(1, 2)
        read = model.encoder(inputs_embeds=tokens).last_hidden_state
        boxes = model.query_position_embeddings.weight.detach()[None]
        found = model.decoder(boxes, encoder_hidden_states=read, object_queries_position_embeddings=boxes)
        last = found.last_hidden_state
        return self.detr.class_labels_classifier(last), self.detr.bbox_predictor(last).sigmoid()


def of_transformers(module: str, model: str, options: dict[str, Any]) -> nn.Module:
    """A class of transformers, made from a configuration with these values."""
    family = module.rpartition(".")[2]
    made = getattr(importlib.import_module(f"{module}.modeling_{family}"), model)
    return made(made.config_class(**options))  # type: ignore[no-any-return]


def without_memory(name: str, **options: Any) -> nn.Module:
    """The same on PyTorch's meta device."""
    try:
        with torch.device("meta"):
            return built(name, **options)
    except NotImplementedError:  # it calculates with tensors while it's built
        return built(name, **options).to("meta")


def segformer(depths: list[int], width: int, head: int) -> dict[str, Any]:
    """The configuration of a SegFormer; the names of transformers' arguments."""
    widths = [width, 2 * width, 5 * width, 8 * width]
    return {"depths": depths, "hidden_sizes": widths, "decoder_hidden_size": head, "num_labels": 150}


SEGFORMERS: list[tuple[list[int], int, int]] = [
    *(([2, 2, 2, 2], 32, 256), ([2, 2, 2, 2], 64, 256), ([3, 4, 6, 3], 64, 768)),
    *(([3, 4, 18, 3], 64, 768), ([3, 8, 27, 3], 64, 768), ([3, 6, 40, 3], 64, 768)),
]
"""Depths, first width and width of the head of B0 to B5."""


def whisper(d: int, layers: int, heads: int, decoder_layers: int | None = None, **others: int) -> dict[str, Any]:
    """The configuration of a Whisper; the names of transformers' arguments."""
    given = {"layers": layers, "attention_heads": heads, "ffn_dim": 4 * d}
    found = {f"{half}_{name}": value for half in ("encoder", "decoder") for name, value in given.items()}
    return {"d_model": d, **found, "decoder_layers": decoder_layers or layers, **others}


V3 = {"num_mel_bins": 128, "vocab_size": 51866}
WHISPERS = {
    "tiny": whisper(384, 4, 6), "base": whisper(512, 6, 8), "small": whisper(768, 12, 12), "medium": whisper(1024, 24, 16),
    "large": whisper(1280, 32, 20), "large_v3": whisper(1280, 32, 20, **V3), "turbo": whisper(1280, 32, 20, 4, **V3),
}  # fmt: skip
WHOLE = {"mask_time_prob": 0.0, "mask_feature_prob": 0.0}
"""Nothing of wav2vec 2.0's input is hidden, so that no vector takes its place."""
LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096, **WHOLE}
WAV2VECS: dict[str, dict[str, Any]] = {
    "base": WHOLE, "large": LARGE,
    "large_lv60": {"feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True, **LARGE},
}  # fmt: skip
"""How transformers configures these models."""

NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")},
    **{name: (name, {}) for name in ("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d")},
    **{name: (name, {}) for name in ("wide_resnet50_2", "wide_resnet101_2")},
    "seresnet50": ("timm/seresnet50", {}),
    **{name: (name, {}) for name in ("vgg11", "vgg13", "vgg16", "vgg19", "vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn")},
    "alexnet_torchvision": ("alexnet", {}),
    **{name: (name, {}) for name in ("squeezenet1_0", "squeezenet1_1")},
    **{name: (name, {}) for name in ("densenet121", "densenet161", "densenet169", "densenet201")},
    "mobilenetv2": ("mobilenet_v2", {}),
    **{name: (name.replace("mobilenetv3", "mobilenet_v3"), {}) for name in ("mobilenetv3_large", "mobilenetv3_small")},
    **{f"efficientnet_b{n}": (f"efficientnet_b{n}", {}) for n in range(8)},
    **{f"efficientnet_v2_{size}": (f"efficientnet_v2_{size}", {}) for size in "sml"},
    **{f"regnet_{kind}_{size}": (f"regnet_{kind}_{size}", {}) for kind in "xy"
       for size in ("400mf", "800mf", "1_6gf", "3_2gf", "8gf", "16gf", "32gf")},
    **{f"convnext_{size}": (f"convnext_{size}", {}) for size in ("tiny", "small", "base", "large")},
    **{name: (name, {}) for name in ("vit_b_16", "vit_b_32", "vit_l_16", "vit_l_32", "vit_h_14")},
    **{f"deit_{size}": (f"timm/deit_{size}_patch16_224", {}) for size in ("tiny", "small")},
    **{f"swin_{size}": (f"swin_{size}", {}) for size in "tsb"},
    "swin_l": ("timm/swin_large_patch4_window7_224", {}),
    "swin_b_384": ("timm/swin_base_patch4_window12_384", {}),
    **{f"swin_v2_{size[0]}": (f"timm/swinv2_{size}_window8_256", {}) for size in ("tiny", "small", "base")},
    **{f"beit_{size}": (f"timm/beit_{size}_patch16_224", {}) for size in ("base", "large")},
    "maxvit_t": ("maxvit_t", {}),
    "swin_v2_t_16": ("timm/swinv2_tiny_window16_256", {}),
    **{f"shufflenet_v2_x{size}": (f"shufflenet_v2_x{size}", {}) for size in ("0_5", "1_0", "1_5", "2_0")},
    **{f"mixer_{size}": (f"timm/mixer_{size}_224", {}) for size in ("s16", "s32", "b16", "b32", "l16", "l32")},
    "xception": ("timm/legacy_xception", {}),
    "inception_v4": ("timm/inception_v4", {}),
    **{name: (f"video/{name}", {}) for name in ("r3d_18", "mc3_18", "r2plus1d_18", "swin3d_t", "swin3d_s", "swin3d_b")},
    **{f"deeplabv3_{trunk}": (f"deeplabv3_{trunk}", {"aux_loss": True, "weights_backbone": None})
       for trunk in ("resnet50", "resnet101", "mobilenet_v3_large")},
    **{f"fcn_resnet{n}": (f"fcn_resnet{n}", {"aux_loss": True, "weights_backbone": None}) for n in (50, 101)},
    **{f"hrnet_w{n}": (f"timm/hrnet_w{n}", {}) for n in (18, 30, 32, 40, 44, 48, 64)},
    **{f"segformer_b{n}": ("transformers/segformer/SegformerForSemanticSegmentation", segformer(*sizes))
       for n, sizes in enumerate(SEGFORMERS)},
    "detr_resnet50": ("detr/DetrForObjectDetection", {"depths": [3, 4, 6, 3]}),
    "detr_resnet101": ("detr/DetrForObjectDetection", {"depths": [3, 4, 23, 3]}),
    "fpn_resnet50": ("pyramid/", {"levels": [1, 2, 3, 4], "convolved": False}),
    "fpn_p3_p7": ("pyramid/", {"levels": [2, 3, 4], "convolved": True}),
    "mask_rcnn_fpn": ("pyramid/MaskRCNN", {"levels": [1, 2, 3, 4], "convolved": False}),
    "faster_rcnn_fpn": ("pyramid/FasterRCNN", {"levels": [1, 2, 3, 4], "convolved": False}),
    "retinanet": ("pyramid/RetinaNet", {"levels": [2, 3, 4], "convolved": True}),
    "ssd300_vgg16": ("detection/ssd300_vgg16", {}),
    "darknet53": ("timm/darknet53", {"act_layer": partial(nn.LeakyReLU, 0.1)}),  # 0.01 there
    **{f"whisper_{size}": ("transformers/whisper/WhisperForConditionalGeneration", given) for size, given in WHISPERS.items()},
    **{f"wav2vec2_{size}": ("transformers/wav2vec2/Wav2Vec2Model", given) for size, given in WAV2VECS.items()},
    "inception_v3": ("inception_v3", {"aux_logits": False, "init_weights": False}),
}  # fmt: skip
"""Our networks, and what the libraries call them."""

CALLS: dict[str, Callable[[nn.Module, Sequence[Tensor]], Any]] = {
    "WhisperForConditionalGeneration": lambda net, given: net(given[0], decoder_input_ids=given[1]).logits,
    "Wav2Vec2Model": lambda net, given: net(given[0].squeeze(1)).last_hidden_state,
}
"""How the classes are called that don't just take our inputs in order, and what is our output."""


def called(module: nn.Module, given: Sequence[Tensor]) -> Any:
    """What a library's network makes of our inputs."""
    return CALLS.get(type(module).__name__, lambda net, inputs: net(*inputs))(module, given)


def examples(graph: Graph) -> list[Tensor]:
    """An input for each of the graph's: numbers of words, or values."""
    sizes = [(1, *map(known, node.shape.values())) for node in graph.inputs]
    return [
        torch.randn(size) if "C" in node.shape else torch.randint(100, size)
        for node, size in zip(graph.inputs, sizes, strict=True)
    ]


def compare(name: str, outputs: bool = True) -> Found:
    """One of our networks and a library's."""
    other, options = NETWORKS[name]
    graph = load(name).build()
    foreign = without_memory(other, **options)
    with torch.device("meta"):
        macs = counted(foreign, examples(graph))
        ours, theirs = (sizes(module) for module in (Network(graph), foreign))
    total = analyze(graph).totals["macs"]
    params = "" if ours == theirs else f"params: only ours {dict(ours - theirs)}, only theirs {dict(theirs - ours)}"
    counts = "" if macs == total else f"macs: {total} against {macs}"
    runs = outputs and not params and not isinstance(foreign, TwoSteps)  # those read regions that we don't have
    return Found(params, counts, differing(graph, built(other, **options)) if runs else "")


def sizes(module: nn.Module) -> Counter[tuple[int, ...]]:
    """How many parameters of each shape there are; of joined projections, each on its own, and no axes of size 1."""
    found: Counter[tuple[int, ...]] = Counter()
    for name, parameter in module.named_parameters():
        parts = parameter.chunk(3) if JOINED.search(name) else (parameter,)
        found.update(map(plain, parts))
    return found


def plain(tensor: Tensor) -> tuple[int, ...]:
    """The sizes of a tensor without those of 1: a matrix product is a convolution of 1x1."""
    return tuple(size for size in tensor.shape if size > 1)


def counted(module: nn.Module, inputs: Sequence[Tensor]) -> int:
    """Multiply-adds by PyTorch's own counter, attention as matrix products."""
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        called(module, inputs)
    return int(counter.get_total_flops()) // 2


class Seen(NamedTuple):
    """A module of a library that has parameters, what it read, and how many values it made of that."""

    module: nn.Module
    read: Tensor
    made: int


def own_parameters(module: nn.Module) -> list[Tensor]:
    """The parameters and statistics of a module and what is in it, those of joined projections on their own."""
    if is_attention(module):
        named = dict(module.named_parameters())
        joined = [each.chunk(3) for name, each in named.items() if JOINED.search(name)]
        if len(joined) == 1:  # each bias on its own, of keys none
            joined.append((named.get("q_bias"), None, named.get("v_bias")))
        projections = [tensor for pair in zip(*joined, strict=True) for tensor in pair if tensor is not None]
        rest = [name for name in named if not JOINED.search(name) and name not in ("q_bias", "v_bias")]
        rest.sort(key=lambda name: (not MIXING.match(name), "." in name))
        return [*projections, *(named[name] for name in rest)]
    statistics = [buffer for buffer in module.buffers() if buffer.is_floating_point()]
    return [*module.parameters(), *statistics]


def is_attention(module: nn.Module) -> bool:
    """Whether a module is one of the libraries' attentions, whose projections are joined."""
    own = {name for name, _ in module.named_parameters(recurse=False)} | {name for name, _ in module.named_children()}
    return bool(own & {"in_proj_weight", "qkv", "to_qkv"})


def holds_all(module: nn.Module) -> bool:
    """Whether a module has parameters and no module in it has any."""
    return any(True for _ in module.parameters()) and not any(
        True for child in module.children() for _ in child.parameters()
    )


def seen(module: nn.Module, inputs: Sequence[Tensor]) -> list[Seen]:
    """The modules with parameters that a network runs, in order, and what each of them read."""
    found: list[Seen] = []

    def note(each: nn.Module, inputs: tuple[Tensor, ...], made: Any) -> None:
        found.append(Seen(each, inputs[0].detach(), (made[0] if isinstance(made, tuple) else made).numel()))

    whole = [each for each in module.modules() if is_attention(each)]
    inside = {id(part) for each in whole for part in each.modules()} - {id(each) for each in whole}
    leaves = (each for each in module.modules() if holds_all(each))
    hooks = [
        each.register_forward_hook(note)
        for each in dict.fromkeys((*leaves, *whole))
        if id(each) not in inside and any(True for _ in each.parameters())
    ]
    called(module, inputs)
    for hook in hooks:
        hook.remove()
    return found


def differing(graph: Graph, foreign: nn.Module) -> str:
    """How the outputs differ once ours has the library's weights; nothing if they don't.

    Each of our layers takes the weights of a module of the same sizes that reads the same values. What no module of its
    own holds, as position tables and scales, comes in the order in which it's defined.
    """
    torch.manual_seed(1)
    inputs = examples(graph)
    network = Network(graph).eval()
    with torch.no_grad():
        for parameter in foreign.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.02 + (1.0 if parameter.ndim == 1 else 0.0))
        scale_by_head(foreign)
        left = seen(foreign, inputs)
        held = {id(parameter) for each in left for parameter in each.module.parameters()}
        loose = [parameter for parameter in foreign.parameters() if id(parameter) not in held]
        expected = tensors(called(foreign, inputs))
        hand_over(network, left, loose)
        found = scores(network, inputs)
    if left or loose:
        return f"{len(left) + len(loose)} modules without a counterpart"
    if len(found) != len(expected):
        return f"{len(found)} outputs, not {len(expected)}"
    pairs = zip(found, expected, strict=True)
    error = max(float((ours.squeeze() - theirs.squeeze()).abs().max() / theirs.abs().max()) for ours, theirs in pairs)
    return "" if error < TOLERANCE else f"outputs differ by {error:.1e}"


def scale_by_head(foreign: nn.Module) -> None:
    """Divide scores by the root of a head's numbers, as MaxViT's paper does; torchvision takes that of all channels."""
    for each in foreign.modules():
        if hasattr(each, "scale_factor") and hasattr(each, "head_dim"):
            each.scale_factor = each.head_dim**-0.5


def tensors(value: Any) -> list[Tensor]:
    """The tensors in what a library's network returns, in order."""
    if isinstance(value, Tensor):
        return [value]
    parts = value.values() if isinstance(value, Mapping) else value
    return [tensor for part in parts if part is not None for tensor in tensors(part)]


def scores(network: Network, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Our network's outputs, without a softmax at the end: theirs have none."""
    nodes = network.graph.nodes
    ends = [nodes[index] for index in network.graph.outputs.values()]
    wanted = [nodes[node.inputs[0]].name if node.kind == "softmax" else node.name for node in ends]
    found = {node.name: value for node, value in network.trace(*inputs) if node.name in wanted}
    return [found[name] for name in wanted]


def hand_over(network: Network, left: list[Seen], loose: list[Tensor]) -> None:
    """Give each layer the weights it should have just before it runs; what is given away leaves the lists."""

    def alike(module: nn.Module) -> list[Seen]:
        shapes = [*map(plain, own_parameters(module))]
        return [each for each in left if [*map(plain, own_parameters(each.module))] == shapes]

    def take(made: int, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        own = own_parameters(module)
        fitting = [each for each in alike(module) if made in (0, each.made)]
        parts = [part for part in module.modules() if any(True for _ in part.parameters(recurse=False))]
        if not fitting and len(parts) > 1 and all(map(alike, parts)):  # theirs are modules of their own
            for part in parts:
                part.register_forward_pre_hook(partial(take, 0))
            return
        if fitting:
            nearest = min(fitting, key=lambda each: distance(each.read, inputs[0]))
            left.remove(nearest)
            given = own_parameters(nearest.module)
        else:
            given = [loose.pop(next(i for i, each in enumerate(loose) if each.numel() == t.numel())) for t in own]
        for tensor, value in zip(own, given, strict=True):
            tensor.copy_(value.reshape(tensor.shape))

    nodes = network.graph.nodes[len(network.graph.inputs) :]
    modules = [*network.modules_in_order]
    calls = Counter(map(id, modules))
    hooked: set[int] = set()
    for node, module in zip(nodes, modules, strict=True):
        if any(True for _ in module.parameters()) and id(module) not in hooked:
            hooked.add(id(module))
            made = known(node.shape.numel) if calls[id(module)] == 1 else 0  # a shared one makes several volumes
            module.register_forward_pre_hook(partial(take, made))


def distance(one: Tensor, other: Tensor) -> float:
    """How far two volumes are from each other, whatever the order of their axes."""
    if one.numel() != other.numel():
        return float("inf")
    return float((one.flatten().sort().values - other.flatten().sort().values).abs().sum())


def main() -> None:
    """Compare, and print a line for each network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="networks whose name contains this")
    parser.add_argument("--no-outputs", action="store_true", help="params and multiply-adds alone")
    options = parser.parse_args()
    wrong = 0
    names = [name for name in NETWORKS if options.only in name]
    for name in names:
        found = compare(name, not options.no_outputs)
        wrong += bool(found.wrong)
        print(f"{name}: {found.wrong or 'equal'}", flush=True)
    print(f"{len(names)} networks, {wrong} that differ")
    raise SystemExit(wrong > 0)


if __name__ == "__main__":
    main()
