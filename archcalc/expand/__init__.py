"""Spec → Graph: a variant and values chosen, everything expanded, every shape computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from archcalc.errors import LocalError, SpecError, UsageError, suggestion
from archcalc.expand.blocks import TooLarge
from archcalc.expand.dangling import dangling
from archcalc.expand.expander import Expander
from archcalc.expand.hparams import Given, Module, Sizes, UnknownHparam, is_override, make_module
from archcalc.expand.overrides import Overrides, Unheeded, argument_called, flat
from archcalc.expand.scope import Context, Scope
from archcalc.graph import Change, Graph, Tree, layout_of
from archcalc.graph.tree import layers_of
from archcalc.language.arithmetic import Word, integer
from archcalc.language.expression import Reported, decide
from archcalc.language.items import given_names
from archcalc.language.model import Output, Spec, Use
from archcalc.language.reader import load_spec
from archcalc.language.tree import Diagnostics
from archcalc.layers import REGISTRY
from archcalc.shape import BATCH, Shape
from archcalc.symbolic import Condition, Dim, collecting_conditions, dim, exact, exceeds

__all__ = ["Given", "Sizes", "build", "heeded", "instead"]


def build(
    spec: Spec,
    variant: str = "",
    hparams: Mapping[str, Given] | None = None,
    sizes: Sizes | None = None,
) -> Graph:
    """Build the graph of one variant; `hparams` and `sizes` are those of `Architecture.build`.

    Raises: SpecError: every error in the spec that this build meets. UsageError: unknown variant, hparam, layer or
    axis.

    >>> import archcalc
    >>> archcalc.build(archcalc.load("alexnet").spec, hparams={"conv1.stride": 3}).changes
    (Change(name='conv1/conv', argument='stride', before='4', after='3'),)
    """
    if not (isinstance(spec, Spec) and isinstance(sizes or {}, Mapping)):
        raise UsageError("build takes a Spec, and sizes by axis", "archcalc.load('vgg16').build(sizes={'H': 256})")
    for name, value in (hparams or {}).items() if isinstance(hparams, Mapping) else ():
        if isinstance(value, Mapping) and name in spec.hparams:
            raise UsageError(f"{name} is an hparam, which has one value, not {value!r:.60}")
    chosen = variant or spec.default
    if chosen and spec.variant(chosen) is None:
        raise UsageError(f"{spec.name} has no variant '{variant}'", suggestion(variant, spec.names))
    given = {axis: exact(size, f"the size of {axis}") for axis, size in by_label(spec, sizes or {}).items()}
    # an axis may have an hparam's name only if it has its value, too: then they are one
    values = {**flat(hparams or {}), **{axis: given.pop(axis) for axis in [*given] if axis in spec.hparams}}
    try:
        return _built(spec, chosen, values, given)
    except UnknownHparam as error:
        raise UsageError(error.args[0], instead(spec, chosen, error.name, values[error.name]) or error.hint) from None


def _built(
    spec: Spec, variant: str, sets: Mapping[str, Any], sizes: Mapping[str, Any], literal: Collection[int] = frozenset()
) -> Graph:
    with collecting_conditions() as conditions:
        made = _Build(spec, variant, sets, sizes, literal)
        outputs = made.outcome()
    if unsettled := made.overrides.unsettled - {*literal}:
        return _built(spec, variant, sets, sizes, {*literal, *unsettled})
    return made.graph(outputs, conditions)


def heeded(spec: Spec, variant: str, sets: Mapping[str, Given]) -> dict[str, Any]:
    """Of values for several networks, those for one of them: without the arguments of layers that it hasn't."""
    found = flat(sets)
    while any(map(is_override, found)):
        try:
            build(spec, variant, found)
        except Unheeded as error:
            del found[error.label]
        except (SpecError, UsageError):
            break  # which will be reported
        else:
            break
    return found


def instead(spec: Spec, variant: str, word: str, value: Any = "…") -> str:
    """A hint for a word that is given a value like an hparam, and is an argument of layers; empty if it isn't.

    >>> import archcalc
    >>> instead(archcalc.load("alexnet").spec, "", "stride", 3)
    'arguments are given to layers: --set conv1.stride=3'
    """
    if not any(argument_called(kind, word) for kind in REGISTRY):
        return ""
    try:
        nodes = build(spec, variant).nodes
    except (SpecError, UsageError):
        return ""
    names = [node.name for node in nodes if node.inputs and argument_called(node.kind, word)]
    scopes = Counter(scope for name in names for scope in _enclosing(name))
    first = next((scope for scope in _enclosing(names[0]) if scopes[scope] == 1), "") if names else ""
    return f"arguments are given to layers: --set {first}.{word}={value}" if first else ""


