"""One argument of one call of a random spec, changed in the text and from outside: both must be the same network."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml
from hypothesis import strategies as st

from archcalc.errors import ArchcalcError, SpecError
from archcalc.expand import build
from archcalc.graph import Graph, Node
from archcalc.language.grammar import ChainParser
from archcalc.layers import REGISTRY
from archcalc.layers.base import SHORTHANDS
from tests.helpers import spec_of
from tests.random_layers import Draw

VALUES = {
    "Dim": ["1", "2", "3", "x.C", "2*x.C", "0"],
    "Count": ["0", "1", "2"],
    "Index": ["0", "1", "-1"],
    "Channels": ["1", "2", "6", "x.C", "x.C+1", "x.C/2"],
    "Extent": ["1", "2", "3", "1x2", "2x1", "5"],
    "Amounts": ["0", "1", "2", "0x1"],
    "Padding": ["half", "same", "0", "1", "[0,1]", "[[0,1],[1,0]]"],
    "bool": ["true", "false"],
    "Bias": ["true", "false", "position"],
    "Number": ["0.5", "1/4", "2"],
    "Factor": ["0.5", "1/4", "x.C", "0"],
    "Tensor": ["@n1", "@n2", "@one"],
    "Tie": ["@n1", "@n2"],
    "Table": ["table1"],
    "Axis": ["C", "H", "W", "T"],
}
"""For each type of arguments some values, of which some fit nearly always and some never; others take their words."""


@dataclass(frozen=True)
class Changed:
    """A spec's text, the same with one argument of one call changed, and that change as it's given from outside."""

    text: str
    rewritten: str
    sets: dict[str, str]


@st.composite
def changes(draw: Draw, texts: Any) -> Changed | None:
    """A change of some call in a spec that is drawn from `texts`; None if the spec has no call to change."""
    text = draw(texts)
    nodes = [node for node in build(spec_of(text)).nodes if node.mark is not None and node.layer.arguments()]
    if not nodes:
        return None
    node = draw(st.sampled_from(nodes))
    argument = draw(st.sampled_from(list(node.layer.arguments().values())))
    value = draw(st.sampled_from(VALUES.get(argument.type.name) or argument.type.words))
    rewritten = with_argument(text, node, argument.name, value)
    word = draw(st.sampled_from([argument.name, argument.short]))
    names = [other.name for other in nodes if other.mark == node.mark and other.kind == node.kind]
    return None if rewritten is None else Changed(text, rewritten, {f"{name}.{word}": value for name in names})


def with_argument(text: str, node: Node, name: str, value: str) -> str | None:
    """A spec's text with another value for an argument in the call that makes a node; None if it has no call."""
    assert node.mark is not None
    lines = text.split("\n")
    number, column = node.mark.line - 1, node.mark.column - 1
    line = lines[number]
    if line[:column].endswith("op: "):
        return _with_key(lines, number, column - len("op: "), name, value)
    if not re.match(rf"{node.kind}(?!\w|:)", line[column:]):
        return None  # what joins branches
    quote = line[column - 1] if line[column - 1] in "'\"" else ""
    rest = line[column:].removesuffix(quote)
    parser = ChainParser(rest)
    call: Any = parser.unit(node.mark)
    ends = [*(given.offset for given in call.arguments[1:]), parser.position][: len(call.arguments)]
    kept = dict(_named(node.kind, rest, call, ends))
    kept.pop(name, None)
    words = [node.kind, *(f"{key}={text}" for key, text in kept.items()), f"{name}={value}"]
    tail = rest[parser.position :]
    lines[number] = f"{line[:column]}{' '.join(words)}{' ' * bool(tail)}{tail.lstrip()}{quote}"
    return "\n".join(lines)


def _named(kind: str, rest: str, call: Any, ends: list[int]) -> Any:
    """The arguments of a call by name, as texts."""
    known = REGISTRY[kind].arguments()
    positions = iter(known)
    for given, end in zip(call.arguments, ends, strict=True):
        text = rest[given.offset : end].strip()
        if given.name:
            name = given.name if given.name in known else SHORTHANDS[given.name]
            yield name, text.removeprefix(f"{given.name}=")
        else:
            yield next(positions), text


def _with_key(lines: list[str], number: int, column: int, name: str, value: str) -> str | None:
    """The same for the long form, `op: KIND` and a line for each argument."""
    short = {long: short for short, long in SHORTHANDS.items()}.get(name, name)
    end = number + 1
    while end < len(lines) and (lines[end][:column].strip() in ("",) and lines[end][:column] == " " * column):
        end += 1
    own = yaml.safe_load("\n".join(line[column:] for line in lines[number:end]))
    if not isinstance(own, dict):
        return None
    own = {key: each for key, each in own.items() if key not in (name, short)} | {name: value}
    body = yaml.dump(own, sort_keys=False, width=1000).rstrip("\n").split("\n")
    return "\n".join([*lines[:number], lines[number][:column] + body[0], *(" " * column + each for each in body[1:]),
                      *lines[end:]])  # fmt: skip


def outcome(text: str, sets: dict[str, str] | None = None) -> Any:
    """What a spec is, apart from where in the file it stands; or the codes of its errors, empty for a wrong value."""
    try:
        return substance(build(spec_of(text), hparams=sets))
    except SpecError as error:
        return sorted({each.code for each in error.diagnostics if each.severity == "error"})
    except ArchcalcError:
        return []


def substance(graph: Graph) -> Any:
    """A graph without the places in its spec."""
    nodes = [(node.name, node.application, node.inputs, node.tied) for node in graph.nodes]
    return nodes, dict(graph.outputs), dict(graph.scopes), graph.conditions
