"""Texts that grow token by token: what each layer does for the last token, and what it remembers of those before.

The law. An input of tokens grows, and each layer that reads what grows makes as many new positions of a text as enter
it: if, of what grows, a position reads none that come later. They are along T, or whatever axis that was made. Keys,
values and states of earlier tokens are remembered, so only the new positions are computed. What doesn't depend on the
text, such as an encoder's output, is computed once. Where several inputs have tokens, all of them grow; if that can't
be, the only one that can grow alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from archcalc.analyses.registry import Facts, of_places, once
from archcalc.errors import UsageError
from archcalc.graph import FORMULA, Application, Graph
from archcalc.layers.reads import Groups, Only, Part, Reads, UpTo
from archcalc.quantities import BYTES
from archcalc.shape import Shape, Window
from archcalc.symbolic import Dim, floor_div, maximum
from archcalc.work import spend


class Undecodable(UsageError):
    """A network can't be computed token by token."""


class Text(NamedTuple):
    """How many positions of a volume are new when a token comes, and along which axis; of the last one alone none."""

    new: Dim = 0
    axis: str = ""

    def of(self, x: Shape) -> Shape:
        """The part of a volume that is new."""
        return x.with_(**{self.axis: self.new}) if self.axis else x


FIXED = Text()
"""What doesn't depend on the text."""


def _decided(graph: Graph) -> Iterable[Facts]:
    yield new_tokens(graph)


@of_places("kv_cache_bytes", _decided)
def kv_cache_bytes(graph: Graph, batch: Dim, dtype: str) -> list[Dim]:
    """For each node, the bytes of the keys and values that it remembers of all tokens.

    Raises: Undecodable.
    """
    width = batch * BYTES[dtype]
    return [width * each for each in _of_steps(graph, lambda at, new: at.layer.cached(new, *at.input_shapes))]


@of_places("prefill_macs", _decided)
def prefill_macs(graph: Graph, batch: Dim, *_: object) -> list[Dim]:
    """For each node, its multiply-adds for all tokens at once.

    Raises: Undecodable.
    """
    new_tokens(graph)
    return [batch * node.layer.macs(*node.application.input_shapes) for node in graph.nodes]


@of_places("decode_macs", _decided)
def decode_macs(graph: Graph, batch: Dim, *_: object) -> list[Dim]:
    """For each node, its multiply-adds for the last token.

    Raises: Undecodable.
    """
    return [batch * each for each in _of_steps(graph, lambda at, new: at.layer.macs_of_step(new, *at.input_shapes))]


def _of_steps(graph: Graph, amount: Callable[[Application, Sequence[Shape | None]], Dim]) -> list[Dim]:
    """What each node has that computes something for the new token; 0 for the others."""
    texts, result = new_tokens(graph), list[Dim]()
    found: dict[tuple[Application, Sequence[Text]], Dim] = {}
    for index, node in enumerate(graph.nodes):
        key = node.application, tuple([texts[i] for i in node.inputs])
        if key not in found:
            spend(FORMULA, "working out so many different layers")
            found[key] = amount(key[0], _read(*key, texts[index])) if texts[index].new else 0
        result.append(found[key])
    return result


def _read(at: Application, entering: Sequence[Text], made: Text) -> Sequence[Shape | None]:
    """The part of each input that is read for the new positions, and wasn't before.

    Where an input doesn't grow, that's what stands at the same places.
    """
    found: list[Shape | None] = []
    for x, reads, text in zip(at.input_shapes, at.layer.reads(*at.input_shapes), entering, strict=True):
        beside = not text.new and reads is not None and made.axis in x and made.axis not in reads.along
        found.append(made.of(x) if beside else text.of(x) if text.new else None)
    return found


@once
def new_tokens(graph: Graph) -> list[Text]:
    """What each node makes for a new token.

    Raises: Undecodable: some layer sees later tokens, or all of them at once.
    """
    texts = [index for index, node in enumerate(graph.inputs) if "T" in node.shape]
    if not texts:
        raise Undecodable(f"{graph.name} doesn't work token by token: no input has tokens (T)")
    graph.spend(2, "following a text through so many layers")
    try:
        return _followed(graph, texts)
    except Undecodable as error:
        alone = [found for text in texts if len(texts) > 1 and (found := _alone(graph, text))]
        if len(alone) == 1:
            return alone[0]
        raise error from None


def _alone(graph: Graph, text: int) -> list[Text]:
    """What is new where one input alone grows; nothing if that can't be."""
    try:
        return _followed(graph, [text])
    except Undecodable:
        return []


def _followed(graph: Graph, texts: Sequence[int]) -> list[Text]:
    made: list[Text] = []
    known: dict[tuple[Application, Sequence[Text]], Text | str] = {}
    for index, node in enumerate(graph.nodes):
        entering = tuple([made[i] for i in node.inputs])
        if not any(text.new for text in entering):
            made.append(Text(1, "T") if index in texts else FIXED)
            continue
        key = node.application, entering
        if key not in known:
            spend(FORMULA, "working out so many different layers")
            known[key] = _new(*key)
        found = known[key]
        if isinstance(found, str):
            hint = "causal=true" if getattr(node.layer, "causal", None) is False else ""
            raise Undecodable(f"{graph.name} doesn't work token by token: '{node.name}' {found}", hint)
        made.append(found)
    if not any(made[index].new for index in graph.outputs.values()):
        raise Undecodable(f"{graph.name} doesn't work token by token: no output depends on them")
    return made


def _new(at: Application, entering: Sequence[Text]) -> Text | str:
    """What a layer makes new of what is new in its inputs, or why that's not so."""
    y, made = at.output_shape, FIXED
    for x, reads, text in zip(at.input_shapes, at.layer.reads(*at.input_shapes), entering, strict=True):
        if not text.new or reads is None:
            continue
        found = _through(reads, x, y, text)
        if isinstance(found, str):
            return found
        if made.new and made.axis != found.axis:
            return "shows all tokens what only the last one has"
        made = Text(maximum(made.new, found.new) if made.new else found.new, found.axis)
    return made


def _through(reads: Reads, x: Shape, y: Shape, text: Text) -> Text | str:
    """What is new in an output of what is new in an input; if that isn't made of it and of earlier positions, why."""
    if not text.axis:
        return "shows all tokens what only the last one has" if "T" in y else text
    axis = _moved(reads, text.axis)
    relation = reads.along.get(text.axis)
    if isinstance(relation, Only):
        last = relation.place in (x[text.axis] - 1, -1 % x[text.axis])
        return Text(text.new) if last else "reads a token that isn't the last one"
    if axis not in y:
        return "reads all tokens at once"
    if isinstance(relation, Part):
        return text if relation.offset + x[text.axis] == y[axis] else "has tokens after the last one"
    if isinstance(relation, Groups):  # of each there may be several copies, or of several one
        return Text(floor_div(text.new * relation.outputs, relation.inputs), axis)
    steps = isinstance(relation, Window) and relation.stride == 1 and relation.extent - 1 == relation.before
    return Text(text.new, axis) if relation is None or isinstance(relation, UpTo) or steps else "sees later tokens"


def _moved(reads: Reads, axis: str) -> str:
    """What the output calls an axis; nothing if its positions are numbered otherwise, or all are read."""
    if reads.all_of_it:
        return ""
    names = [yours for mine, yours in reads.groups if axis in mine] or [(axis,)]
    alone = not reads.groups or any(mine == (axis,) for mine, _ in reads.groups)
    return names[0][0] if alone and len(names[0]) == 1 else ""
