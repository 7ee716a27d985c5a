"""The marked tree → items: chains, lists, names and structs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from archcalc.errors import Mark
from archcalc.language.expression import Expr, Literal
from archcalc.language.grammar import parse_chain, parse_template
from archcalc.language.items import (
    CallUnit,
    Chain,
    Given,
    If,
    Item,
    Long,
    Loop,
    Merge,
    Mixture,
    Named,
    Residual,
    Restart,
    Sequence,
    Template,
)
from archcalc.language.tree import Map, Scalar, Seq, Tree
from archcalc.language.tree_reader import TreeReader
from archcalc.layers import REGISTRY

MERGES = ("add", "mul", "concat", "opaque")
MERGED_BY = ("axis", "broadcast")
"""The arguments of sums, products and concatenations, which stand beside their branches."""
MIXTURE = ("moe", "experts", "shared", "router")
"""The keys of a mixture of experts, beside which the arguments of its choice, `topk`, stand."""
STRUCTS = (*MERGES, "residual", "moe", "for", "if", "op")


class ItemReader(TreeReader):
    """Reads items; what can't be read becomes the identity, so that the rest is still checked."""

    def item(self, tree: Tree) -> Item:
        """Any item; what can't be read becomes the identity, so that the rest is still checked."""
        if isinstance(tree, Scalar):
            chain = self.parsed(lambda text: parse_chain(text, tree.mark), tree)
            return chain if chain is not None else Chain((), "", tree.mark)
        if isinstance(tree, Seq):
            return Sequence(tuple(map(self.item, tree.items)), tree.mark)
        keys = self.keys(tree)
        struct = next((key for key in STRUCTS if key in keys), None)
        if struct is not None and (
            len(keys) > 1 or not isinstance(tree.get(struct), Scalar) or struct in ("residual", "op")
        ):
            return self.struct(struct, tree)
        if len(keys) == 1:
            key, value = tree.entries[0]
            template = self.parsed(parse_template, key)
            inner = self.item(value)
            return inner if template is None else Named(template, inner, key.mark)
        items = tuple(self.item(Map((entry,), entry[0].mark)) for entry in tree.entries)
        if keys and struct is None:
            hint = "start each named item with '- '"
            self.error("E017", "several names in one item; their order would not be said", tree.mark, hint=hint)
        return Sequence(items, tree.mark)

    def struct(self, kind: str, tree: Map) -> Item:
        known = {
            "residual": ("residual", "shortcut"),
            "moe": (*MIXTURE, *REGISTRY["topk"].arguments()),
            "for": ("for", "do"),
            "if": ("if", "then", "else"),
        }.get(kind, (kind, *merged_by(kind)))
        if kind != "op":
            self.check_keys(tree, (*known, "from", "note"))
        item: Item
        if kind == "residual":
            shortcut = tree.get("shortcut")
            item = Residual(self.item(self.need(tree, kind)), self.item(shortcut) if shortcut else None, tree.mark)
        elif kind == "moe":
            item = self.mixture(tree)
        elif kind == "for":
            item = self.loop(tree)
        elif kind == "if":
            item = self.conditional(tree)
        elif kind == "op":
            item = self.long_form(tree)
        else:
            item = self.merge(kind, tree)
        path = tree.get("from")
        if path is not None and not isinstance(path, Scalar):
            self.error("E012", "'from' takes a path", path.mark)
        if isinstance(path, Scalar) and (template := self.parsed(parse_template, path)) is not None:
            return Restart(template, item, path.mark)
        return item

    def need(self, tree: Map, key: str) -> Tree:
        value = tree.get(key)
        if value is None:
            self.error("E010", f"'{key}' is missing", tree.mark)
            return Seq((), tree.mark)
        return value

    def merge(self, kind: str, tree: Map) -> Merge:
        branches: list[tuple[str, Item]] = []
        each: Loop | None = None
        value = self.need(tree, kind)
        if isinstance(value, Map) and {"for", "do"} & {*self.keys(value)}:
            self.check_keys(value, ("for", "do", "note"))
            each = self.loop(value)
        elif isinstance(value, Map):
            branches = [(key.text, self.item(entry)) for key, entry in value.entries]
        elif isinstance(value, Seq):
            branches = [_branch(self.item(entry)) for entry in value.items]
        if not branches and each is None:
            self.error("E018", f"{kind} needs branches", value.mark, hint="a list, or a mapping of names")
        for name in [name for name, count in Counter(name for name, _ in branches if name).items() if count > 1]:
            self.error("E007", f"two branches are called '{name}'", value.mark)
        values = {name: found for name in merged_by(kind) if (found := tree.get(name)) is not None}
        read = {name: self.expression(found) for name, found in values.items()}
        given = tuple(Given(name, expr, 0) for name, expr in read.items() if expr is not None)
        return Merge(CallUnit(kind, given, 0), tuple(branches), tree.mark, each)

    def mixture(self, tree: Map) -> Item:
        experts = self.expression(self.need(tree, "experts"))
        expert, router, shared = (tree.get(key) for key in ("moe", "router", "shared"))
        if experts is None:
            return Sequence((), tree.mark)
        scores = CallUnit("fc", (Given("out_features", experts, 0), Given("bias", Literal(0, False), 0)), 0)
        return Mixture(
            self.item(expert) if expert is not None else Sequence((), tree.mark),
            experts,
            self.item(router) if router is not None else Long(scores, (tree.mark, tree.mark), tree.mark),
            self.call("topk", tree, tree.mark, MIXTURE),
            self.item(shared) if shared is not None else None,
            tree.mark,
        )

    def loop(self, tree: Map) -> Loop:
        return Loop(tuple(self.variables(self.need(tree, "for"))), self.item(self.need(tree, "do")), tree.mark)

    def variables(self, tree: Tree) -> Iterator[tuple[tuple[str, ...], Expr, Mark]]:
        if not isinstance(tree, Map) or not tree.entries:
            self.error(
                "E060", "'for' takes variables and their lists", tree.mark, hint="for: {i: 1..4, c: [64,128,256,512]}"
            )
            return
        for key, entry in tree.entries:
            names = tuple(key.text.replace(",", " ").split())
            ok = [self.name(Scalar(name, key.mark), "a loop variable") for name in names]
            expr = self.expression(entry)
            if all(ok) and expr is not None:
                yield names, expr, entry.mark

    def conditional(self, tree: Map) -> Item:
        condition = self.need(tree, "if")
        expr = self.expression(condition)
        other = tree.get("else")
        text = condition.text if isinstance(condition, Scalar) else ""
        then = self.item(self.need(tree, "then"))
        return If(
            expr if expr is not None else Literal(0, True),
            then,
            self.item(other) if other is not None else None,
            condition.mark,
            text,
        )

    def long_form(self, tree: Map) -> Item:
        name = tree.get("op")
        if not isinstance(name, Scalar) or not name.text.isidentifier():
            self.error("E012", "'op' takes the name of a layer kind or block", (name or tree).mark)
            return Sequence((), tree.mark)
        return self.call(name.text, tree, name.mark, ("op",))

    def call(self, name: str, tree: Map, mark: Mark, others: tuple[str, ...]) -> Long:
        """A call with the entries of a mapping as its arguments, all but `others`."""
        arguments, marks = [], []
        for key, entry in tree.entries:
            if key.text in (*others, "from", "note"):
                continue
            value: Expr | Template | None
            if isinstance(entry, Scalar) and entry.text.startswith("@"):
                value = self.parsed(parse_template, Scalar(entry.text[1:], entry.mark.moved(1)))
            else:
                value = self.expression(entry)
            if value is not None:
                arguments.append(Given(key.text, value, 0))
                marks.append(entry.mark)
        return Long(CallUnit(name, tuple(arguments), 0), tuple(marks), mark)


def merged_by(kind: str) -> tuple[str, ...]:
    """The arguments that may stand beside a merge's branches."""
    return tuple(REGISTRY[kind].arguments()) if kind == "opaque" else MERGED_BY


def _branch(item: Item) -> tuple[str, Item]:
    """A branch of a list and its name; no name, if the spec gives none."""
    return (item.name.constant, item.item) if isinstance(item, Named) and item.name.constant else ("", item)
