"""All quantities of a network, in a report that computes them when they're asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from archcalc.errors import UsageError
from archcalc.expand import Given, Sizes
from archcalc.questions.networks import Network, report_of
from archcalc.report import Report
from archcalc.symbolic import Dim


def analyze(
    network: Network,
    batch: Dim = 1,
    dtype: str = "float32",
    *,
    hparams: Mapping[str, Given] | None = None,
    sizes: Sizes | None = None,
    symbolic: str | Iterable[str] = (),
) -> Report:
    """Analyse a network: nothing is computed before it is asked for.

    `hparams` and `sizes` are those of `Architecture.build`; `symbolic` names sizes that stay open, N among them.
    Raises: UsageError: there is no such name or dtype, the batch is not a positive integer, or a graph or report is
    given other values. SpecError: the spec is wrong.

    >>> import archcalc
    >>> archcalc.analyze("vgg16").totals["params"]
    138357544
    >>> archcalc.analyze("alphago_policy", hparams={"k": 256}).totals["params"]
    6798953
    """
    report = report_of(network, hparams, sizes, symbolic, batch, dtype)
    if report is network and (batch, dtype) not in ((1, "float32"), (report.batch, report.dtype)):
        hint = "archcalc.analyze(report.graph, batch=8)"
        raise UsageError(f"the report about {report.name} has its batch and dtype already", hint)
    return report
