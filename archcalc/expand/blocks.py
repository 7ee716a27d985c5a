"""Calls of blocks and of used specs: formals bound, bodies expanded; an equal call is the same composite once more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from archcalc.data import dataclass
from archcalc.errors import LocalError, Mark
from archcalc.expand.hparams import Callee, Module, make_module
from archcalc.expand.modules import ModuleCall, Modules
from archcalc.expand.nodes import Built, Nodes, Reached, Tensor
from archcalc.expand.overrides import Overrides
from archcalc.expand.scope import Context, Scope
from archcalc.language.calls import ArgumentError, assign
from archcalc.language.expression import Environment, Reported
from archcalc.language.items import CallUnit, Item, Template, given_names
from archcalc.language.model import Block, Spec, Use, plain
from archcalc.language.tree import Diagnostics
from archcalc.symbolic import collecting_conditions, is_symbolic, is_zero
from archcalc.work import spend

MAX_CALL_DEPTH = 60
MAX_CALLS = 50_000
"""Different calls. A net of 120,000 layers has some ten."""
EXPANDED = 45
"""Steps of work for one of them, apart from what is in it."""


class TooLarge(Exception):
    """The architecture is larger than can be built; building ends here."""


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A tensor given to a block as an argument, and the full name by which it was given."""

    path: str
    tensor: Tensor

    def __str__(self) -> str:
        """As it was written, for messages."""
        return f"@{self.path}"


class Builder(Protocol):
    """What expanding a body needs from the expander."""

    made: Nodes
    overrides: Overrides
    failures: int
    diagnostics: Diagnostics

    @property
    def in_expert(self) -> bool:
        """Whether what is built reads more than what enters it."""
        ...

    def item(self, item: Item, ctx: Context, at: Tensor) -> Tensor:
        """Build an item."""
        ...

    def lookup(self, path: str, ctx: Context) -> tuple[str, Tensor]:
        """What a path stands for: the full name, and its tensor."""
        ...

    def spend(self, ctx: Context, mark: Mark, layers: int, *, described: int) -> None:
        """Refuse layers to come if they would be too many in all, built or described."""
        ...


