"""What can be found wrong with a spec without building it: names, kinds, arguments, circles, shadowing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache

from archcalc.data import dataclass
from archcalc.errors import LocalError, Mark, suggestion
from archcalc.language.arithmetic import nearest
from archcalc.language.calls import ArgumentError, assign, usage
from archcalc.language.expression import Axis, Expr, Name
from archcalc.language.items import (
    CallUnit,
    Chain,
    FromUnit,
    Given,
    GroupUnit,
    If,
    Item,
    Long,
    Loop,
    Merge,
    Mixture,
    Named,
    Residual,
    Restart,
    Sequence,
    Step,
    Template,
)
from archcalc.language.model import Block, Spec, Value
from archcalc.language.tree import Diagnostics
from archcalc.layers import REGISTRY, kind_called
from archcalc.layers.arguments import ARGUMENT_TYPES
from archcalc.shape import AXES, BATCH

WORDS = frozenset(word for type_ in ARGUMENT_TYPES.values() for word in type_.words) | frozenset(REGISTRY) | {"sym"}
"""Words that mean something without being declared: the layer kinds, `sym`, and `half`, `same` and their like."""


def check_spec(spec: Spec, diagnostics: Diagnostics) -> None:
    """Report every error that shows without building, and what is declared but never used (W402, W408)."""
    checker = _Checker(spec, diagnostics)
    checker.declarations()
    for block in spec.blocks.values():
        checker.block(block)
    checker.item(spec.layers, _Names(checker.globals, ""))
    checker.circles()
    checker.unused()
    checker.claims()


@cache
def _taken() -> dict[str, str]:
    """What the language calls so itself, in words: the layer kinds, and the words that arguments take.

    The axes are left out, since sizes may be called as they are, `input: {H: H}`; where an argument takes an axis, its
    letter always means that.
    """
    words = {
        word: f"a word that an argument takes: {name}={word}"
        for kind in REGISTRY.values()
        for name, argument in kind.arguments().items()
        for word in argument.type.words
        if word not in AXES
    }
    return words | dict.fromkeys(REGISTRY, "a layer kind")


@dataclass(frozen=True, slots=True)
class _Names:
    """The names visible at a place, and the block it's in."""

    known: frozenset[str]
    block: str

    def plus(self, names: Iterable[str]) -> _Names:
        return _Names(self.known | frozenset(names), self.block)