def _enclosing(name: str) -> Iterator[str]:
    """The scopes around a layer, the outermost first, and the layer itself."""
    return accumulate(name.split("/"), "{}/{}".format)


def by_label(spec: Spec, sizes: Sizes) -> dict[str, Any]:
    """Sizes by the names of `Spec.axes`, whether they're given so or by an input's name.

    Raises: UsageError: there is no such input or axis, or a size is given twice.
    """
    names = spec.axes
    labels = {place: label for label, place in names.items()}
    found: dict[str, Any] = {}
    for key, value in sizes.items():
        if not isinstance(value, Mapping):
            given = {names.get(key, (next(iter(spec.inputs), ""), key)): value}
        elif key in spec.inputs:
            given = {(key, axis): size for axis, size in value.items()}
        else:
            raise UsageError(f"{spec.name} has no input '{key}'", suggestion(str(key), spec.inputs))
        for (source, axis), size in given.items():
            if (source, axis) not in labels:
                raise UsageError(f"{spec.input_text(source)} has no axis {axis}", suggestion(str(axis), names))
            if (label := labels[source, axis]) in found:
                raise UsageError(f"the size {label} is given twice")
            found[label] = size
    return found


class _Build:
    """One run of the expander, from inputs to outputs."""

    def __init__(
        self, spec: Spec, variant: str, sets: Mapping[str, Any], sizes: Mapping[str, Any], literal: Collection[int]
    ) -> None:
        self.spec, self.variant, self.sizes, self.diagnostics = spec, variant, sizes, Diagnostics()
        self.diagnostics.add(spec.warnings)
        self.loaded: dict[Path, Spec] = {}
        self.layout = layout_of(*(tuple(axes) for axes in spec.inputs.values()))
        self.given = [name for name in sets if not is_override(name)]
        module = make_module(spec, variant, sets, self.diagnostics)
        outside = {name: value for name, value in sets.items() if is_override(name)}
        self.overrides = Overrides(outside, {*spec.hparams, *spec.axes, BATCH}, literal)
        self.expander = Expander(self.layout, self.diagnostics, self.load, self.overrides)
        trace = (None, "variant", f"variant {variant}") if variant else None
        self.context = Context(module, module.env, Scope(), None, trace)
        self.context.scope.reserve(given_names(spec.layers))

    def outcome(self) -> dict[str, int]:
        """Build the inputs and every layer; the outputs, as far as there was no error."""
        try:
            self.add_inputs()
            last = self.expander.item(self.spec.layers, self.context, 0 if self.expander.made.size else None)
            return self.outputs(last)
        except TooLarge as error:
            if error.args:
                self.diagnostics.report(self.spec.source, "E108", str(error), self.spec.source.start)
        except RecursionError:
            mark = self.spec.source.start
            self.diagnostics.report(self.spec.source, "E001", "items and blocks are nested too deep", mark)
        return {}

    def graph(self, outputs: dict[str, int], conditions: Sequence[Condition]) -> Graph:
        """The graph of what was built.

        Raises: SpecError: there were errors.
        """
        made = self.expander.made
        tree = None if self.diagnostics.failed else made.tree()
        if tree is not None:
            self.overrides.check(self.spec.name, tree.some_names())
            self.warn_of_dangling(tree, outputs)
            self.warn_of_unread()
            self.warn_of_opaque(tree)
        if tree is None or self.diagnostics.failed:
            raise SpecError(self.diagnostics.sorted())
        return Graph(
            name=self.spec.name,
            tree=tree,
            outputs=outputs,
            layout=self.layout,
            conditions=tuple(conditions),
            warnings=tuple(self.diagnostics.sorted()),
            title=self.spec.title_of(self.variant),
            citation=self.spec.citation,
            changes=tuple(Change(made.name(index), *change) for index, *change in made.changed),
        )

    def add_inputs(self) -> None:
        labels = {place: label for label, place in self.spec.axes.items()}
        for name, axes in self.spec.inputs.items():
            found = {}
            for axis, value in axes.items():
                label = labels[name, axis]
                try:
                    given = self.sizes.get(label)
                    size = value.expr.evaluate(self.context.env) if given is None else given
                    if isinstance(size, Word) and size == "sym":
                        size = dim(label)
                    found[axis] = _positive(integer(size, axis))
                except Reported:
                    continue
                except LocalError as error:
                    mark = value.at(value.expr.offset)
                    self.diagnostics.report(self.spec.source, error.code, error.message, mark, hint=error.hint)
            if len(found) == len(axes):
                path = self.context.scope.claim(name)
                made = self.expander.made
                made.settle(path, made.add_input(path, Shape(**found)))

    def outputs(self, last: int | None) -> dict[str, int]:
        """The graph's outputs: the listed ones that are there, else the last layer."""
        found: dict[str, int] = {}
        left_out = 0
        self.expander.look_at(self.context, last)
        for output in self.spec.outputs:
            try:
                there = [*self.places(output)]
                left_out += not there
                for ctx in there:
                    path = output.path.render(ctx.env)
                    _, tensor = self.expander.lookup(path, ctx)
                    if tensor is not None:
                        found[path] = tensor
            except LocalError as error:
                self.expander.report(self.context, error, output.mark)
        if 0 < len(self.spec.outputs) == left_out:
            none = LocalError("every output has a condition, and none of them is true", code="E075")
            self.expander.report(self.context, none, self.spec.outputs[0].mark)
        if not self.spec.outputs and last is not None:
            found[self.expander.made.name(last)] = last
        return found

    def places(self, output: Output) -> Iterator[Context]:
        """Where an output is there: once, or for some rows of its loop.

        Raises: LocalError: that can't be said.
        """
        rows = [self.context] if output.each is None else self.expander.loops.rows(output.each, self.context)
        for ctx in rows:
            if output.condition is None or decide(output.condition.evaluate(ctx.env), output.condition):
                yield ctx

    def warn_of_dangling(self, tree: Tree, outputs: Mapping[str, int]) -> None:
        """Warn of each layer in the spec of which some volume is never used."""
        for mark, index in dangling(tree, outputs.values()):
            message, hint = f"the output of '{tree.node(index).name}' is never used", "list it under 'outputs'"
            if not any(d.code == "W403" and d.mark == mark for d in self.diagnostics.found):
                self.diagnostics.report(self.spec.source, "W403", message, mark, hint=hint)

    def warn_of_unread(self) -> None:
        """Warn of values that this build was given, by the variant itself or from outside, and never looked at."""
        variant = self.spec.variant(self.variant)
        own = {} if self.sizes or variant is None else variant.values  # sizes may stand in for hparams
        for name in dict.fromkeys((*own, *self.given)):
            if name not in self.context.module.read:
                mark = (self.spec.hparams[name].value if name in self.given else own[name]).mark
                about = f" in variant {self.variant}" if self.variant else ""
                message = f"nothing reads hparam '{name}'{about}: its value has no effect"
                self.diagnostics.report(self.spec.source, "W406", message, mark)

    def warn_of_opaque(self, tree: Tree) -> None:
        """Warn of layers of which only the outside is known: sums over them are less than the truth."""
        found = {at: at.layer for at in self.expander.made.applications.values() if at.layer.is_opaque}
        if not found:
            return
        first = next(layers_of(tree.root, found.keys()), None)
        mark = (None if first is None else tree.node(first.start).mark) or self.spec.source.start
        what = "bytes" if all(layer.has_known_macs for layer in found.values()) else "MACs and bytes"
        message = f"what an opaque layer computes isn't known: {what} are at least what is said"
        self.diagnostics.report(self.spec.source, "W409", message, mark)

    def load(self, module: Module, use: Use) -> Spec:
        """The spec that `use` names: a file below the folder of the spec that uses it.

        Where both are links, as some installers make them, a file below the folder that the spec's own link leads to.
        """
        source = module.spec.source
        try:
            folder = (source.folder or Path()).resolve()
            path = (folder / use.spec).resolve()
            real_folder = Path(source.file).resolve().parent if source.folder else folder
        except (OSError, ValueError, RuntimeError):
            raise LocalError(f"'{use.spec}' is not a path", code="E050") from None
        if not any(path.is_relative_to(place) for place in (folder, real_folder)):
            raise LocalError(f"'{use.spec}' lies outside this file's folder", code="E050")
        if path not in self.loaded:
            self.loaded[path] = load_spec(path)
        spec = self.loaded[path]
        if use.variant and spec.variant(use.variant) is None:
            raise LocalError(f"'{use.spec}' has no variant '{use.variant}'", code="E042")
        for name in use.values.keys() - spec.hparams.keys():
            message = f"'at' sets '{name}', which is no hparam of '{use.spec}'"
            raise LocalError(message, code="E043", hint=suggestion(name, spec.hparams))
        return spec


def _positive(size: Dim) -> Dim:
    if exceeds(1, size):
        raise LocalError(f"a size must be at least 1, not {size}", code="E015")
    return size
