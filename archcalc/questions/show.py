"""What a spec says: its hyperparameters with values and bounds, its variants, the names of its layers, its text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from archcalc.errors import LocalError, spelled
from archcalc.expand import Given, Sizes
from archcalc.expand.given import mapping_of
from archcalc.expand.hparams import make_module
from archcalc.expand.overrides import flat
from archcalc.graph import Graph
from archcalc.language.arithmetic import LISTS, Dims
from archcalc.language.model import Spec
from archcalc.language.tree import Diagnostics
from archcalc.questions.networks import Network, architecture_of
from archcalc.symbolic import is_symbolic
from archcalc.tables import Column, Kind, Table
from archcalc.tables.answer import Answer
from archcalc.tables.json import document
from archcalc.zoo import Architecture

OF_SEVERAL_LINES = "[…]"
"""The text of a value that the file has as a list of YAML."""


@dataclass(frozen=True)
class Parameter:
    """A hyperparameter: its value here as a spec writes it, how the spec writes it, its bounds, and what it means."""

    name: str
    value: str
    written: str
    minimum: str = ""
    multiple_of: str = ""
    doc: str = ""

    @property
    def limits(self) -> str:
        """The bounds in words."""
        least = f"at least {self.minimum}" if self.minimum else ""
        return ", ".join(filter(None, (least, f"a multiple of {self.multiple_of}" if self.multiple_of else "")))


@dataclass(frozen=True)
class Choice:
    """A variant: its other names, the values that it sets, and its title."""

    name: str
    aliases: tuple[str, ...]
    extends: str
    values: Mapping[str, str]
    title: str
    is_default: bool

    @property
    def text(self) -> str:
        """The values in words."""
        own = ", ".join(f"{name}={value}" for name, value in self.values.items())
        return " with ".join(filter(None, (self.extends, own)))


@dataclass(frozen=True, repr=False)
class Description(Answer):
    """What a spec says, and which layers it builds."""

    architecture: Architecture
    graph: Graph
    parameters: tuple[Parameter, ...]

    @property
    def text(self) -> str:
        """The spec's text, as it stands in the file."""
        return self.architecture.spec.source.text

    @cached_property
    def variants(self) -> tuple[Choice, ...]:
        """The variants, in the order of the spec."""
        spec = self.architecture.spec
        found = []
        for each in spec.variants.values():
            values = _values(spec, each.name, {})
            own = {name: values[name] for name in each.values}
            found.append(Choice(each.name, each.aliases, each.extends, own, each.title, each.name == spec.default))
        return tuple(found)

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers, as `--set NAME.ARGUMENT=…`, `explain` and claims take them."""
        return tuple(node.name for node in self.graph.nodes)

    def table(self) -> Table:
        """Hyperparameters, variants and layers; for programs, one row for each of them all."""
        sections = (
            partial(_parameters, self.parameters),
            partial(_variants, self.variants),
            partial(_layers, self.graph),
        )
        return Table(
            name=self.architecture.name,
            title=self.graph.title,
            facts=lambda: self._facts,
            sections=lambda: (section for make in sections if (section := make()) is not None),
            keys=["what", "name", "value", "about"],
            values=self._records,
            json=lambda: document(self._data()),
        )

    @cached_property
    def _facts(self) -> list[tuple[str, str]]:
        spec, layout = self.architecture.spec, self.graph.layout
        found = [("source", spec.citation), ("file", spec.source.file), ("variant", self.architecture.variant)]
        for node in self.graph.inputs:
            axes = ",".join(axis for axis in layout if axis in node.shape)
            found.append((node.name, f"{node.shape.text(layout)} ({axes})"))
        return [(what, text) for what, text in [*found, ("outputs", ", ".join(self.graph.outputs))] if text]

    def _records(self) -> Iterator[list[str]]:
        for each in self.parameters:
            yield ["hparam", each.name, each.value, ": ".join(filter(None, (each.doc, each.limits)))]
        for choice in self.variants:
            yield ["variant", choice.name, choice.text, choice.title]
        for node in self.graph.nodes:
            yield ["layer", node.name, node.application.text, node.shape.text(self.graph.layout)]

    def _data(self) -> Mapping[str, Any]:
        spec = self.architecture.spec
        return {
            "name": self.architecture.name, "spec": spec.name, "variant": self.architecture.variant,
            "title": self.graph.title, "source": spec.citation, "file": spec.source.file,
            "inputs": {node.name: dict(node.shape) for node in self.graph.inputs}, "outputs": [*self.graph.outputs],
            "hparams": [
                {"name": each.name, "value": each.value, "written": each.written, "min": each.minimum or None,
                 "multiple_of": each.multiple_of or None, "doc": each.doc} for each in self.parameters
            ],
            "variants": [
                {"name": each.name, "as": [*each.aliases], "extends": each.extends or None, "values": dict(each.values),
                 "title": each.title, "default": each.is_default} for each in self.variants
            ],
            "layers": [*self.layers],
            "text": self.text,
        }  # fmt: skip


def show(network: Network, *, hparams: Mapping[str, Given] | None = None, sizes: Sizes | None = None) -> Description:
    """What the spec of an architecture says: its text, hyperparameters, variants, and the layers that it builds.

    `hparams` and `sizes` are given as to `Architecture.build`: the values and layers are those of that network.
    Raises: UsageError: it's a graph or a report, which have no spec, or a name or a value means nothing. SpecError: the
    spec is wrong.

    >>> import archcalc
    >>> shown = archcalc.show("alphago_policy")
    >>> [(each.name, each.value) for each in shown.parameters], shown.layers[:3]
    ([('k', '192')], ('input', 'conv1/conv', 'conv1/relu'))
    >>> shown.text.splitlines()[0]
    'archcalc: 1'
    """
    architecture = architecture_of(network)
    given, sizes = flat(mapping_of(hparams, "hparams")), mapping_of(sizes, "sizes")
    graph = architecture.build(hparams=given, sizes=sizes)
    return Description(architecture, graph, tuple(_found(architecture, given, sizes)))


def _found(architecture: Architecture, given: Mapping[str, Given], sizes: Sizes | None) -> Iterator[Parameter]:
    spec = architecture.spec
    values = {**given, **{name: size for name, size in (sizes or {}).items() if name in spec.hparams}}
    texts = _values(spec, architecture.variant, values)
    written = {name: hparam.value for name, hparam in spec.hparams.items()} | spec.assigned(architecture.variant)
    for name, hparam in spec.hparams.items():
        own = str(values.get(name, written[name].text))
        written_here = texts[name] if own == OF_SEVERAL_LINES else own
        least, factor = ("" if bound is None else bound.text for bound in (hparam.minimum, hparam.multiple_of))
        yield Parameter(name, texts[name], written_here, least, factor, hparam.doc)


def _values(spec: Spec, variant: str, given: Mapping[str, Any]) -> dict[str, str]:
    """The values of a variant's hyperparameters as a spec writes them; as they are written where they have an error."""
    env = make_module(spec, variant, given, Diagnostics()).env
    assigned = spec.assigned(variant)
    found = {}
    for name, hparam in spec.hparams.items():
        try:
            value = env.find(name)
            found[name] = _text(value() if callable(value) and not is_symbolic(value) else value)
        except LocalError:
            found[name] = assigned.get(name, hparam.value).text
    return found


