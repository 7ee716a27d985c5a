"""Items as the text of a spec: a chain for what fits on a line, structure for what forks, loops for what repeats."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from archcalc.importers.operations.lifting import Lifted
from archcalc.importers.writing.blocks import Block, Blocks
from archcalc.importers.writing.formals import numbered
from archcalc.importers.writing.hparams import (
    Named,
    found_hparams,
    lines_of,
    loop_of,
    sizes_of,
    that_hold,
    with_loop,
    with_names,
)
from archcalc.importers.writing.naming import Namer
from archcalc.importers.writing.outline import (
    COMBINE,
    GROUP,
    JOINS,
    Arguments,
    Call,
    Item,
    Join,
    Leaf,
    Outline,
    Scope,
    leaves,
    own_name,
    reads,
    usual_arguments,
)
from archcalc.layers import REGISTRY

WIDTH = 110
"""Characters in a line, where they can be fewer."""
INDENT = "  "

Lines: TypeAlias = "Iterator[str]"


def spec_text(lifted: Lifted, name: str, source: str = "") -> tuple[str, list[int]]:
    """A module's steps as a spec, and the steps in the order in which it builds them.

    What all layers of a kind have in common is said once, if it would be said often.
    """
    if not lifted.steps:
        return _without_layers(lifted, name, source), []
    draft = _draft(lifted, {})
    text = _written(lifted, draft, name, source, {})
    defaults: dict[str, dict[str, str]] = {}
    for kind, argument, value in usual_arguments(lifted.steps):
        if _saves(kind, argument, value, text) >= SEVERAL:
            defaults.setdefault(kind, {})[argument] = value
    draft = _draft(lifted, defaults) if defaults else draft
    named, tried = found_hparams(lifted, draft.items, draft.blocks), None
    while named != tried:
        text = _written(lifted, draft, name, source, named, with_depth=tried is None)
        tried = named
        named = that_hold(text, tried) if tried else named
    return text, [leaf.step for leaf in leaves(draft.items)]


def _without_layers(lifted: Lifted, name: str, source: str) -> str:
    """A module that gives out what enters it."""
    names = {~number: each for number, (each, _) in enumerate(lifted.inputs)}
    given = ", ".join(dict.fromkeys(names[output] for output in lifted.outputs))
    lines = ["archcalc: 1", f"name: {name}", *([f"source: {_quoted(source)}"] if source else []), *_inputs(lifted, {})]
    outputs = [f"outputs: [{given}]"] if len(lifted.inputs) > 1 else []
    return "\n".join([*lines, "layers: identity", *outputs]) + "\n"


def _saves(kind: str, argument: str, value: str, text: str) -> int:
    """How many times less a text would say something of layers of a kind, if it were their default."""
    steps = re.findall(rf"(?<![\w=@/-]){kind}(?![\w:=(/-])((?: (?!->)[^\s,\])]+)*)", text)
    word = f"{REGISTRY[kind].arguments()[argument].short}="
    said = [step for step in steps if f" {word}" in step]
    point = [step for step in steps if argument == "padding" and step not in said and re.search(r" 1(x1)*( |$)", step)]
    same = sum(f" {word}{value} " in f"{step} " for step in said)
    return same - (len(steps) - len(said) - len(point))


class _Draft(NamedTuple):
    """What is to be written: items, blocks, and what is said once for all layers of a kind."""

    items: tuple[Item, ...]
    blocks: tuple[Block, ...]
    defaults: Mapping[str, Mapping[str, str]]
    namer: Namer


def _draft(lifted: Lifted, defaults: Mapping[str, Mapping[str, str]]) -> _Draft:
    blocks = Blocks(lifted.steps, lifted.outputs, defaults)
    items = blocks.called(Outline(lifted, defaults).items())
    found = tuple(blocks.found.values())
    namer = Namer(lifted, _wanted(lifted, found, items))
    found = tuple(block._replace(items=namer.grouped(block.items, block.items[-1].out)) for block in found)
    items = namer.grouped(items)
    while len(items) == 1 and isinstance(items[0], Scope) and not items[0].shared and items[0].class_name != GROUP:
        items = items[0].items  # what is the whole network needs no name
    return _Draft(items, found, defaults, namer)


def _written(lifted: Lifted, draft: _Draft, name: str, source: str, named: Named, with_depth: bool = True) -> str:
    items, blocks = with_names(lifted, draft.items, draft.blocks, named)
    writer = _Writer(lifted, blocks, items, draft.namer)
    body: list[str] = []
    for key, shared in (("blocks", False), ("modules", True)):
        if written := [line for block in blocks if block.shared is shared for line in writer.block(block)]:
            body += [f"{key}:", *written]
    body += ["layers:", *writer.items(items, ~0, INDENT)] if items else ["layers: identity"]
    body += writer.outputs()
    text = "\n".join(body) + "\n"
    if depth := named.get("depth") or (loop_of(text, named) if with_depth else None):
        named["depth"] = depth
        text = with_loop(text, depth)
    head = [
        "archcalc: 1",
        f"name: {name}",
        *([f"source: {_quoted(source)}"] if source else []),
        *_inputs(lifted, named),
    ]
    head += lines_of(named, WIDTH)
    if draft.defaults:
        head.append(f"defaults: {{{', '.join(_default(*each, named) for each in draft.defaults.items())}}}")
    return "\n".join([*head, text])


def _wanted(lifted: Lifted, blocks: Sequence[Block], items: Sequence[Item]) -> set[int]:
    """The volumes that need names."""
    found = set(reads(items))
    for block in blocks:
        found |= set(reads(block.items)) - {block.items[0].main, *(volume for _, volume in block.others)}
    last = items[-1].out if items else ~0
    return found | set(lifted.outputs) if lifted.outputs != (last,) else found


def _inputs(lifted: Lifted, named: Named) -> Iterator[str]:
    if len(lifted.inputs) == 1:
        yield f"input: {sizes_of(lifted.inputs[0][1], named)}"
    else:
        yield "inputs:"
        yield from (f"{INDENT}{name}: {sizes_of(shape, named)}" for name, shape in lifted.inputs)


def _default(kind: str, values: Mapping[str, str], named: Named) -> str:
    short, groups = REGISTRY[kind].arguments(), named.get("groups")
    said = {name: groups.name if groups and name == "kv_heads" else value for name, value in values.items()}
    return f"{kind}: {{{', '.join(f'{short[name].short}: {value}' for name, value in said.items())}}}"


class _Writer:
    """Writes items, with names for what is read from elsewhere."""

    def __init__(self, lifted: Lifted, blocks: Sequence[Block], items: Sequence[Item], namer: Namer) -> None:
        self.lifted, self.namer = lifted, namer
        self.steps = lifted.steps
        self.blocks = {block.name: block for block in blocks}
        self.names: dict[int, str] = {~number: name for number, (name, _) in enumerate(lifted.inputs)}
        self.names[~0] = "in" if len(lifted.inputs) == 1 else self.names[~0]
        self.wanted = namer.wanted
        self.given: set[str] = set()
        self.paths: dict[int, str] = {}
        self._name(items)
        for block in blocks:
            self._name(block.items)

    # --- names ----------------------------------------------------------------------------------------------------

    def _name(self, items: Sequence[Item], around: str = "") -> None:
        """Give names to volumes that are read from elsewhere: of the outermost item that makes one."""
        for item in items:
            if item.out in self.wanted and item.out not in self.names:
                self.names[item.out] = self._free(self.namer.name(item))
                self.paths[item.out] = around + self.names[item.out]
            if isinstance(item, Scope):
                own = self.names.get(item.out) or own_name(item)
                self._name(item.items, f"{around}{own}/" if own else around)
            elif isinstance(item, Join):
                for branch in item.branches:
                    self._name(branch, around)

    def _free(self, base: str) -> str:
        name = numbered(base, self.given | set(self.blocks))
        self.given.add(name)
        return name

    def outputs(self) -> Iterator[str]:
        """What the network gives out, if that isn't what it makes last."""
        if any(volume in self.wanted for volume in self.lifted.outputs):
            yield f"outputs: [{', '.join(dict.fromkeys(self.names[volume] for volume in self.lifted.outputs))}]"

    # --- chains ---------------------------------------------------------------------------------------------------

    def chain(self, items: Sequence[Item], current: int, named: bool = True) -> str | None:
        """Items as one text; None if they have structure, or, where names are kept, if they have names."""
        texts = self._words(items, current, named)
        if texts is None:
            return None
        return " -> ".join(_repeated(texts))

    def _words(self, items: Sequence[Item], current: int, named: bool) -> list[str] | None:
        found: list[str] = []
        for item in items:
            if item.main != current:
                found.append(f"from {self.names[item.main]}")
            if item.out in self.names or isinstance(item, Join) or (named and own_name(item)):
                return None
            if isinstance(item, Leaf):
                if item.word in JOINS and item.reads:
                    return None
                found.append(self._leaf(item))
            elif isinstance(item, Call):
                found.append(self._step(item.block, item.arguments))
            elif isinstance(item, Scope):
                inner = self._words(item.items, item.main, named)
                if inner is None:
                    return None
                found += inner
            current = item.out
        return found

    def _leaf(self, leaf: Leaf) -> str:
        tie = [] if leaf.tied is None else [f"tie=@{self.paths[leaf.tied]}"]
        layer = self.lifted.steps[leaf.step].layer
        read = [
            argument.short
            for name, argument in layer.arguments().items()
            if argument.type.name == "Tensor" and getattr(layer, name) is not None
        ]
        volumes = [f"{name}=@{self.names[volume]}" for name, volume in zip(read, leaf.reads, strict=False)]
        return " ".join([self._step(leaf.word, leaf.arguments), *volumes, *tie])

    def _step(self, kind: str, arguments: Arguments) -> str:
        if kind in self.blocks:
            named = tuple((name, self._volume(value)) for name, value in arguments)
            return " ".join([kind, *_given(named, self.blocks[kind].formals)])
        if not arguments:
            return kind
        declared = REGISTRY[kind].arguments()
        words = [kind]
        for name, value in arguments:
            words.append(value if declared[name].required else f"{declared[name].short}={value}")
        return " ".join(words)

    def _volume(self, value: str) -> str:
        """An argument, by its name if it's a volume."""
        return f"@{self.names[int(value[1:])]}" if value.startswith("@") else value

    # --- structure ------------------------------------------------------------------------------------------------

    def items(self, items: Sequence[Item], current: int, indent: str) -> Lines:
        """Items as a list, as many in a line as fit."""
        line: list[Item] = []
        used: set[str] = set()
        begun = current
        for run, times in self._runs(list(self._opened(items, current, len(indent)))):
            longer = self.chain([*line, *run], begun) if times == 1 else None
            if longer is not None and (not line or len(longer) <= WIDTH - len(indent)):
                line += run
            elif longer is not None and (start := _break(line, run[0])):
                yield f"{indent}- {_plain(self.chain(line[:start], begun) or '')}"
                line, begun = [*line[start:], *run], line[start - 1].out
            else:
                if line:
                    yield f"{indent}- {_plain(self.chain(line, begun) or '')}"
                line, begun = [], current
                if times > 1:
                    yield from self._loop(run, times, current, indent)
                elif self.chain(run, current) is not None:
                    line += run
                else:
                    yield from self._item(run[0], current, indent, used)
            current = run[-1].out
            begun = begun if line else current
        if line:
            yield f"{indent}- {_plain(self.chain(line, begun) or '')}"

    def _opened(self, items: Sequence[Item], current: int, indent: int) -> Iterator[Item]:
        """Items, and in place of numbered scopes that need several lines what is in them, without the names there."""
        for item in items:
            if isinstance(item, Scope) and not own_name(item) and item.out not in self.names:
                text = self.chain([item], current)
                if text is None or len(text) > WIDTH - indent:
                    yield from self._opened(list(map(_unnamed, item.items)), current, indent)
                    current = item.out
                    continue
            yield item
            current = item.out

    def _runs(self, items: Sequence[Item]) -> Iterator[tuple[list[Item], int]]:
        """Items, those together that repeat, and how often: what isn't a chain, and has no names but such that count.

        The items of all passes are given, the last pass's last.
        """
        place = 0
        texts = [self._text(item) for item in items]
        while place < len(items):
            length, times = self._period(items, texts, place)
            yield list(items[place : place + length * times]), times
            place += length * times

    def _text(self, item: Item) -> Hashable:
        """What is the same in items that may repeat; itself for one that can't."""
        name = own_name(item)
        counted = COUNTED.fullmatch(name)
        if item.out in self.names or (name and not counted) or (isinstance(item, Leaf) and self._is_merge(item)):
            return item
        inside = self._join(item, "") if self._is_merge(item) else self._inside(item, "")
        return counted[1] if counted else "", tuple(inside)

    def _period(self, items: Sequence[Item], texts: Sequence[Hashable], place: int) -> tuple[int, int]:
        """How many items repeat from here on, and how often."""
        for length in range(1, min(LONGEST, (len(items) - place) // 2) + 1):
            first, times = texts[place : place + length], 1
            if length > 1 and any(own_name(item) for item in items[place : place + length]):
                break
            if self.chain(items[place : place + length], items[place].main) is not None:
                continue
            while texts[place + times * length : place + (times + 1) * length] == first and self._goes_on(
                items, place + times * length, length
            ):
                times += 1
            if times > 1:
                return length, times
        return 1, 1

    def _goes_on(self, items: Sequence[Item], place: int, length: int) -> bool:
        """Whether items read what comes before them, and their names count up."""
        for one, other in pairwise(items[place - length : place + length]):
            if other.main != one.out:
                return False
        first, second = (COUNTED.fullmatch(own_name(items[at])) for at in (place - length, place))
        return first is None or second is None or int(second[2]) == int(first[2]) + 1

    def _loop(self, items: Sequence[Item], times: int, current: int, indent: str) -> Lines:
        """Items that repeat, as a loop over one pass."""
        once, deeper = items[: len(items) // times], indent + INDENT
        name = COUNTED.fullmatch(own_name(once[0]))
        if name:
            deeper = indent + INDENT * 2
            yield f"{indent}- {name[1]}{{i}}:"
            yield f"{deeper}for: {{i: {name[2]}..{int(name[2]) + times - 1}}}"
        else:
            yield f"{indent}- for: {{i: 1..{times}}}"
        if once[0].main != current:
            yield f"{deeper}from: {self.names[once[0].main]}"
        if len(once) == 1:
            inside = self._inside(once[0], deeper + INDENT)
        else:
            inside = list(self.items(once, once[0].main, deeper + INDENT))
        yield from self._under(f"{deeper}do:", inside)

    def _inside(self, item: Item, indent: str) -> list[str]:
        """What is under an item's name: one text, or a list."""
        if isinstance(item, Call):
            return [self._step(item.block, item.arguments)]
        if isinstance(item, Leaf) and not self._is_merge(item):
            return [self._leaf(item)]
        return self._listed(item.items if isinstance(item, Scope) else [item], item.main, indent)

    def _unnamed_calls(self, items: Sequence[Item]) -> Sequence[Item]:
        """Calls that a submodule numbers, without their names if it has nothing else and nothing reads them by name."""
        names = [COUNTED.fullmatch(own_name(item)) if isinstance(item, Call) else None for item in items]
        if len({name and name[1] for name in names}) != 1 or names[0] is None or len(items) < 2:
            return items
        return items if any(item.out in self.names for item in items[:-1]) else list(map(_unnamed, items))

    def _listed(self, items: Sequence[Item], main: int, indent: str) -> list[str]:
        """What is in a scope, as a text if it fits; its own volume has its name outside of it."""
        names, self.names = self.names, {volume: name for volume, name in self.names.items() if volume != items[-1].out}
        items = self._unnamed_calls(items)
        text = self.chain(items, main)
        fits = text is not None and len(text) <= WIDTH - len(indent)
        found = [text or ""] if fits else list(self.items(items, main, indent))
        self.names = names
        return found

    def _item(self, item: Item, current: int, indent: str, used: set[str]) -> Lines:
        """One item that isn't a chain, or has a name; names that were `used` beside it get a number."""
        own = own_name(item)
        name = self.names.get(item.out) or (numbered(own, used) if own else "")
        used.add(name)
        origin = [f"from {self.names[item.main]}"] if item.main != current else []
        if self._is_merge(item):
            inner = indent + INDENT * (2 if name else 1)
            origin = origin if isinstance(item, Join) else []  # of others each branch says where it comes from
            lines = [*self._join(item, inner), *(f"{inner}{each.replace(' ', ': ', 1)}" for each in origin)]
            if name:
                yield f"{indent}- {_key(name)}:"
                yield from lines
            else:
                yield f"{indent}- {lines[0].lstrip()}"
                yield from lines[1:]
            return
        inside = self._inside(item, indent + INDENT * 2)
        if origin and len(inside) == 1:
            inside = [f"{origin[0]} -> {inside[0]}"]
        elif origin:
            inside = [f"{indent}{INDENT * 2}- {origin[0]}", *inside]
        yield from self._under(f"{indent}- {_key(name)}:" if name else f"{indent}-", inside)

    def _is_merge(self, item: Item) -> bool:
        return isinstance(item, Join) or (isinstance(item, Leaf) and item.word in JOINS and bool(item.reads))

    def _under(self, head: str, lines: Sequence[str]) -> Lines:
        """Lines under a key; one text beside it."""
        if len(lines) == 1 and not lines[0].lstrip().startswith("- "):
            yield f"{head} {_plain(lines[0])}"
        else:
            yield head
            yield from _without_dash(lines)

    def _join(self, item: Item, indent: str) -> Lines:
        """A merge with its branches."""
        leaf = item.leaf if isinstance(item, Join) else item
        assert isinstance(leaf, Leaf)
        extra = [f"{indent}{name}: {value}" for name, value in leaf.arguments]
        if isinstance(item, Leaf):
            names = (self.names.get(volume) for volume in (item.main, *item.reads))
            texts = ", ".join(f"from {name}" if name else "identity" for name in names)
            yield f"{indent}{item.word}: [{texts}]"
            yield from extra
            return
        assert isinstance(item, Join)
        if leaf.word == COMBINE:
            yield from self._mixture(item, indent)
            return
        branches = [_inlined(branch) for branch in item.branches]
        if leaf.word == "add" and len(branches) == 2 and not leaf.arguments:
            body, shortcut = branches
            yield from self._branch("residual", body, item.main, indent)
            if shortcut:
                yield from self._branch("shortcut", shortcut, item.main, indent)
            return
        chains = [self.chain(branch, item.main, False) if branch else "identity" for branch in branches]
        if all(text is not None and "," not in text and ": " not in text for text in chains):
            flow = f"{indent}{leaf.word}: [{', '.join(text or '' for text in chains)}]"
            if len(flow) <= WIDTH:
                yield flow
                yield from extra
                return
        yield f"{indent}{leaf.word}:"
        for text, branch in zip(chains, branches, strict=True):
            if text is not None:
                yield f"{indent}{INDENT}- {_plain(text)}"
            else:
                inner = list(self.items(branch, item.main, indent + INDENT * 2))
                yield f"{indent}{INDENT}- {inner[0].lstrip()}"
                yield from inner[1:]
        yield from extra

    def _mixture(self, item: Join, indent: str) -> Lines:
        """A mixture of experts: what an expert is, how many there are, and how they are chosen."""
        (*router, choice), (sent, *expert) = item.branches
        assert isinstance(choice, Leaf)
        inside = _inlined(tuple(expert))
        text = self.chain(inside, sent.out, False)
        fits = text is not None and len(text) <= WIDTH - len(indent)
        yield from self._under(
            f"{indent}moe:", [text or ""] if fits else list(self.items(inside, sent.out, indent + INDENT))
        )
        layer, experts = self.steps[choice.main].layer, self.steps[choice.step].shape.C
        yield f"{indent}experts: {experts}"
        if len(router) > 1 or layer != REGISTRY["fc"](out_features=experts, bias=False):
            yield f"{indent}router: {_plain(self.chain(router, item.main, False) or '')}"
        yield from (f"{indent}{name}: {value}" for name, value in choice.arguments)

    def _branch(self, key: str, items: Sequence[Item], main: int, indent: str) -> Lines:
        text = self.chain(items, main, False)
        if text is not None and len(text) <= WIDTH - len(indent) - len(key):
            yield f"{indent}{key}: {_plain(text)}"
        else:
            yield f"{indent}{key}:"
            yield from self.items(items, main, indent + INDENT)

    def block(self, block: Block) -> Lines:
        """A block's declaration."""
        formals = ", ".join(f"{name}={default}" if default else name for name, default in block.formals)
        main, names = block.items[0].main, self.names
        self.names = {**names, main: "in"} | {volume: name for name, volume in block.others}
        yield from self._under(f"{INDENT}{block.name}({formals}):", self._listed(block.items, main, INDENT * 2))
        self.names = names


def _repeated(texts: Sequence[str]) -> Iterator[str]:
    """Steps of a chain, those that repeat in brackets."""
    place = 0
    while place < len(texts):
        length, times = 1, 1
        for each in range(1, min(LONGEST, (len(texts) - place) // 2) + 1):
            once, found = texts[place : place + each], 1
            while texts[place + found * each : place + (found + 1) * each] == once:
                found += 1
            if found > 1 and found * each > length * times:
                length, times = each, found
        goes_on = texts[place + length * times : place + length * times + 1] == [texts[place]]
        if times > 1 and goes_on and not _begins_group(texts[place]):
            length, times = 1, 1  # it repeats from the next step on, too, which is a better beginning
        inside = " -> ".join(texts[place : place + length])
        yield inside if times == 1 else f"({inside})*{times}"
        place += length * times


def _break(line: Sequence[Item], item: Item) -> int:
    """Where a line that has become too long is divided: ahead of its last layer with a matrix; 0 if not there."""
    weighty = [place for place, each in enumerate([*line, item]) if not isinstance(each, Leaf) or _is_weighty(each)]
    return weighty[-1] if weighty and weighty[-1] < len(line) else 0


def _is_weighty(leaf: Leaf) -> bool:
    return _begins_group(leaf.word)


def _begins_group(text: str) -> bool:
    """Whether a step, or a kind of layer, is one that others go with."""
    kind = text.partition(" ")[0]
    return kind not in REGISTRY or bool(WEIGHTY & set(REGISTRY[kind].arguments()))


def _without_dash(lines: Sequence[str]) -> Iterator[str]:
    """A list of one structure as that structure."""
    indent = lines[0][: len(lines[0]) - len(lines[0].lstrip())]
    alone = STRUCTURE.match(lines[0]) and not any(line.startswith(f"{indent}- ") for line in lines[1:])
    for line in lines:
        yield f"{indent}{line[len(indent) + 2 :]}" if alone else line


def _unnamed(item: Item) -> Item:
    """An item without its own name."""
    if isinstance(item, Call):
        return item._replace(scope=item.scope._replace(name="0"))
    return item._replace(name="0") if isinstance(item, Scope) else item


def _inlined(branch: tuple[Item, ...]) -> tuple[Item, ...]:
    """A branch without the scope that is all of it: a branch is a scope itself."""
    return branch[0].items if len(branch) == 1 and isinstance(branch[0], Scope) else branch


SEVERAL = 3
"""Times that a text says the same of layers of a kind, before it's worth a default."""
LONGEST = 8
"""Items in a pass of a loop."""
WEIGHTY = {"out_channels", "out_features", "multiplier"}
"""Arguments of layers that begin a group of them: a norm and an activation go with the matrix ahead of them."""
STRUCTURE = re.compile(r" *- (for|concat|add|mul|residual):")
"""How a structure begins in a list."""
COUNTED = re.compile(r"(.*\D)(\d+)")
"""A name that ends in a number."""


def _given(arguments: Arguments, formals: Arguments) -> Iterator[str]:
    """What a call writes: by position as far as it goes, defaults left out, then by name."""
    values, skipped = dict(arguments), False
    for name, default in formals:
        value = values[name]
        if default and value == default:
            skipped = True
        else:
            yield f"{name}={_argument(value)}" if skipped else _argument(value)


def _argument(value: str) -> str:
    return f"({value})" if " " in value else value


def _key(name: str) -> str:
    return f"'{name}'" if name.isdigit() else name


def _plain(text: str) -> str:
    return f"'{text}'" if ": " in text or text.startswith(("[", "{", "'", '"', "*", "&", "!", "%", "@")) else text


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
