"""Numbers that recur, under a name: what a network takes, how wide it is, how many heads and classes it has.

Each is kept if the spec can still be built with another value of it: a width that a fixed size goes with stays one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from archcalc.errors import ArchcalcError
from archcalc.expand import build
from archcalc.importers.operations.lifting import Lifted, Step
from archcalc.importers.writing.blocks import Block
from archcalc.importers.writing.formals import CHANNELS
from archcalc.importers.writing.outline import Arguments, Call, Item, Join, Leaf, Scope
from archcalc.language.reader import parse_spec
from archcalc.language.tree import Source as Text
from archcalc.layers import Layer
from archcalc.shape import Shape
from archcalc.symbolic import known

WIDTHS = (*CHANNELS, "dim")
"""Arguments that say how many channels there are."""
DOUBLED = (1, 2, 4, 8, 16, 32)
"""Multiples of a width of maps that are one."""
WIDER = 8
"""The largest multiple of a width of tokens."""
OFTEN = 3
"""Layers with more than so many of which a width is worth a name."""
DEEP = 3
"""Passes of the one loop of a network that are worth a name."""
LOOPED = re.compile(r"(?<=\)\*)(\d+)|(?<=for: \{i: )(\d+)\.\.(\d+)")
"""How often something repeats, as a text says it."""


class Hparam(NamedTuple):
    """A name for a number, and what it is, if its name doesn't say that."""

    name: str
    value: int
    doc: str = ""


Named = dict[str, Hparam]
"""Hparams by what they say: `size`, `length`, `classes`, `vocabulary`, `width`, `ffn`, `heads`, `groups`, `depth`."""


def found_hparams(lifted: Lifted, items: Sequence[Item], blocks: Sequence[Block]) -> Named:
    """The numbers of a network that are worth a name."""
    return _Finder(lifted, items, blocks).found()


class _Finder:
    """Looks for them."""

    def __init__(self, lifted: Lifted, items: Sequence[Item], blocks: Sequence[Block]) -> None:
        self.lifted, self.steps = lifted, lifted.steps
        self.sites = Counter(_numbers(items, blocks))
        self.taken = {name for block in blocks for name in (block.name, *dict(block.formals))}
        tokens = [known(step.shape["C"]) for step in lifted.steps if "T" in step.shape and "C" in step.shape]
        self.reads_tokens = 2 * len(tokens) > len(lifted.steps)
        self.d = Counter(tokens).most_common(1)[0][0] if self.reads_tokens else 0

    def found(self) -> Named:
        named = {key: hparam for key, hparam in self._all() if hparam.value > 1}
        if not set(named) - {"size", "length"}:
            return {}  # what enters is said once anyway
        return {key: hparam._replace(name=self._free(key, hparam.name)) for key, hparam in named.items()}

    def _free(self, key: str, name: str) -> str:
        for each in (
            name,
            {"d": "d_model", "groups": "kv_heads", "heads": "num_heads"}.get(name, f"{name}s"),
            f"{key}_",
        ):
            if each not in self.taken:
                return each
        return f"{name}_of_all"

    def _all(self) -> Iterator[tuple[str, Hparam]]:
        shapes = [shape for _, shape in self.lifted.inputs]
        if square := _same(shape.get("H", 0) if shape.get("H") == shape.get("W") else 0 for shape in shapes):
            yield "size", Hparam("size", square)
        if length := _same(shape.get("T", 0) for shape in shapes):
            yield "length", Hparam("length", length, "tokens read")
        vocabulary = max((value for name, value in self.sites if name == "num_embeddings"), default=0)
        if vocabulary:
            yield "vocabulary", Hparam("vocabulary", vocabulary)
        classes = self._classes()
        if classes and classes not in (vocabulary, self.d, *(shape.get("C") for shape in shapes)):
            yield "classes", Hparam("classes", classes)
        yield from self._widths({vocabulary, classes})
        if heads := _same(value for name, value in self.sites.elements() if name == "num_heads"):
            yield "heads", Hparam("heads", heads)
        if groups := _same(value for name, value in self.sites.elements() if name == "kv_heads"):
            yield "groups", Hparam("groups", groups, "heads of keys and values")

    def _classes(self) -> int:
        """The numbers that a network gives out, if its last layer with parameters is a matrix."""
        last = self.lifted.outputs[0]
        while last >= 0 and _passes_on(self.steps[last], self.lifted):
            last = self.steps[last].inputs[0]
        return known(self.steps[last].shape["C"]) if last >= 0 and is_matrix(self.steps[last].layer) else 0

    def _widths(self, apart: set[int]) -> Iterator[tuple[str, Hparam]]:
        """The width of tokens, and of what is between two matrices; or the least, if it divides all others."""
        widths = Counter(value for name, value in self.sites.elements() if name in WIDTHS and value not in apart)
        if self.d:
            if widths[self.d] > 1:
                yield "width", Hparam("d", self.d, "width")
            others = [value for value in widths if value % self.d or value > 8 * self.d]
            if len(others) == 1 and others[0] > self.d:
                yield "ffn", Hparam("ffn", others[0])
            return
        ends = {known(self.steps[each].shape["C"]) for each in self.lifted.outputs if each >= 0}
        made = [step for step in self.steps if set(CHANNELS) & set(step.layer.arguments())]
        maps = {value for name, value in self.sites if name == "out_channels"} or set(widths)
        base = Hparam("width", min(maps - ends - apart, default=0))
        if base.value > 1 and len(made) > OFTEN and all(_times(value, base) for value in maps - ends - apart):
            yield "width", base


