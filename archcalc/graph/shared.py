"""Modules that are called several times: the first call holds the weights, the others use them again.

Such a call is the same layers, each without parameters and buffers of its own (`copies` 0). Its i-th layer has those of
the i-th layer of the call that holds them, which is found by the module's number: in the innermost part around both
that there is. So equal calls stay one object, wherever they are, and passes of a loop that make them one repeat.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice, zip_longest

from archcalc.graph.application import Application
from archcalc.graph.composite import Call, Composite, Repeat
from archcalc.symbolic import Dim, differ
from archcalc.work import spend

COMPARED = 2
"""Steps for two parts that are compared."""


def again(call: Call) -> Call:
    """The same call, where another one holds the weights."""
    if isinstance(call, Application):
        return call.once(_without_weights)
    return call.once(again, lambda: _again(call))


def _again(call: Composite | Repeat) -> Composite | Repeat:
    if isinstance(call, Repeat):
        body, times = again(call.body), call.times if call.is_open else None
        assert not isinstance(body, Repeat)
        return Repeat(body, call.count, call.chained, call.output, times, call.index)
    items = []
    for item in call.items:
        module = item.module and item.module._replace(holds=False)
        items.append(item._replace(call=again(item.call), module=module))
    return Composite(items, call.entering)


def _without_weights(at: Application) -> Application:
    return Application(at.layer, at.input_shapes, at.output_shape, 0) if at.copies != 0 and _has_weights(at) else at


def _has_weights(at: Application) -> bool:
    """Whether a layer has parameters or buffers, its own or those of another."""
    return any(getattr(at.layer, each)(*at.input_shapes) != 0 for each in ("params", "buffers"))


def holders(call: Call) -> Mapping[int, int]:
    """The modules whose weights a part holds: by number, the first layer of the call that does. None of passes'."""
    return call.once(holders, lambda: _holders(call)) if isinstance(call, Composite) else {}


def _holders(composite: Composite) -> dict[int, int]:
    found: dict[int, int] = {}
    for item, start in zip(composite.items, composite.starts, strict=True):
        if item.module is not None and item.module.holds:
            found.setdefault(item.module.number, start)
        for number, first in holders(item.call).items():
            found.setdefault(number, start + first)
    return found


def calls(call: Call) -> Mapping[tuple[int, bool], Dim]:
    """How often modules are called in a part, by number and whether the call holds the weights; a law of sums."""
    return {} if isinstance(call, Application) else call.once(calls, lambda: _calls(call))


def _calls(call: Composite | Repeat) -> dict[tuple[int, bool], Dim]:
    if isinstance(call, Repeat):
        return {module: call.times * number for module, number in calls(call.body).items()}
    found: dict[tuple[int, bool], Dim] = {}
    for item in call.items:
        many = dict(calls(item.call))
        if item.module is not None:
            key = item.module.number, item.module.holds
            many[key] = many.get(key, 0) + (item.call.times if isinstance(item.call, Repeat) else 1)
        for key, number in many.items():
            found[key] = found.get(key, 0) + number
    return found


Around = tuple[tuple[Composite, int], ...]
"""Composites inside each other, the outermost first, and their first nodes."""


def holder(module: int, around: Around) -> int:
    """The first node of the call that holds a module's weights, seen from inside of some composites."""
    return next(start + found[module] for part, start in reversed(around) if module in (found := holders(part)))


def owner_of(body: Composite, node: int) -> int | None:
    """The node whose weights a node uses again because it's in a call of a module; None of all others."""
    call: Call = body
    around: Around = ()
    start, module = 0, None
    while True:
        if isinstance(call, Repeat):
            number = (node - start) // call.body.size
            start, call = start + number * call.body.size, call.laid(number)
        if module is not None and not module.holds:
            return holder(module.number, around) + node - start
        if isinstance(call, Application):
            return None
        assert isinstance(call, Composite)
        around = (*around, (call, start))
        place = call.place(node - start)
        start, module, call = start + call.starts[place], call.items[place].module, call.items[place].call


def unlike(call: Call, first: Call, known: set[tuple[int, int]]) -> int | None:
    """The first layer of a call that can't have the weights of the one at its place in `first`; None if all can.

    Layers without weights must be of the same kind. `known` are pairs of parts that are alike.
    """
    if call is first or (id(call), id(first)) in known:
        return None
    spend(COMPARED, "comparing the calls of modules")
    found = _unlike(call, first, known)
    if found is None:
        known.add((id(call), id(first)))
    return found


def _unlike(call: Call, first: Call, known: set[tuple[int, int]]) -> int | None:
    if isinstance(call, Application) and isinstance(first, Application):
        return None if fits(call, first) else 0
    if isinstance(call, Composite) and isinstance(first, Composite) and call.starts == first.starts:
        for one, other, start in zip(call.items, first.items, call.starts, strict=True):
            if (found := unlike(one.call, other.call, known)) is not None:
                return start + found
        return None
    if (
        isinstance(call, Repeat)
        and isinstance(first, Repeat)
        and (call.count, call.times) == (first.count, first.times)
    ):
        return unlike(call.body, first.body, known)
    return _differing(zip_longest(_layers(call), _layers(first)))


def begins_unlike(call: Call, first: Call) -> int | None:
    """The same for a call that isn't complete: `first` may have more layers."""
    return _differing(zip(_layers(call), _layers(first), strict=False))


def _differing(pairs: Iterable[tuple[Application | None, Application | None]]) -> int | None:
    fit = (one is not None and other is not None and fits(one, other) for one, other in pairs)
    return next((place for place, fits_there in enumerate(fit) if not fits_there), None)


def layer_in(call: Call, place: int) -> Application | None:
    """A layer of a call, by its number in it; None if it has not so many."""
    return next(islice(_layers(call), place, None), None)


def _layers(call: Call) -> Iterator[Application]:
    """All layers, one by one; passes of a symbolic number are as many as are laid out."""
    if isinstance(call, Application):
        spend(COMPARED, "comparing the calls of modules")
        yield call
    elif isinstance(call, Composite):
        for item in call.items:
            yield from _layers(item.call)
    else:
        for number in range(call.count):
            yield from _layers(call.laid(number))


def fits(at: Application, first: Application) -> bool:
    """Whether a layer can be the same as an earlier one, with the same parameters and buffers, on another volume."""
    if at.layer.kind != first.layer.kind or _has_weights(at) != _has_weights(first):
        return False
    if not _has_weights(at):
        return True
    mine, theirs = (each.layer.parameter_sizes(*each.input_shapes) for each in (at, first))
    return at.layer == first.layer and len(mine) == len(theirs) and not any(map(differ, mine, theirs))
