"""All quantities of a network, in a report that computes them when they're asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

from archcalc.errors import UsageError
from archcalc.expand import Given, Sizes
from archcalc.questions.networks import Network, is_module, report_of
from archcalc.report import Report
from archcalc.symbolic import Dim

if TYPE_CHECKING:
    from torch import Tensor, nn


@overload
def analyze(
    network: Network, batch: Dim = 1, dtype: str = "float32", *, hparams: Mapping[str, Given] | None = None,
    sizes: Sizes | None = None, symbolic: str | Iterable[str] = (),
) -> Report: ...  # fmt: skip


@overload
def analyze(
    network: nn.Module, batch: Tensor | Sequence[Tensor] | Mapping[str, Tensor], dtype: str = "float32"
) -> Report: ...


def analyze(
    network: Any, batch: Any = 1, dtype: str = "float32", *, hparams: Mapping[str, Given] | None = None,
    sizes: Sizes | None = None, symbolic: str | Iterable[str] = (),
) -> Report:  # fmt: skip
    """Analyse a network: nothing is computed before it is asked for.

    A PyTorch module is given with example inputs, `analyze(module, torch.randn(2, 3, 224, 224))`, and traced once, as
    by `from_torch`; the report is about one example.
    `hparams` and `sizes` are those of `Architecture.build`; `symbolic` names sizes that stay open, N among them.
    Raises: UsageError: there is no such name or dtype, the batch is not a positive integer, or a graph or report is
    given other values, or a module can't be imported. SpecError: the spec is wrong.

    >>> import archcalc
    >>> archcalc.analyze("vgg16").totals["params"]
    138357544
    >>> archcalc.analyze("alphago_policy", hparams={"k": 256}).totals["params"]
    6798953
    >>> import torch
    >>> archcalc.analyze(torch.nn.Conv2d(3, 8, 3), torch.randn(2, 3, 32, 32)).totals["macs"]
    194400
    """
    if is_module(network):
        if isinstance(batch, int):
            raise UsageError("a module is analysed with example inputs", "analyze(module, torch.randn(2, 3, 224, 224))")
        from archcalc.questions.imports import from_torch  # few networks are modules

        network, batch = from_torch(network, batch), 1
    report = report_of(network, hparams, sizes, symbolic, batch, dtype)
    if report is network and (batch, dtype) not in ((1, "float32"), (report.batch, report.dtype)):
        hint = "archcalc.analyze(report.graph, batch=8)"
        raise UsageError(f"the report about {report.name} has its batch and dtype already", hint)
    return report
