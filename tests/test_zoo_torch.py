"""Truth for the golden files: every zoo network, built in PyTorch and run on the meta device."""

import pytest

from archcalc.report import analyze
from archcalc.zoo import architectures

torch = pytest.importorskip("torch", reason="the zoo is checked against PyTorch")

ZOO = {architecture.name: architecture for architecture in architectures()}
NUMBERS = {"faster_rcnn": {"R": 300}}
"""Values for the sizes that a spec leaves symbolic."""


@pytest.mark.torch
@pytest.mark.parametrize("name", ZOO)
def test_pytorch_agrees_on_every_layer(name: str) -> None:
    """Each layer's shape, params and buffers, and the net's MACs, are those of the modules that PyTorch runs."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from archcalc.verify.network import Network

    report = analyze(ZOO[name].build(**NUMBERS.get(name, {})))
    with torch.device("meta"):
        network = Network(report.graph)
        inputs = network.example_inputs()
    shapes = {}
    # the MATH backend, since FlopCounterMode does not see fused attention on every device
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        for node, value in network.trace(*inputs):
            shapes[node.name] = tuple(value.shape[1:])

    assert {row.node.name: tuple(row.node.shape.values()) for row in report.rows} == shapes
    assert 2 * report.total("macs") == counter.get_total_flops()
    assert report.total("params") == sum(parameter.numel() for parameter in network.parameters())
    for node, module in zip([n for n in report.graph.nodes if n.inputs], network.modules_in_order, strict=True):
        if node.tied is None:
            expected = node.layer.params(*node.application.input_shapes)
            assert (node.name, expected) == (node.name, sum(p.numel() for p in module.parameters()))
        # PyTorch also counts the batches that a norm has seen, which is no statistic
        statistics = [b for key, b in module.named_buffers() if not key.endswith("num_batches_tracked")]
        expected = node.layer.buffers(*node.application.input_shapes)
        assert (node.name, expected) == (node.name, sum(b.numel() for b in statistics))