class _Checker:
    def __init__(self, spec: Spec, diagnostics: Diagnostics) -> None:
        self.spec, self.diagnostics = spec, diagnostics
        self.globals = frozenset({*spec.hparams, *spec.blocks, *spec.uses, *spec.tables})
        self.read: set[str] = set()
        self.referenced: set[str] = set()
        """The paths that are references without expressions in them: a formal may be meant."""
        self.calls: dict[str, dict[str, None]] = {name: {} for name in spec.blocks}

    def report(self, error: LocalError, mark: Mark) -> None:
        self.diagnostics.report(self.spec.source, error.code, error.message, mark, hint=error.hint)

    def symbols(self) -> None:
        """An hparam, an axis of the input and the batch, left open, are symbols: no two may have one name.

        An axis may be what the hparam of its name says (`input: {H: H}`): then they are one.
        """
        axes = self.spec.axes
        for name, hparam in self.spec.hparams.items():
            source, axis = axes.get(name, ("", ""))
            size = self.spec.inputs[source][axis].expr if axis else None
            if name == BATCH or (axis and not (isinstance(size, Name) and size.name == name)):
                other = "the batch" if name == BATCH else "an axis of the input"
                hint = "rename it" if name == BATCH else f"rename it, or write '{source}: {{{axis}: {name}}}'"
                self.report(
                    LocalError(f"hparam '{name}' has the name of {other}", code="E093", hint=hint), hparam.value.mark
                )

    # --- declarations ---------------------------------------------------------------------------------------------

    def declarations(self) -> None:
        spec = self.spec
        taken: dict[str, str] = {}
        for what, name, mark in _declared(spec):
            other = _taken().get(name) or taken.get(name)
            if other:
                self.report(LocalError(f"{what} '{name}' has the name of {other}", code="E093"), mark)
            taken[name] = f"a {what}" if what != "hparam" else "an hparam"
        self.symbols()
        for block in spec.blocks.values():
            formals = {name for name, _ in block.formals}
            self.shadowing(
                formals, self.globals - set(spec.hparams), f"in {block.what} '{block.name}': formal", block.mark
            )
            for name in sorted(formals & set(spec.hparams)):
                message = f"formal '{name}' of '{block.name}' hides the hparam of that name"
                self.report(LocalError(message, code="W404"), block.mark)
            for _, default in block.formals:
                if default is not None:
                    self.expression(default, _Names(self.globals | formals, ""), block.mark, 0)
        outside = _Names(self.globals, "")
        for hparam in spec.hparams.values():
            for value in (hparam.value, hparam.minimum, hparam.multiple_of):
                self.value(value, outside)
        given = (*(v.values for v in spec.variants.values()), *spec.inputs.values(), *(c.at for c in spec.claims))
        given = (*given, *(use.values for use in spec.uses.values()))
        for values in given:
            for value in values.values():
                self.value(value, outside)
        for output in spec.outputs:
            names = outside
            if output.each is not None:
                self.item(output.each, outside)
                names = outside.plus(output.each.names)
            self.template(output.path, names, output.mark)
            if output.condition is not None:
                self.expression(output.condition, names, output.mark, 0)
        for kind, values in spec.defaults.items():
            self.kind_defaults(kind, values)

    def block(self, block: Block) -> None:
        """Check a block, and warn of formals that nothing in it reads."""
        formals = frozenset(name for name, _ in block.formals)
        names = _Names(self.globals | formals, block.name)
        for name, mark in _names_in(block.body):
            if name in formals:
                message = f"'{name}' has the name of a formal of '{block.name}', which expressions mean by it"
                self.report(LocalError(message, code="E093", hint="give it a name of its own"), mark)
        before, self.read, self.referenced = self.read, set(), set()
        self.item(block.body, names)
        for _, default in block.formals:
            self.read |= set() if default is None else default.names()
        for name in sorted(formals - self.read - self.referenced):
            message = f"formal '{name}' of '{block.name}' is never used"
            self.report(LocalError(message, code="W402"), block.mark)
        self.read = before | (self.read - formals)

    def kind_defaults(self, kind: str, values: Mapping[str, Value]) -> None:
        if kind not in REGISTRY:
            mark = next((value.mark for value in values.values()), Mark(self.spec.source.file, 1, 1))
            hint = _kind_hint(kind, REGISTRY)
            self.report(LocalError(f"unknown layer kind '{kind}' under 'defaults'", code="E080", hint=hint), mark)
            return
        arguments = {name: Given(name, value.expr, 0) for name, value in values.items()}
        for name, value in values.items():
            try:
                assign(kind, CallUnit(kind, (arguments[name],), 0), tuple(REGISTRY[kind].arguments()))
            except ArgumentError as error:
                del arguments[name]
                self.report(error, value.mark)
            self.value(value, _Names(self.globals, ""))
        try:
            assign(kind, CallUnit(kind, tuple(arguments.values()), 0), tuple(REGISTRY[kind].arguments()))
        except ArgumentError as error:  # each is right, but two are the same: p and padding
            twice = next((values[name] for name, one in arguments.items() if one is error.given), None)
            self.report(error, twice.mark if twice else next(iter(values.values())).mark)

    def shadowing(self, names: Iterable[str], outer: frozenset[str], what: str, mark: Mark) -> None:
        for name in names:
            if other := _taken().get(name) or ("another name in scope" if name in outer else ""):
                hint = "give it a name of its own"
                self.report(LocalError(f"{what} '{name}' has the name of {other}", code="E093", hint=hint), mark)

    def circles(self) -> None:
        """Blocks that call each other in a circle."""
        done: set[str] = set()

        def visit(name: str, path: tuple[str, ...]) -> None:
            if name in path:
                circle = " -> ".join((*path[path.index(name) :], name))
                first = path[path.index(name)]
                message = f"blocks call each other in a circle: {circle}"
                self.report(LocalError(message, code="E082"), self.spec.blocks[first].mark)
            elif name not in done:
                for callee in self.calls[name]:
                    visit(callee, (*path, name))
                done.add(name)

        for name in self.calls:
            if len(self.calls) < 500:  # deeper ones are met by the builder's own limit
                visit(name, ())

    def unused(self) -> None:
        for what, name, mark in _declared(self.spec):
            if name not in self.read:
                self.report(LocalError(f"{what} '{name}' is never used", code="W402"), mark)
        listed: set[str] = set()
        for output in self.spec.outputs:
            if output.text in listed:
                self.report(LocalError(f"output '{output.text}' is listed twice", code="W408"), output.mark)
            listed.add(output.text)

    def claims(self) -> None:
        """The names in claimed values; last, since a claim that reads an hparam makes no use of it."""
        for claim in self.spec.claims:
            self.value(claim.expected, _Names(self.globals, ""))

    # --- items ----------------------------------------------------------------------------------------------------

    def item(self, item: Item, names: _Names) -> None:
        if isinstance(item, Chain):
            self.chain(item, item, names)
        elif isinstance(item, Named):
            inner = names.plus(item.item.names) if isinstance(item.item, Loop) else names
            self.template(item.name, inner, item.mark)
            self.item(item.item, names)
        elif isinstance(item, Loop):
            for variables, expr, mark in item.variables:
                self.shadowing(variables, names.known, "loop variable", mark)
                self.expression(expr, names, mark, 0)
            self.item(item.body, names.plus(item.names))
        elif isinstance(item, If):
            self.expression(item.condition, names, item.mark, 1)
            for part in (item.then, item.other):
                if part is not None:
                    self.item(part, names)
        elif isinstance(item, Long):
            marks = dict(zip((id(given) for given in item.call.arguments), item.marks, strict=True))
            self.call(item.call, names, item.mark, {key: (mark, 1) for key, mark in marks.items()})
        else:
            if isinstance(item, Mixture):
                self.expression(item.experts, names, item.mark, 0)
            for part in _parts(item):
                self.item(part, names)
            if isinstance(item, Restart):
                self.template(item.path, names, item.mark)

    def chain(self, chain: Chain, whole: Chain, names: _Names) -> None:
        for step in _alternatives(chain.steps):
            unit = step.unit
            if step.condition is not None:
                self.expression(step.condition, names, whole.mark, 1, whole)
            if isinstance(unit, FromUnit):
                self.template(unit.path, names, whole.mark)
            elif isinstance(unit, GroupUnit):
                self.chain(unit.chain, whole, names)
                if unit.count is not None:
                    self.expression(unit.count, names, whole.mark, 1, whole)
            else:
                places = {id(given): (whole.at(given.offset), 0) for given in unit.arguments}
                self.call(unit, names, whole.at(unit.offset), places, whole)

    def call(
        self,
        call: CallUnit,
        names: _Names,
        mark: Mark,
        places: Mapping[int, tuple[Mark, int]],
        chain: Chain | None = None,
    ) -> None:
        """Check the name of what is called and its arguments."""
        spec, name = self.spec, call.name
        try:
            if name in REGISTRY:
                arguments = REGISTRY[name].arguments()
                given = assign(name, call, tuple(arguments))
                defaults = spec.defaults.get(name, {})
                for key, argument in arguments.items():
                    if argument.required and key not in given and not {key, argument.short} & set(defaults):
                        missing = argument.type.label or key
                        raise LocalError(f"{name}: {missing} is missing", code="E083", hint=usage(name))
            elif name in spec.blocks:
                self.read.add(name)
                self.block_call(call, names)
            elif name in spec.uses:
                self.read.add(name)
                assign(name, call, ())
            elif name in names.known:
                self.read.add(name)
            else:
                hint = _kind_hint(name, {*REGISTRY, *names.known})
                raise LocalError(f"unknown layer kind '{name}'", code="E080", hint=hint)
        except ArgumentError as error:
            self.report(error, places[id(error.given)][0] if error.given else mark)
        except LocalError as error:
            self.report(error, mark)
        for item in call.arguments:
            if isinstance(item.value, Template):
                self.template(item.value, names, places[id(item)][0])
            else:
                self.argument(call.name, item, names, places[id(item)][0], chain)

    def argument(self, called: str, given: Given, names: _Names, mark: Mark, chain: Chain | None) -> None:
        """Check an argument's names; a bare word is one that the argument's type knows."""
        expr, words = given.value, WORDS
        assert isinstance(expr, Expr)
        if called in REGISTRY and isinstance(expr, Name) and expr.name not in names.known:
            arguments = REGISTRY[called].arguments()
            try:
                name = next(iter(assign(called, CallUnit(called, (given,), 0), tuple(arguments))))
            except ArgumentError:
                return
            if arguments[name].type.any_word:
                return
            if given.name:
                words = frozenset(arguments[name].type.words)
        self.expression(expr, names, mark, 1 if chain is None else 0, chain, words)

    def block_call(self, call: CallUnit, names: _Names) -> None:
        block = self.spec.blocks[call.name]
        if names.block:
            self.calls[names.block][call.name] = None
        given = assign(call.name, call, tuple(name for name, _ in block.formals))
        for name, default in block.formals:
            if default is None and name not in given:
                raise LocalError(f"{call.name}: argument '{name}' is missing", code="E083", hint=block.usage)

    # --- expressions ----------------------------------------------------------------------------------------------

    def template(self, template: Template, names: _Names, mark: Mark) -> None:
        self.referenced.add(template.constant or "")
        for part in template.parts:
            if isinstance(part, Expr):
                self.expression(part, names, mark, 0)

    def value(self, value: Value | None, names: _Names) -> None:
        if value is not None:
            self.expression(value.expr, names, value.mark, 1 if "\n" not in value.text else 0)

    def expression(
        self,
        expr: Expr,
        names: _Names,
        mark: Mark,
        movable: int,
        chain: Chain | None = None,
        words: frozenset[str] = WORDS,
    ) -> None:
        """Check the names in an expression. Its offsets count from `mark` if that is `movable`, or from the chain."""
        for part in expr.walk():
            place = chain.at(part.offset) if chain else mark.moved(part.offset * movable)
            if isinstance(part, Name):
                self.read.add(part.name)
                if part.name in names.known or part.name in words:
                    continue
                hint = nearest(part.name, names.known | (words if words is not WORDS else frozenset()))
                self.report(LocalError(f"unknown name '{part.name}'", code="E090", hint=hint), place)
            elif isinstance(part, Axis):
                self.referenced.add(part.tensor)
                if part.axis not in AXES:
                    hint = "the axes are " + ", ".join(AXES)
                    self.report(LocalError(f"unknown axis '{part.axis}'", code="E092", hint=hint), place)


