"""What a question may be about: a name, a path, an architecture, a graph or a report; and with which sizes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from os import PathLike
from typing import Any, TypeAlias

from archcalc.errors import UsageError
from archcalc.expand import Given, Sizes, by_label
from archcalc.expand.given import mapping_of
from archcalc.graph import Graph
from archcalc.report import Report
from archcalc.shape import BATCH
from archcalc.symbolic import Dim, dim
from archcalc.zoo import Architecture, load

Network: TypeAlias = "Report | Graph | Architecture | str | PathLike[str]"


def is_module(network: Any) -> bool:
    """Whether something is a PyTorch module; PyTorch isn't imported to find out."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(network, torch.nn.Module)


def architecture_of(network: Network) -> Architecture:
    """The architecture, for a question that builds it several times.

    Raises: UsageError: it's a graph or a report, whose sizes are given, or there is no such name. SpecError: the spec
    is wrong.
    """
    if isinstance(network, (Graph, Report)):
        what = type(network).__name__.lower()
        raise UsageError(f"{network.name} is a {what}, which is built already", "give its name, path or Architecture")
    return network if isinstance(network, Architecture) else load(network)


def graph_of(
    network: Network,
    hparams: Mapping[str, Given] | None = None,
    sizes: Sizes | None = None,
    symbolic: str | Iterable[str] = (),
) -> Graph:
    """The graph with these values, as `Architecture.build` takes them; `symbolic` names sizes that stay open.

    Raises: UsageError: a graph is given values, or a name means nothing. SpecError: the spec is wrong, or its
    structure depends on a symbol.
    """
    hparams, sizes = mapping_of(hparams, "hparams"), mapping_of(sizes, "sizes")
    if isinstance(network, (Graph, Report)) and not (hparams or sizes or symbolic):
        return network if isinstance(network, Graph) else network.graph
    architecture, names = architecture_of(network), names_of(symbolic)
    if not names and "sym" not in hparams.values():
        return architecture.build(hparams=hparams, sizes=sizes)
    from archcalc.formulas.symbols import opened

    return opened(architecture, names, hparams, by_label(architecture.spec, sizes)).graph


def report_of(
    network: Network,
    hparams: Mapping[str, Given] | None = None,
    sizes: Sizes | None = None,
    symbolic: str | Iterable[str] = (),
    batch: Dim = 1,
    dtype: str = "float32",
) -> Report:
    """The report about it, in which N may be symbolic; a report keeps its own batch and dtype.

    Raises: UsageError: a graph is given values, or a name or the dtype is unknown. SpecError: the spec is wrong.
    """
    if isinstance(network, Report) and not (hparams or sizes or symbolic):
        return network
    if BATCH in names_of(symbolic):
        if batch != 1:
            raise UsageError("the batch is given a value, and left open", "batch=8, or symbolic='N'")
        batch = dim(BATCH)
    return Report(graph_of(network, hparams, sizes, symbolic), batch, dtype)


def names_of(symbolic: str | Iterable[str]) -> list[str]:
    """`"H,W"`, or names one by one, as a list.

    Raises: UsageError: one is not a name.
    """
    if isinstance(symbolic, str):
        symbolic = symbolic.split(",") if symbolic else ()
    names = list(symbolic) if isinstance(symbolic, Iterable) else [symbolic]
    for name in names:
        if not (isinstance(name, str) and name.strip().isascii() and name.strip().isidentifier()):
            raise UsageError(f"{name!r:.60} is not the name of a size", "symbolic='H,W'")
    return [name.strip() for name in names]


def refuse_both(given: Mapping[str, Any], names: Iterable[str]) -> None:
    """See that no size is given and left open.

    Raises: UsageError: one is.
    """
    for name in names:
        if given.get(name, "sym") != "sym":
            raise UsageError(f"'{name}' is given a value, and left open", "leave one of them out")
