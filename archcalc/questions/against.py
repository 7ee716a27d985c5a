"""Networks held to a spec: code, configs and other specs must be what it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from archcalc.errors import UsageError
from archcalc.expand import Given, Sizes
from archcalc.language.model import Spec
from archcalc.language.tree import Source
from archcalc.questions.deviations import deviations, totals
from archcalc.questions.findings import Checked
from archcalc.questions.imports import from_torch
from archcalc.questions.networks import is_module, report_of
from archcalc.questions.subjects import InFolder, Named
from archcalc.report import Report
from archcalc.shape import Shape
from archcalc.symbolic import is_symbolic
from archcalc.zoo import Architecture, load

if TYPE_CHECKING:
    from torch import Tensor, nn

    Examples: TypeAlias = "Tensor | Sequence[Tensor] | Mapping[str, Tensor]"

ENTERING = ("R", "T", "C", "D", "H", "W")
"""The order in which a module has the axes of what enters it."""


def assert_matches(
    network: nn.Module | Named, spec: Named,
    example_inputs: Tensor | Sequence[Tensor] | Mapping[str, Tensor] | None = None,
    *, hparams: Mapping[str, Given] | None = None, sizes: Sizes | None = None,
) -> None:  # fmt: skip
    """Fail unless a network is what a spec says, layer by layer: for the tests of whoever has code and a spec of it.

    The network is a PyTorch module, or whatever has a name: code, a config, a spec. The spec has these `hparams` and
    `sizes`; a module is traced with `example_inputs`, or with some of the size that the spec's inputs have. What scopes
    are called doesn't matter, nor the order of branches, nor what does nothing when the network runs.
    Raises: AssertionError: they differ; the message says where. UsageError: there is no such spec, or the module can't
    be imported. SpecError: the spec is wrong.

    >>> import archcalc, torch
    >>> net = torch.nn.Sequential(torch.nn.Linear(784, 300), torch.nn.ReLU(), torch.nn.Linear(300, 100))
    >>> spec = archcalc.from_torch(net, torch.randn(2, 784))
    >>> archcalc.assert_matches(net, spec)
    >>> archcalc.assert_matches(torch.nn.Sequential(*net[:2], torch.nn.Linear(300, 10)), spec)
    Traceback (most recent call last):
    AssertionError: Sequential isn't what the spec says
    Sequential.yaml:6:23: E301 fc 100 is fc 10 in Sequential: fc_2 (-27,090 params, -27,000 MACs)
          - fc 300 -> relu -> fc classes
                              ^
    Sequential: 238,510 params, not 265,600
    Sequential: 238,200 MACs, not 265,200
    """
    found = held_to(spec, hparams, sizes, None, example_inputs)(network, None)
    if found.found:
        raise AssertionError(
            "\n".join([f"{found.name} isn't what the spec says", *map(str, found.found), *found.facts])
        )


def held_to(
    spec: Named, hparams: Mapping[str, Given] | None, sizes: Sizes | None, folder: Path | None, examples: Any = None
) -> Callable[[Any, Path | None], Checked]:
    """What compares a network with a spec of these hparams and sizes, code of which is traced with its input.

    Raises: UsageError: there is no such spec, hparam or axis, or a size has no value. SpecError: the spec is wrong.
    """
    said = _loaded(spec, (), folder)
    expected = report_of(said, hparams, sizes)
    entering = [_entering(node.name, node.shape) for node in expected.graph.inputs]
    text = said.spec.source if isinstance(said, Architecture) else None

    def ask(named: Any, folder: Path | None) -> Checked:
        network = _loaded(named, entering, folder, examples)
        own = sizes if isinstance(network, Architecture) and network.origin is None else None
        return _checked(expected, text, report_of(network, sizes=own), _called(named))

    return ask


def _checked(expected: Report, text: Source | None, found: Report, name: str) -> Checked:
    unlike = deviations(expected, found, name, text)
    return Checked(name, 1, tuple(unlike), facts=tuple(totals(expected, found, name)))


def _loaded(named: Any, entering: Sequence[str], folder: Path | None, examples: Any = None) -> Any:
    """A network of which questions may be asked."""
    if isinstance(named, InFolder):
        named = named.file
    if isinstance(named, Spec):
        return Architecture(named, named.default)
    if isinstance(named, (str, PathLike)):
        return load(named, folder, entering)
    if is_module(named):
        return from_torch(named, _examples(named, entering) if examples is None else examples)
    return named


def _examples(module: nn.Module, entering: Sequence[str]) -> Examples:
    """Inputs of such sizes, where the module is."""
    from archcalc.importers.code import named_size
    from archcalc.importers.sources import examples

    device = next((each.device for each in module.parameters()), "cpu")
    return examples([named_size(text)[1] for text in entering], str(device))


def _called(named: Any) -> str:
    if isinstance(named, InFolder):
        return str(named.file)
    return str(named) if isinstance(named, (str, PathLike)) else getattr(named, "name", type(named).__name__)


def _entering(name: str, shape: Shape) -> str:
    """The size of an input as modules are given it: `3x224x224`, or `T=128` for tokens.

    Raises: UsageError: it's a symbol.
    """
    if any(map(is_symbolic, shape.values())):
        raise UsageError(f"the size of {name} is open: {shape}", "--input 3x224x224")
    axes = [axis for axis in ENTERING if axis in shape]
    return f"T={shape['T']}" if axes == ["T"] else "x".join(str(shape[axis]) for axis in axes)
