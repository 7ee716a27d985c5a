"""A checkpoint against a spec, by its header: every tensor has to be one of the network's."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from os import PathLike
from pathlib import Path
from typing import Any

from archcalc.errors import Diagnostic, UsageError
from archcalc.expand import Given, Sizes
from archcalc.graph import Graph
from archcalc.importers.checkpoints.checkpoint import checkpoint_at
from archcalc.importers.checkpoints.tensors import Checkpoint, Tensor
from archcalc.language.tree import MAX_DIAGNOSTICS
from archcalc.questions.findings import Checked
from archcalc.questions.networks import graph_of
from archcalc.questions.subjects import InFolder, Named
from archcalc.questions.tensors import NUMBER, Matched, Part, matched, parts_of, stored_parts
from archcalc.tables.numbers import memory

ARCHITECTURE = "general.architecture"
"""Of a GGUF file's metadata."""


def holding(
    path: str | PathLike[str], ignore: Iterable[str], hparams: Mapping[str, Given], sizes: Sizes | None
) -> Callable[[Any, Path | None], Checked]:
    """What compares a network of these hparams and sizes with a checkpoint, but for tensors that are passed over.

    Raises: UsageError: the checkpoint can't be read, or isn't whole.
    """
    if not isinstance(path, (str, PathLike)):
        raise UsageError(f"a checkpoint is a path, not {path!r:.60}", "weights='model.safetensors'")
    found = checkpoint_at(Path(path))
    patterns = [ignore] if isinstance(ignore, str) else list(ignore)
    passed = {name for name in found.tensors if any(fnmatchcase(name, each) for each in patterns)}
    for each in patterns:
        if not any(fnmatchcase(name, each) for name in passed):
            raise UsageError(f"no tensor of '{path}' is called '{each:.100}'", "ignore='*.attn.bias'")

    def ask(named: Named | InFolder, folder: Path | None) -> Checked:
        from archcalc.zoo import load

        network = named.file if isinstance(named, InFolder) else named
        name = str(network) if isinstance(network, (str, PathLike)) else network.name
        graph = graph_of(load(network, folder) if isinstance(network, (str, PathLike)) else network, hparams, sizes)  # type: ignore[arg-type]
        return checked(graph, found, passed, name)

    return ask


def checked(graph: Graph, checkpoint: Checkpoint, passed: set[str], name: str) -> Checked:
    """What is different, and what the checkpoint holds."""
    tensors = [each for each in checkpoint.tensors.values() if each.name not in passed]
    own = parts_of(graph)
    tensors, counts = _without_counts(tensors, graph)
    stored = stored_parts(tensors, checkpoint.tensors, own)
    result = matched(own, stored)
    found = list(_different(result, own, stored, graph))
    rest = len(found) - MAX_DIAGNOSTICS
    if rest > 0:
        found = [*found[:MAX_DIAGNOSTICS], Diagnostic("E001", f"stopped after {MAX_DIAGNOSTICS} errors")]
    facts = [*_held(checkpoint), *_specialities(result)]
    if not found:
        facts.append(f"all {len(tensors) + counts:,} tensors are those of {name}")
    if passed:
        facts.append(f"{len(passed):,} tensors are passed over")
    return Checked(name, 1, tuple(found), facts=tuple(facts))


def _without_counts(tensors: Sequence[Tensor], graph: Graph) -> tuple[list[Tensor], int]:
    """The tensors without the batches that norms have seen, single integers which older checkpoints lack."""
    most = sum(node.layer.counters for node in graph.nodes if not node.reuses)
    counters = [each for each in tensors if each.shape == () and each.dtype == "I64"][:most]
    names = {each.name for each in counters}
    return [each for each in tensors if each.name not in names], len(counters)


# --- what is different -----------------------------------------------------------------------------------------------


def _different(result: Matched, own: Sequence[Part], stored: Sequence[Part], graph: Graph) -> Iterator[Diagnostic]:
    """What has another shape, is missing, or is too much: once for what is the same in several blocks."""
    whole_missing, missing = _whole(result.missing, own)
    whole_extra, extra = _whole(result.extra, stored)
    for block, parts in whole_missing.items():
        yield Diagnostic("E402", f"{block} isn't in the checkpoint: {_amount(parts)}")
    for block, parts in whole_extra.items():
        yield Diagnostic("E403", f"{block} isn't in the spec: {_amount(parts)}")
    ours, tied = _alike(missing), _tied(graph)
    for name, parts in _alike(extra).items():
        shape = _shape(parts)
        if (other := _in_place_of(name, parts, ours)) is not None:
            told = f"{name} is {shape}, where {other} of the spec is {_shape(ours.pop(other))}"
            yield Diagnostic("E401", f"{told}{_times(parts)}")
        else:
            hint = tied.get(parts[0].shape, "")
            yield Diagnostic("E403", f"{name}, {shape}, isn't in the spec{_times(parts)}", hint=hint)
    tables = {node.layer.weight_shape(*node.application.input_shapes) for node in graph.nodes if node.layer.is_table}
    for name, parts in ours.items():
        hint = "tie=@… if the head has the embedding's matrix" if parts[0].shape in tables else ""
        yield Diagnostic("E402", f"{name}, {_shape(parts)}, isn't in the checkpoint{_times(parts)}", hint=hint)
    for one, other in result.elsewhere:
        yield Diagnostic("E404", f"{other} holds tensors of other shapes than {one} of the spec")


