"""Reading claims: published figures, each with its source, for the whole graph or for a named part of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING

from archcalc.errors import suggestion
from archcalc.spec.expression import Expr, Literal, Several
from archcalc.spec.model import Claim, Hparam, Value, Variant
from archcalc.spec.tree import Map, Scalar, Seq, Tree

if TYPE_CHECKING:
    from archcalc.spec.tree_reader import TreeReader

QUANTITIES = (
    "params", "weights", "biases", "buffers", "macs", "flops", "activations", "activation_bytes", "saved_bytes",
    "peak_bytes", "neurons", "connections", "depth", "shape", "rf", "rf_stride", "rf_padding",
)  # fmt: skip
DETAILS = ("source", "tol", "at", "holds", "note", "variant")

_SUBJECT = re.compile(r"([a-z_]+)(?:\(([^()]+)\))?")


def read_claims(
    reader: TreeReader, tree: Tree | None, variants: Mapping[str, Variant], hparams: Mapping[str, Hparam]
) -> Iterator[Claim]:
    """The claims of a spec, one for each figure; what can't be read is reported."""
    for entry in tree.items if isinstance(tree, Seq) else ():
        if isinstance(entry, Map):
            yield from _read_entry(reader, entry, variants, hparams)
        else:
            reader.error("E012", "a claim is a mapping: {source: …, params: …}", entry.mark)
    if tree is not None and not isinstance(tree, Seq):
        reader.error("E012", "'claims' takes a list", tree.mark, hint="- {source: Table 2, params: 138M}")


def _read_entry(
    reader: TreeReader, entry: Map, variants: Mapping[str, Variant], hparams: Mapping[str, Hparam]
) -> Iterator[Claim]:
    source = reader.text(entry, "source")
    if not source:
        reader.error("E030", "a claim needs a 'source'", entry.mark)
    holds = reader.text(entry, "holds") or "true"
    if holds not in ("true", "false"):
        reader.error("E012", "'holds' takes true or false", entry.mark)
    note = reader.text(entry, "note")
    if holds == "false" and not note:
        reader.error("E030", "an erratum (holds: false) needs a 'note' that says why", entry.mark)
    known = _names(variants)
    one_variant = reader.text(entry, "variant")
    if one_variant and one_variant not in known:
        reader.unknown("E042", "variant", one_variant, known, entry.get("variant"))
    at = dict(reader.values(entry.get("at")))
    for name in at.keys() - hparams.keys():
        reader.error("E043", f"'at' sets '{name}', which is not a declared hparam", at[name].mark)
    tolerance = _tolerance(reader, entry.get("tol"))
    subjects = [(key, value) for key, value in entry.entries if key.text not in DETAILS]
    if not subjects:
        reader.error("E030", "a claim needs a quantity", entry.mark, hint="known: " + ", ".join(QUANTITIES))
    for key, value in subjects:
        match = _SUBJECT.fullmatch(key.text)
        if not match or match[1] not in QUANTITIES:
            reader.error("E031", f"unknown quantity '{key.text}'", key.mark, hint=suggestion(key.text, QUANTITIES))
            continue
        quantity, path = match[1], match[2] or ""
        if quantity in ("shape", "rf", "rf_stride", "rf_padding") and not path:
            reader.error("E031", f"'{quantity}' needs a path: {quantity}(conv1)", key.mark)
            continue
        for variant, expected in _expectations(reader, value, one_variant, known, quantity):
            yield Claim(source, quantity, path, variant, expected, tolerance, at, holds == "true", note, key.mark)


def _names(variants: Mapping[str, Variant]) -> dict[str, str]:
    return {name: v.name for v in variants.values() for name in (v.name, *v.aliases)}


def _expectations(
    reader: TreeReader, tree: Tree, variant: str, known: Mapping[str, str], quantity: str
) -> Iterator[tuple[str, Value]]:
    """(variant, value) pairs: one, or one for each key of a mapping."""
    if not isinstance(tree, Map):
        if (value := _expected(reader, tree, quantity)) is not None:
            yield known.get(variant, variant), value
        return
    for key, entry in tree.entries:
        if key.text not in known:
            reader.unknown("E042", "variant", key.text, known, key)
        elif (value := _expected(reader, entry, quantity)) is not None:
            yield known[key.text], value


def _expected(reader: TreeReader, tree: Tree, quantity: str) -> Value | None:
    """A claimed value; a shape's sizes may be names (`Rx84`), which the grammar's `3x3` does not allow."""
    if quantity != "shape" or not isinstance(tree, Scalar):
        return reader.value(tree)
    sizes: list[Expr] = []
    offset = 0
    for part in tree.text.split("x"):
        value = reader.value(Scalar(part, tree.mark.moved(offset)))
        if value is None:
            return None
        sizes.append(value.expr)
        offset += len(part) + 1
    return Value(Several(0, tuple(sizes), dims=True), tree.text, tree.mark)


def _tolerance(reader: TreeReader, tree: Tree | None) -> Fraction | None:
    if tree is None:
        return None
    value = reader.value(tree)
    if value is None or not isinstance(value.expr, Literal) or isinstance(value.expr.value, bool):
        reader.error("E012", "'tol' takes a share", tree.mark, hint="tol: 2%")
        return None
    return Fraction(value.expr.value)