def _declared(spec: Spec) -> Iterator[tuple[str, str, Mark]]:
    """What a spec declares: what it is, its name and its place."""
    yield from (("hparam", name, hparam.value.mark) for name, hparam in spec.hparams.items())
    yield from ((block.what, name, block.mark) for name, block in spec.blocks.items())
    yield from (("used spec", name, use.mark) for name, use in spec.uses.items())
    yield from (("table", name, table.mark) for name, table in spec.tables.items())


def _alternatives(steps: Iterable[Step]) -> Iterator[Step]:
    """Steps, and what is there instead of them."""
    for step in steps:
        other: Step | None = step
        while other is not None:
            yield other
            other = other.other


def _parts(item: Item) -> Iterator[Item]:
    if isinstance(item, Sequence):
        yield from item.items
    elif isinstance(item, Merge):
        yield from (branch for _, branch in item.branches)
        yield from () if item.each is None else (item.each,)
    elif isinstance(item, Residual):
        yield item.body
        if item.shortcut is not None:
            yield item.shortcut
    elif isinstance(item, Mixture):
        yield from (item.router, item.choice, item.expert)
        yield from () if item.shared is None else (item.shared,)
    elif isinstance(item, Restart):
        yield item.item


def _names_in(item: Item) -> Iterator[tuple[str, Mark]]:
    """The names that a spec gives in an item, at any level, and their places."""
    if isinstance(item, Named):
        yield item.name.constant or "", item.mark
        yield from _names_in(item.item)
    elif isinstance(item, Loop):
        yield from _names_in(item.body)
    elif isinstance(item, If):
        for part in (item.then, item.other):
            yield from () if part is None else _names_in(part)
    else:
        if isinstance(item, Merge):
            yield from ((name, item.mark) for name, _ in item.branches)
        for part in _parts(item):
            yield from _names_in(part)


def _kind_hint(word: str, known: Iterable[str]) -> str:
    """The kind that another library calls so, else the nearest of the names that are known here."""
    kind = kind_called(word)
    return f"did you mean '{kind}'?" if kind else suggestion(word, known)