def _text(value: Any) -> str:
    """A value as a spec writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Dims):
        return "x".join(map(_text, value))
    if isinstance(value, range):
        return f"{value[0]}..{value[-1]}" if value else "[]"
    return f"[{', '.join(map(_text, value))}]" if isinstance(value, LISTS) else str(value)


def _parameters(found: Sequence[Parameter]) -> Table | None:
    columns = [Column("hparam", Kind.WORD), Column("value", Kind.LAYERS), Column("written", Kind.LAYERS, drop=1)]
    columns += [Column("meaning", Kind.TEXT)]
    rows = [[each.name, each.value, "" if each.written == each.value else each.written,
             "; ".join(filter(None, (each.doc, each.limits)))] for each in found]  # fmt: skip
    return _without_empty(columns, rows, spelled("hyperparameters: --set NAME=VALUE")) if rows else None


def _variants(found: Sequence[Choice]) -> Table | None:
    columns = [Column("variant", Kind.WORD), Column("names", Kind.WORD), Column("values", Kind.LAYERS)]
    columns += [Column("title", Kind.TEXT)]
    rows = [[each.name + " (default)" * each.is_default, ", ".join(each.aliases), each.text, each.title]
            for each in found]  # fmt: skip
    return _without_empty(columns, rows, "variants") if rows else None


def _without_empty(columns: Sequence[Column], rows: Sequence[Sequence[str]], title: str) -> Table:
    """A table without the columns in which nothing stands."""
    places = [place for place in range(len(columns)) if any(row[place] for row in rows)]
    return Table([columns[i] for i in places], lambda: [[row[i] for i in places] for row in rows], title=title)


def _layers(graph: Graph) -> Table:
    columns = [Column("layer", Kind.NAME), Column("what", Kind.LAYERS), Column("output", Kind.SIZES)]
    return Table(
        columns,
        lambda: ([node.name, node.application.text, node.shape.text(graph.layout)] for node in graph.nodes),
        title=spelled("layers: --set NAME.ARGUMENT=VALUE"),
    )