class Blocks:
    """Expands calls. A block called again with equal arguments on an equal shape is the same once more."""

    def __init__(self, builder: Builder, load: Callable[[Module, Use], Spec]) -> None:
        self.builder, self.load = builder, load
        self.expanded = 0
        self._using: list[tuple[str, str]] = []
        self._modules: dict[tuple[Module, str], Module] = {}
        self.built: dict[tuple[Any, ...], Built] = {}
        """What calls built, by block, arguments and shape."""
        self._network = self._networks = 0
        """Which call of a used spec is being expanded, and how many there were: each has modules of its own."""
        self._numbers: dict[tuple[int, int], dict[tuple[tuple[str, Any], ...], int]] = {}
        """The numbers of modules, by declaration and arguments."""
        self._calls_of_modules = Modules(builder, self.built)

    def call(self, callee: Callee, call: CallUnit, ctx: Context, at: Tensor, path: str, mark: Mark) -> Tensor:
        """Expand a call under a name.

        Raises: LocalError: its arguments are wrong, or calls are nested too deep.
        """
        if ctx.depth > MAX_CALL_DEPTH:
            raise LocalError(f"blocks call each other more than {MAX_CALL_DEPTH} deep", code="E082")
        if isinstance(callee.target, Use):
            assign(callee.target.name, call, ())
            return self._use(callee.module, callee.target, ctx, at, path)
        values = self._bind(callee.target, call, callee.module, ctx)
        made = self.builder.made
        if callee.target.is_module and at is not None:
            return self._module(callee, values, ctx, at, path, mark)
        reads_more = made.upto or self.builder.in_expert or any(isinstance(value, Place) for value in values.values())
        if at is None or reads_more:
            return self._expand(callee.target, values, callee.module, ctx, at, path)
        outside = self.builder.overrides.below(path)
        network = self._network if any(block.is_module for block in callee.module.spec.blocks.values()) else 0
        key = (id(callee.target), id(callee.module), network, made.shape(at), outside, *map(plain, values.values()))
        if known := self._known(key):
            self.builder.spend(ctx, mark, layers=1, described=known.call.size)
            return made.call(known, path, at)
        started, ties, changed, modules = made.size, len(made.ties), len(made.changed), len(made.modules)
        failures = self.builder.failures
        output = self._expand(callee.target, values, callee.module, ctx, at, path)
        shares = any(owner < started for owner in made.ties[ties:]) or len(made.modules) > modules
        if output is not None and self.builder.failures == failures and not shares:
            self.built[key] = made.last(output, changed)
        return output

    def _expand(
        self, block: Block, values: Mapping[str, Any], module: Module, ctx: Context, at: Tensor, path: str
    ) -> Tensor:
        self._count()
        env = Environment(values, module.env, {"x": None, "in": self.builder.made.shape(at)})
        scope = Scope(path)
        scope.reserve(given_names(block.body))
        inner = Context(module, env, scope, at, (ctx.trace, "block", block.name), ctx.depth + 1)
        self.builder.made.begin(path)
        try:
            return self.builder.item(block.body, inner, at)
        finally:
            self.builder.made.close()

    def _module(
        self, callee: Callee, values: Mapping[str, Any], ctx: Context, at: int, path: str, mark: Mark
    ) -> Tensor:
        """A call of a module. A used spec is a network of its own, with modules of its own."""
        assert isinstance(callee.target, Block)
        block, module = callee.target, callee.module
        given = [(name, plain(value)) for name, value in values.items() if not isinstance(value, Place)]
        number = self._number(block.name, (id(block), id(module)), tuple(given))
        call = ModuleCall(block.name, len(self._using), number, path, mark, at)

        def expand() -> Tensor:
            return self._expand(block, values, module, ctx, at, path)

        return self._calls_of_modules.call(call, expand, alone=len(given) == len(values))

    def _number(self, name: str, declaration: tuple[int, int], given: tuple[tuple[str, Any], ...]) -> int:
        """The number of a module with these arguments; of others with others."""
        others = self._numbers.setdefault(declaration, {})
        if given not in others:
            for other in others:
                _refuse_undecided(name, given, other)
            others[given] = sum(map(len, self._numbers.values()))
        return others[given]

    def _known(self, key: tuple[Any, ...]) -> Built | None:
        return self.built.get(key)

    def _count(self) -> None:
        self.expanded += 1
        spend(EXPANDED, "expanding so many calls of blocks")
        if self.expanded > MAX_CALLS:
            raise TooLarge(f"more than {MAX_CALLS:,} different calls of blocks")

    def _bind(self, block: Block, call: CallUnit, module: Module, ctx: Context) -> dict[str, Any]:
        """The values of a block's formals."""
        given = assign(block.name, call, tuple(name for name, _ in block.formals))
        values: dict[str, Any] = {}
        for name, default in block.formals:
            try:
                if name in given:
                    value = given[name].value
                    if isinstance(value, Template):
                        values[name] = Place(*self.builder.lookup(value.render(ctx.env), ctx))
                    else:
                        values[name] = value.evaluate(ctx.env)
                elif default is not None:
                    entering = {"x": ctx.env.tensors["x"]}  # blocks see no names around their calls
                    values[name] = default.evaluate(Environment(values, module.env, entering))
                else:
                    raise LocalError(f"{block.name}: argument '{name}' is missing", code="E083", hint=block.usage)
            except LocalError as error:
                raise error if isinstance(error, Reported) else ArgumentError(error, given.get(name)) from error
        return values

    def _use(self, module: Module, use: Use, ctx: Context, at: Tensor, path: str) -> Tensor:
        """Splice another spec's layers, up to and including the named one."""
        self._count()
        spec = self.load(module, use)
        variant = use.variant or spec.default
        place, key = (spec.source.file, variant), (module, use.name)
        if place in self._using:
            raise LocalError(f"'{use.spec}' uses itself", code="E082")
        if key not in self._modules:
            self._modules[key] = make_module(spec, variant, {}, self.builder.diagnostics, module, use.values)
        other = self._modules[key]
        trace = (ctx.trace, "use", f"{use.spec}:{use.variant}" if use.variant else use.spec)
        scope = Scope(path)
        scope.reserve(given_names(spec.layers))
        inner = Context(other, other.env, scope, at, trace, ctx.depth + 1)
        made = self.builder.made
        outer, made.upto = made.upto, f"{path}/{use.upto}" if use.upto else ""
        modules, network = len(made.modules), self._network
        self._network = self._networks = self._networks + 1
        self._using.append(place)
        made.begin(path)
        try:
            output = self.builder.item(spec.layers, inner, at)
            if use.upto and output is not None:
                raise LocalError(f"'{use.spec}' has no layer named '{use.upto}'", code="E051")
        except Reached as reached:
            output = reached.tensor
        finally:
            made.close()
            made.upto = outer
            made.forget_modules(modules)
            self._network = network
            self._using.pop()
        return output


def _refuse_undecided(name: str, given: Iterable[tuple[str, Any]], other: Iterable[tuple[str, Any]]) -> None:
    """See that two calls are of different modules, whatever the symbols are.

    Raises: LocalError: for some sizes they are of one.
    """
    one, two = dict(given), dict(other)
    if one.keys() != two.keys():
        return
    pairs = [(word, one[word], two[word]) for word in one if one[word] != two[word]]
    if not all(is_symbolic(a) or is_symbolic(b) for _, a, b in pairs):
        return
    for _, a, b in pairs:
        with collecting_conditions() as undecided:
            is_zero(a - b)
        if not undecided:
            return  # they are never equal
    word, a, b = pairs[0]
    raise LocalError(
        f"{name}: whether {word}={a} and {word}={b} are one module depends on a symbol",
        code="E106",
        hint="give it a number",
    )