def _whole(left: Sequence[Part], every: Sequence[Part]) -> tuple[dict[str, list[Part]], list[Part]]:
    """Blocks of which nothing has been found, and the rest."""
    all_of, left_of = Counter(part.block for part in every), defaultdict[str, list[Part]](list)
    for part in left:
        left_of[part.block].append(part)
    whole = {block: parts for block, parts in left_of.items() if block and len(parts) == all_of[block] > 1}
    return whole, [part for part in left if part.block not in whole]


def _alike(parts: Iterable[Part]) -> dict[str, list[Part]]:
    """Those of several blocks that have one shape, and names that differ in numbers; by such a name."""
    groups: dict[tuple[str, Any], list[Part]] = defaultdict(list)
    for part in parts:
        groups[NUMBER.sub("*", part.name), part.shape].append(part)
    return {name if len(group) > 1 else group[0].name: group for (name, _), group in groups.items()}


def _in_place_of(name: str, parts: Sequence[Part], others: Mapping[str, Sequence[Part]]) -> str | None:
    """What the spec has where a checkpoint has tensors of another shape: as many, alike in sizes and in names."""

    def likeness(other: str) -> int:
        sizes = zip(parts[0].shape, others[other][0].shape, strict=True)
        return 2 * sum(one == its for one, its in sizes) + len(_words(name) & _words(other))

    fitting = [
        other
        for other, its in others.items()
        if len(its[0].shape) == len(parts[0].shape) and _many(its) == _many(parts)
    ]
    return max(fitting, key=likeness, default=None)


def _words(name: str) -> set[str]:
    return set(re.findall(r"[a-z]+", name.lower())) - {"weight"}


def _many(parts: Iterable[Part]) -> int:
    return sum(part.many for part in parts)


def _tied(graph: Graph) -> dict[Any, str]:
    """What to say of a matrix too much, by its shape: that the spec's layer has another one's."""
    found = {}
    for node in graph.nodes:
        if node.tied is not None and not node.reuses:
            shape = node.layer.weight_shape(*node.application.input_shapes)
            found[shape] = f"the spec's {node.name} has the weights of {graph.nodes[node.tied].name}: leave out 'tie'"
    return found


def _shape(parts: Sequence[Part]) -> str:
    return "x".join(map(str, parts[0].shape)) or "a single number"


def _times(parts: Sequence[Part]) -> str:
    return f", {_many(parts):,} times" if _many(parts) > 1 else ""


def _amount(parts: Sequence[Part]) -> str:
    return f"{_many(parts):,} tensors of {sum(part.values for part in parts):,} numbers"


# --- what is told anyway ---------------------------------------------------------------------------------------------


def _held(checkpoint: Checkpoint) -> Iterator[str]:
    """How much the checkpoint holds, of each type."""
    tensors = checkpoint.tensors.values()
    said = checkpoint.about.get(ARCHITECTURE)
    kind = f" ({said})" if said else ""
    yield f"{checkpoint.name}{kind}: {len(tensors):,} tensors, {sum(each.values for each in tensors):,} numbers"
    of_type = Counter[str]()
    values = Counter[str]()
    for each in tensors:
        of_type[each.dtype] += each.bytes
        values[each.dtype] += each.values
    for dtype, held in of_type.most_common():
        yield f"{dtype}: {values[dtype]:,} numbers, {memory(held)}"


def _specialities(result: Matched) -> Iterator[str]:
    """How tensors are stored that aren't simply there."""
    turned = {
        part.name: part
        for match in result.special
        for part in match.stored
        if part.turned or (len(match.own) == 1 and match.own[0].shape == part.shape[::-1] != part.shape)
    }
    if turned:
        yield f"stored with inputs as rows: {_named([*turned.values()])}"
    one = [part for match in result.special if len(match.own) > 1 for part in match.stored]
    if one:
        yield f"several in one: {_named(one)}"
    several = [part for match in result.special if len(match.stored) > 1 for part in match.own]
    if several:
        yield f"in several: {_named(several)}"


def _named(parts: Sequence[Part]) -> str:
    """Their names, those alike as one."""
    return ", ".join(f"{name}{_times(group)}" if len(group) > 1 else name for name, group in _alike(parts).items())