def is_matrix(layer: Layer) -> bool:
    """Whether a layer is a matrix, at each place."""
    kernel = getattr(layer, "kernel_size", 1)
    is_one = {*(kernel if isinstance(kernel, tuple) else [kernel])} == {1}
    return layer.weight_layer and is_one and bool(set(CHANNELS) & set(layer.arguments()))


def _passes_on(step: Step, lifted: Lifted) -> bool:
    """Whether a layer may stand between the last matrix and what goes out: it learns nothing, and keeps all."""
    shape = _shape(step.inputs[0], lifted)
    return len(step.inputs) == 1 and not step.stored and shape.get("C") == step.shape.get("C")


def _shape(step: int, lifted: Lifted) -> Shape:
    return lifted.steps[step].shape if step >= 0 else lifted.inputs[~step][1]


def _same(values: Iterator[object]) -> int:
    """The one value, as a number; 0 if there are several, or none."""
    found = {str(value) for value in values}
    text = found.pop() if len(found) == 1 else ""
    return int(text) if text.isdigit() else 0


def _times(value: int, width: Hparam) -> int:
    """How many times a width a number is; 0 if that's none that is common."""
    times, rest = divmod(value, width.value)
    common = times in DOUBLED if width.name.startswith("width") else 0 < times <= WIDER
    return times if not rest and common else 0


def _numbers(items: Sequence[Item], blocks: Sequence[Block]) -> Iterator[tuple[str, int]]:
    """All numbers of a text, each with the argument of a layer that it is."""
    found: list[tuple[str, int]] = []

    def note(name: str, value: str, _: int | None) -> str:
        if value.isdigit():
            found.append((name, int(value)))
        return value

    rewritten(items, blocks, note)
    yield from found


Rewrite = Callable[[str, str, "int | None"], str]
"""What stands for an argument's value: of its name in a layer, its text, and the step if it's that of one alone."""


def rewritten(
    items: Sequence[Item], blocks: Sequence[Block], to: Rewrite
) -> tuple[tuple[Item, ...], tuple[Block, ...]]:
    """Items and blocks with other texts for arguments."""
    roles = {block.name: block.roles for block in blocks}

    def item_of(item: Item, alone: bool) -> Item:
        if isinstance(item, Leaf):
            return item._replace(
                arguments=tuple((n, to(n, v, item.step if alone else None)) for n, v in item.arguments)
            )
        if isinstance(item, Call):
            return item._replace(arguments=of_call(roles[item.block], item.arguments))
        if isinstance(item, Scope):
            return item._replace(items=tuple(item_of(each, alone) for each in item.items))
        branches = tuple(tuple(item_of(each, alone) for each in branch) for branch in item.branches)
        return Join(item.leaf, branches, item.main)

    def of_call(named: Mapping[str, str], arguments: Arguments) -> Arguments:
        return tuple((name, to(named[name], value, None)) for name, value in arguments)

    new = tuple(
        block._replace(
            formals=of_call(block.roles, block.formals),
            items=tuple(item_of(item, block.shared) for item in block.items),
        )
        for block in blocks
    )
    return tuple(item_of(item, True) for item in items), new


