"""Texts that grow token by token: what each layer does for the last token, and what it remembers of those before.

The law. An input of tokens grows, and each layer that reads what grows makes as many new positions along T as enter
it: if, of what grows, a position reads none that come later. Keys, values and states of earlier tokens are remembered,
so only the new positions are computed. What doesn't depend on the text, such as an encoder's output, is computed once.
Where several inputs have tokens, all of them grow; if that can't be, the only one that can grow alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

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


def _of_steps(graph: Graph, amount: Callable[[Application, Sequence[Dim]], Dim]) -> list[Dim]:
    """What each node has that computes something for the new token; 0 for the others."""
    new, found, result = new_tokens(graph), dict[tuple[Application, Sequence[Dim]], Dim](), list[Dim]()
    for index, node in enumerate(graph.nodes):
        key = node.application, tuple([new[i] for i in node.inputs])
        if key not in found:
            spend(FORMULA, "working out so many different layers")
            found[key] = amount(key[0], _read(*key, new[index])) if new[index] else 0
        result.append(found[key])
    return result


def _read(at: Application, entering: Sequence[Dim], made: Dim) -> Sequence[Dim]:
    """How many positions of each input are read for the new ones, and weren't before.

    Where an input doesn't grow, those that stand at the same places.
    """
    pairs = zip(at.layer.reads(*at.input_shapes), entering, strict=True)
    return tuple([new or made * (reads is not None and "T" not in reads.along) for reads, new in pairs])


@once
def new_tokens(graph: Graph) -> list[Dim]:
    """For each node, how many positions along T it makes for a new token; 0 if nothing in it depends on the text.

    Raises: Undecodable: some layer sees later tokens, or moves them elsewhere.
    """
    graph.spend(2, "following a text through so many layers")
    texts = [index for index, node in enumerate(graph.nodes) if not node.application.input_shapes and "T" in node.shape]
    if not texts:
        raise Undecodable(f"{graph.name} doesn't work token by token: no input has tokens (T)")
    try:
        return _followed(graph, texts)
    except Undecodable as error:
        alone = [found for text in texts if len(texts) > 1 and (found := _alone(graph, text))]
        if len(alone) == 1:
            return alone[0]
        raise error from None


def _alone(graph: Graph, text: int) -> list[Dim]:
    """What is new where one input alone grows; nothing if that can't be."""
    try:
        return _followed(graph, [text])
    except Undecodable:
        return []


def _followed(graph: Graph, texts: Sequence[int]) -> list[Dim]:
    new: list[Dim] = []
    known: dict[tuple[Application, Sequence[Dim]], Dim | str] = {}
    for index, node in enumerate(graph.nodes):
        entering = tuple([new[i] for i in node.inputs])
        if not any(entering):
            new.append(int(index in texts))
            continue
        key = node.application, entering
        if key not in known:
            spend(FORMULA, "working out so many different layers")
            known[key] = _new(*key)
        made = known[key]
        if isinstance(made, str):
            causal = getattr(node.layer, "causal", None) is False
            raise Undecodable(
                f"{graph.name} doesn't work token by token: '{node.name}' {made}", "causal=true" if causal else ""
            )
        new.append(made)
    if not any(new[index] for index in graph.outputs.values()):
        raise Undecodable(f"{graph.name} doesn't work token by token: no output depends on them")
    return new


def _new(at: Application, entering: Sequence[Dim]) -> Dim | str:
    """How many new positions a layer makes of those that enter it, or why that's not so."""
    y = at.output_shape
    made: Dim = 0
    for x, reads, new in zip(at.input_shapes, at.layer.reads(*at.input_shapes), entering, strict=True):
        if not new or reads is None:
            continue
        problem = _problem(reads, x, y) if "T" in x else "shows all tokens what only the last one has" * ("T" in y)
        if problem:
            return problem
        made = maximum(made, _times(reads, new)) if made else _times(reads, new)
    return made


def _times(reads: Reads, new: Dim) -> Dim:
    """How many positions so many new ones become: of each there may be several copies, or of several one."""
    relation = reads.along.get("T")
    return floor_div(new * relation.outputs, relation.inputs) if isinstance(relation, Groups) else new


def _problem(reads: Reads, x: Shape, y: Shape) -> str:
    """Why the last positions of an output aren't made of the last of an input, and of earlier ones; else nothing."""
    relation = reads.along.get("T")
    if reads.all_of_it or any(
        "T" in mine + yours and (mine, yours) != (("T",), ("T",)) for mine, yours in reads.groups
    ):
        return "reads all tokens at once"
    if isinstance(relation, Only):
        last = relation.place in (x["T"] - 1, -1 % x["T"])
        return "" if last else "reads a token that isn't the last one"
    if "T" not in y:
        return "reads all tokens at once"
    if isinstance(relation, Part):
        return "" if relation.offset + x["T"] == y["T"] else "has tokens after the last one"
    if isinstance(relation, Window):
        steps = relation.stride == 1 and relation.extent - 1 == relation.before
        return "" if steps else "sees later tokens"
    return "" if relation is None or isinstance(relation, (UpTo, Groups)) else "sees later tokens"
