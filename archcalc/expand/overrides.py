"""Arguments of layers that are given from outside, by the layers' names: `conv1.stride=3`, `conv5/*.kernel_size=1`.

A name stands for a layer, or for all in a scope; `*` in it for any text. The value is read where the layer is built, as
if it were written there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from archcalc.data import dataclass
from archcalc.errors import LocalError, Mark, UsageError, suggestion
from archcalc.expand.hparams import OutOfBounds, from_outside, is_override
from archcalc.language.calls import ArgumentError, assign
from archcalc.language.expression import Expr, Literal, Name
from archcalc.language.grammar import parse_expression, parse_template
from archcalc.language.items import CallUnit, Given, Template
from archcalc.language.model import Value
from archcalc.layers import REGISTRY, Argument, Layer
from archcalc.layers.base import SHORTHANDS
from archcalc.symbolic import dim
from archcalc.work import spend

_WORD = re.compile(r"[^A-Za-z0-9]+")


class Unheeded(UsageError):
    """No layer has followed an override; `label` is how it was given."""

    def __init__(self, label: str, message: str, hint: str) -> None:
        super().__init__(f"{label}: {message}", hint)
        self.label = label


@dataclass(frozen=True, slots=True)
class Override:
    """A value for one argument of all layers whose names a pattern matches; `label=text` is how it was given."""

    label: str
    pattern: str
    argument: str
    value: Expr | Template
    text: str


def symbol_of(name: str) -> str:
    """What is left open under a name: hparams and axes are called so themselves, arguments of layers nearly so.

    >>> symbol_of("width"), symbol_of("conv1.stride"), symbol_of("conv5/*.out_channels")
    ('width', 'conv1_stride', 'conv5_out_channels')
    """
    if not is_override(name):
        return name
    word = _WORD.sub("_", name).strip("_")
    return f"_{word}" if word[:1].isdigit() else word


def flat(given: Mapping[str, Any]) -> dict[str, Any]:
    """Values by name, also of those that are given layer by layer: `{"conv1": {"stride": 3}}` is `conv1.stride`.

    Raises: UsageError: one is given twice, a layer is given nothing, or it's not a mapping by name.
    """
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise UsageError(f"values are given by name, not {given!r:.60}", "{'width': 96, 'conv1.stride': 3}")
    found: dict[str, Any] = {}
    for name, value in given.items():
        inner = {f"{name}.{argument}": each for argument, each in value.items()} if isinstance(value, Mapping) else {}
        if isinstance(value, Mapping) and not inner:
            raise UsageError(f"'{name}' is given no arguments", f"{{'{name}': {{'stride': 3}}}}")
        for label, each in (inner if isinstance(value, Mapping) else {name: value}).items():
            if label in found:
                raise UsageError(f"'{label}' is given twice", "give it one value")
            found[label] = each
    return found


class Overrides:
    """The overrides of one build: which of them a layer has to follow, and which of them no layer followed.

    While names grow, part by part, what is left to match of each pattern is kept, as a set of its ends (`*` takes any
    number of letters, so there may be several). `*` is left where a scope has matched: all below it does.

    A few arguments are called like the short form of another (`p` of dropout, `k` of lrn). A scope's `p` is the padding
    of its layers if any of them has that; where none has, `unsettled`, it is `literal` in another build.
    """

    def __init__(
        self, given: Mapping[str, Any], taken: Iterable[str] = (), literal: Collection[int] = frozenset()
    ) -> None:
        self.found = [_read(label, value) for label, value in given.items()]
        self.literal = literal
        self._left: dict[str, tuple[frozenset[str], ...]] = {"": tuple(frozenset([o.pattern]) for o in self.found)}
        self._calls: dict[tuple[Any, ...], tuple[CallUnit, CallUnit]] = {}
        self._followed: set[int] = set()
        self._kinds: dict[int, set[str]] = {}
        _refuse_shared_symbols(self.found, set(taken))

    def __bool__(self) -> bool:
        return bool(self.found)

    def below(self, path: str) -> tuple[frozenset[str], ...]:
        """What is left of each pattern below a name: where that's equal, equal layers follow equal overrides."""
        if not self.found:
            return ()
        if path not in self._left:
            self._left[path] = self._grown(path)
        return self._left[path]

    def spare(self, path: str) -> bool:
        """Whether nothing that is given from outside can be for some of the names below a scope and not for others."""
        return all(left in (frozenset(), frozenset("*")) for left in self.below(path))

    def _grown(self, path: str) -> tuple[frozenset[str], ...]:
        scope, slash, last = path.rpartition("/")
        spend(len(self.found) * (1 + len(last) // 4), "matching so many names")
        return tuple(_matched(left, slash + last) for left in self.below(scope))

    def _argument(self, number: int, kind: str, path: str) -> str:
        """The argument that an override means for a kind of layer; empty if there is none."""
        word = self.found[number].argument
        name = argument_called(kind, word)
        if name == word in SHORTHANDS and self.found[number].pattern != path and number not in self.literal:
            return ""
        return name

    @property
    def unsettled(self) -> set[int]:
        """The overrides that no layer has followed, but some would if the name of their argument were no short form."""
        return {
            number
            for number, kinds in self._kinds.items()
            if number not in self._followed
            and any(argument_called(kind, self.found[number].argument) for kind in kinds)
        }

    def call(self, kind: str, call: CallUnit, path: str) -> CallUnit:
        """A layer's call with what is given from outside in place of what the spec gives.

        Raises: ArgumentError: the spec's own arguments are wrong.
        """
        matching = [number for number, left in enumerate(self._grown(path)) if "*" in left]
        given: dict[str, int] = {}
        for number in matching:
            self._kinds.setdefault(number, set()).add(kind)
            if name := self._argument(number, kind, path):
                given[name] = number
                self._followed.add(number)
        if not given:
            return call
        key = (id(call), kind, tuple(given.items()))
        if key not in self._calls:
            own = assign(kind, call, tuple(REGISTRY[kind].arguments()))
            kept = (Given(name, each.value, each.offset) for name, each in own.items() if name not in given)
            outside = (Given(name, self.found[number].value, -1 - number) for name, number in given.items())
            self._calls[key] = call, CallUnit(call.name, (*kept, *outside), call.offset)  # keeps both, for their ids
        return self._calls[key][1]

    def refused(self, error: ArgumentError, path: str, mark: Mark) -> ArgumentError | OutOfBounds:
        """The error that a value from outside can't be taken by a layer; another error as it is."""
        if error.given is None or error.given.offset >= 0:
            return error
        override = self.found[-1 - error.given.offset]
        return OutOfBounds(f"{override.label}: {error.message} ({path}, {mark})", error.hint)

    def changes(self, layer: Layer, written: Layer | None, index: int) -> Iterator[tuple[int, str, str, str]]:
        """What differs from the layer that the spec means, if it means one: node, argument, before, after."""
        for name, argument in layer.arguments().items():
            before, after = None if written is None else _text(argument, written), _text(argument, layer)
            if before != after:
                yield index, name, before or "", after

    def details(self, kind: str, path: str) -> tuple[str, ...]:
        """For messages about a layer: what it's given from outside, where the spec says something else."""
        matching = (number for number, left in enumerate(self._grown(path)) if "*" in left)
        given = [self.found[number] for number in matching if self._argument(number, kind, path)]
        found = [f"{each.label}={each.text}" for each in given]
        return (f"with {', '.join(found)}",) if found else ()

    def check(self, spec: str, names: Iterable[str]) -> None:
        """See that each override has been followed by some layer; `names` are those of all layers and scopes.

        Raises: Unheeded: one hasn't.
        """
        for number, override in enumerate(self.found):
            if number not in self._followed:
                raise self._unheeded(spec, number, override, set(names))

    def _unheeded(self, spec: str, number: int, override: Override, names: set[str]) -> Unheeded:
        kinds = self._kinds.get(number)
        if not kinds:
            return Unheeded(override.label, f"{spec} has no layer '{override.pattern}'", _nearest(override, names))
        known = {word for kind in kinds for word in _words(kind)}
        alone = "" if len(kinds) > 1 else next(iter(kinds))
        what = f"{alone} has no" if alone else f"nothing in '{override.pattern}' has an"
        hint = suggestion(override.argument, known) or f"{alone} takes no arguments" * bool(alone)
        return Unheeded(override.label, f"{what} argument '{override.argument}'", hint)


def argument_called(kind: str, word: str) -> str:
    """The argument of a kind that a word means, itself or a short form; empty if there is none."""
    arguments = REGISTRY[kind].arguments()
    name = word if word in arguments else SHORTHANDS.get(word, "")
    return name if name in arguments else ""


def _text(argument: Argument, layer: Layer) -> str:
    """An argument's value as a spec writes it."""
    value = getattr(layer, argument.name)
    return "none" if value is None else argument.type.write(value)


def _words(kind: str) -> Iterator[str]:
    yield from REGISTRY[kind].arguments()
    yield from (short for short, long in SHORTHANDS.items() if long in REGISTRY[kind].arguments())


def _read(label: str, value: Any) -> Override:
    """An override as it is given: its name, and a value of Python or a text in the spec language.

    Raises: UsageError: one of them can't be read.
    """
    pattern, _, argument = label.rpartition(".")
    if not pattern or not argument.isidentifier():
        raise UsageError(f"'{label}' is not an argument of a layer", "NAME.ARGUMENT, such as conv1.stride")
    try:
        found: Any = value
        if isinstance(value, str):
            found = parse_template(value[1:]) if value[:1] == "@" else parse_expression(value)
        elif isinstance(value, Value):
            found = value.expr
        else:
            found = Literal(0, from_outside(value, label))
    except LocalError as error:
        raise UsageError(f"{label}: {error.message}", error.hint) from None
    if isinstance(found, Name) and found.name == "sym":
        found = Literal(0, dim(symbol_of(label)))
    return Override(label, pattern, argument, found, value.text if isinstance(value, Value) else str(value))


def _refuse_shared_symbols(found: Iterable[Override], taken: set[str]) -> None:
    """See that no argument that is left open has the name of something else: one name is one symbol.

    Raises: UsageError: it has.
    """
    for override in found:
        if isinstance(override.value, Literal) and str(override.value.value) == (symbol := symbol_of(override.label)):
            if symbol in taken:
                raise UsageError(f"{override.label} would be called {symbol}, as something else is")
            taken.add(symbol)


def _matched(left: frozenset[str], text: str) -> frozenset[str]:
    """What is left of a pattern after one more part of a name."""
    for letter in text:
        if "*" in left:
            return frozenset("*")
        left = frozenset(rest for each in left for rest in _after(each, letter))
    return frozenset("*") if any(not each.strip("*") for each in left) else left


def _after(left: str, letter: str) -> Iterator[str]:
    while left[:1] == "*":
        yield left
        left = left[1:]
    if left[:1] == letter:
        yield left[1:]


def _nearest(override: Override, names: set[str]) -> str:
    """A hint: the layer that was probably meant."""
    last = override.pattern.rpartition("/")[2]
    endings = [name for name in names if "*" not in last and (name == last or name.endswith(f"/{last}"))]
    return suggestion(override.pattern, endings or names) if names else ""