def with_names(
    lifted: Lifted, items: Sequence[Item], blocks: Sequence[Block], named: Named
) -> tuple[tuple[Item, ...], tuple[Block, ...]]:
    """Items and blocks with hparams in place of their numbers."""
    given = set(lifted.outputs)
    for step in range(len(lifted.steps) - 1, -1, -1):
        if step in given and _passes_on(lifted.steps[step], lifted):
            given.update(lifted.steps[step].inputs)

    def to(name: str, value: str, step: int | None) -> str:
        if not value.isdigit():
            return value
        for key, names in (("vocabulary", ("num_embeddings",)), ("heads", ("num_heads",)), ("groups", ("kv_heads",))):
            if name in names and key in named and named[key].value == int(value):
                return named[key].name
        return _width(int(value), named, step in given) if name in WIDTHS else value

    return rewritten(items, blocks, to)


def _width(value: int, named: Named, goes_out: bool) -> str:
    """A number of channels, by the names that there are."""
    for key in ("vocabulary", "classes") if goes_out else ():
        if key in named and named[key].value == value:
            return named[key].name
    if "width" in named and (times := _times(value, named["width"])):
        return named["width"].name if times == 1 else f"{times}*{named['width'].name}"
    return named["ffn"].name if "ffn" in named and named["ffn"].value == value else str(value)


def sizes_of(shape: Shape, named: Named) -> str:
    """An input's sizes, by the names that there are."""
    keys = {"H": "size", "W": "size", "T": "length"}
    each = (f"{axis}: {named[keys[axis]].name if keys.get(axis) in named else size}" for axis, size in shape.items())
    return f"{{{', '.join(each)}}}"


def lines_of(named: Named, width: int) -> Iterator[str]:
    """The hparams of a spec."""
    if not named:
        return
    row = f"hparams: {{{', '.join(f'{each.name}: {each.value}' for each in named.values())}}}"
    if not any(each.doc for each in named.values()) and len(row) <= width:
        yield row
        return
    yield "hparams:"
    for each in named.values():
        yield f"  {each.name}: {each.value}" + (f"  # {each.doc}" if each.doc else "")


def loop_of(text: str, named: Named) -> Hparam | None:
    """How often the one thing in a network repeats that does, if there's one."""
    found = list(LOOPED.finditer(text[_layers(text) :]))
    if len(found) != 1 or found[0][2] not in (None, "0", "1"):
        return None  # a loop that goes on where others ended isn't the network's depth
    times = int(found[0][1] or int(found[0][3]) - int(found[0][2]) + 1)
    name = "layers" if "heads" in named or "length" in named else "depth"
    return Hparam(name, times) if times >= DEEP else None


def with_loop(text: str, depth: Hparam) -> str:
    """A text with a name for how often its one loop repeats."""
    start = _layers(text)

    def named(match: re.Match[str]) -> str:
        if match[1]:
            return depth.name
        return f"{match[2]}..{depth.name}{'' if match[2] == '1' else int(match[2]) - 1 if match[2] == '0' else ''}"

    return text[:start] + LOOPED.sub(named, text[start:])


def _layers(text: str) -> int:
    """Where the layers begin."""
    return next(match.start() for match in re.finditer(r"^layers:$", text, re.MULTILINE))


def that_hold(text: str, named: Named) -> Named:
    """Those hparams with another value of which the spec can be built, too."""
    try:
        spec = parse_spec(Text("spec.yaml", text, None))
    except ArchcalcError:
        return {}

    def builds(name: str, value: int) -> bool:
        try:
            build(spec, hparams={name: value})
        except ArchcalcError:
            return False
        return True

    def holds(each: Hparam) -> bool:
        if len(re.findall(rf"\b{each.name}\b(?!:)", text)) == 0:
            return False
        others = (2 * each.value, each.value + 1, each.value - 1, each.value // 2)
        return any(builds(each.name, value) for value in others if value > 0)

    return {key: each for key, each in named.items() if holds(each)}
