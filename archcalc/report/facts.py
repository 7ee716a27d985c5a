"""What stands below a table: the totals in words, what is not counted, conditions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from fractions import Fraction

from archcalc.analyses.memory import UNTRAINED
from archcalc.errors import spelled
from archcalc.graph import Change, NoNumber, TooManyLayers
from archcalc.graph.labels import UNNAMED
from archcalc.graph.opaque import opaque_layers, uncounted
from archcalc.graph.shared import calls
from archcalc.graph.tree import modules
from archcalc.quantities import BYTES
from archcalc.report.values import Values
from archcalc.symbolic import is_symbolic, known
from archcalc.tables.numbers import exact, memory, percent

ALL_NARROW = "all values and params in {}; autocast, which keeps params and some results in float32, needs more"
COUNTED = ("params", "weights", "biases", "buffers", "macs", "flops", "activations", "depth")
SHOWN = 3
"""Names of layers that are changed alike."""
LONGEST = 300
"""Characters of a formula that stands below a table."""


def facts(report: Values) -> Iterator[tuple[str, str]]:
    """(what, how much) about the whole graph."""
    totals = report.totals
    counts = {name: exact(totals[name]) for name in COUNTED}
    weights = memory(totals["params"] * BYTES[report.dtype])
    yield "params", f"{counts['params']} ({counts['weights']} weights, {counts['biases']} biases), {weights}"
    active, params = totals["active_params"], totals["params"]
    if active != params:
        open_ = is_symbolic(active) or is_symbolic(params)
        share = "" if open_ else f", {percent(Fraction(known(active), known(params)))} of all"
        yield "active", f"{exact(active)} params for each token{share}"
    if totals["buffers"] != 0:
        buffers = memory(totals["buffers"] * BYTES[report.dtype])
        yield "buffers", f"{counts['buffers']} stored but not learned, {buffers}"
    if shared := list(_shared(report)):
        more = f" and {len(shared) - SHOWN} more" if len(shared) > SHOWN else ""
        yield "shared", ", ".join(shared[:SHOWN]) + more
    missing = uncounted(report.graph)
    macs = f"{counts['macs']} ({counts['flops']} FLOPs)"
    yield "MACs", f"at least {macs}: {missing}" if missing else macs
    yield "memory", f"{counts['activations']} activations, {memory(totals['activation_bytes'])} as {report.dtype}"
    if report.has("saved_bytes"):
        yield "training", _at_least(_if_known(_training, report), report)
    yield "inference", _at_least(_if_known(_peak, report), report)
    if _decodes(report):
        yield "decoding", _at_least(_if_known(_decoding, report), report)
    if BYTES[report.dtype] < BYTES["float32"] and report.dtype not in UNTRAINED:
        yield "dtype", ALL_NARROW.format(report.dtype)
    yield "depth", f"{counts['depth']} weight layers on the longest path"
    if report.batch != 1:
        yield "batch", f"{report.batch}; MACs, FLOPs and memory are for all examples together"
    if report.graph.changes:
        yield "changed", "; ".join(_changes(report.graph.changes))
    if report.uncounted:
        kinds = (f"{kind} ({what})" for kind, what in report.uncounted.items())
        yield "not in MACs", ", ".join(kinds)
    if report.graph.conditions:
        yield "valid if", "; ".join(map(str, report.graph.conditions))


def _shared(report: Values) -> Iterator[str]:
    """The modules that are called more than once, how often, and which call holds the weights."""
    tree = report.graph.tree
    many, told = calls(tree.body), set()
    for number, name, path in modules(tree.root):
        held, again = many[number, True], many.get((number, False), 0)
        if again != 0 and number not in told:
            told.add(number)
            sets = "weights" if held == 1 else f"one of {exact(held)} sets of weights"
            yield f"{name} ({exact(held + again)} calls; {sets} in {path.replace(UNNAMED, '')})"


def _changes(changes: Iterable[Change]) -> Iterator[str]:
    """What layers were given from outside, `conv1 stride 4 → 3`; of equal changes the first few names."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for name, *change in changes:
        alike.setdefault(tuple(change), []).append(name)
    for (argument, before, after), names in alike.items():
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        yield " ".join(filter(None, (f"{', '.join(names[:SHOWN])}{more}: {argument}", before, "→", after)))


def _if_known(told: Callable[[Values], str], report: Values) -> str:
    """What is said of a network; if that would need a list of layers that is too long, or has no formula, why not."""
    try:
        return told(report)
    except (NoNumber, TooManyLayers) as error:
        return f"not known: {error.args[0]}"


def _at_least(told: str, report: Values) -> str:
    """What is said of bytes and steps, which are more where some layers are opaque."""
    return f"at least {told}" if opaque_layers(report.graph) and not told.startswith("not known") else told


def _training(report: Values) -> str:
    kept = memory(report.totals["saved_bytes"])
    return f"{kept} kept for the backward pass; params and all gradients come on top"


def _decodes(report: Values) -> bool:
    """Whether the network is known to work token by token."""
    if not any("T" in node.shape for node in report.graph.inputs):
        return False
    with suppress(NoNumber, TooManyLayers):
        return report.has("decode_macs")
    return False


def _decoding(report: Values) -> str:
    totals = report.totals
    cache, step = totals["kv_cache_bytes"] or 0, totals["decode_macs"] or 0
    kept = f"{memory(cache)} of keys and values; " if cache != 0 else ""
    return f"{kept}{exact(step)} MACs for the last token"


def _peak(report: Values) -> str:
    """The most that the exported program holds, and at which layer; the floor. A long formula is left to JSON."""
    peak, least = report.totals["peak_bytes"], report.totals["least_bytes"]
    if not is_symbolic(peak):
        at = "" if report.graph.is_open else f", at {report.layer_of_most('peak_bytes').name}"
        return f"{memory(peak)} held at once besides params{at}; the floor is {memory(least)}"
    if len(text := memory(peak)) > LONGEST:
        return f"the largest of {len(peak.args)} sums of bytes, which {spelled('--format json')} shows"
    return f"{text} held at once besides params"
