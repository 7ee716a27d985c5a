"""The chain grammar: scalars of a spec, parsed to `Chain`, `Expr` and `Template`."""

from __future__ import annotations

import re

from archcalc.errors import Mark
from archcalc.language.expression import Expr
from archcalc.language.items import CallUnit, Chain, FromUnit, Given, GroupUnit, Step, Template
from archcalc.language.parser import ExpressionParser, GrammarError, clip

_BRACES = r"\{[^{}]*\}|<[^<>]*>"
_PATH = re.compile(rf"(?:[\w./+]|-(?!>)|{_BRACES}){{1,400}}")
_HEADER = re.compile(r"([A-Za-z_]\w*)\s*\((.*)\)\s*", re.DOTALL)
_KEYWORD_ARGUMENT = re.compile(r"([A-Za-z_]\w*)=(?!=)")


def parse_chain(text: str, mark: Mark) -> Chain:
    """Parse `conv 64 3x3 s=2 -> bn -> relu`; an empty text is the identity."""
    parser = ChainParser(text)
    if not text.strip():
        return Chain((), text, mark)
    chain = parser.chain(mark)
    parser.end()
    return chain


def parse_expression(text: str) -> Expr:
    """Parse an expression that fills the whole text."""
    parser = ExpressionParser(text)
    expr = parser.expression(tight=False)
    parser.end()
    return expr


def parse_template(text: str) -> Template:
    """Parse a name or path with expressions in braces."""
    parser = ChainParser(text)
    template = parser.path()
    parser.end()
    return template


def parse_header(text: str) -> tuple[str, tuple[tuple[str, Expr | None], ...]]:
    """Parse a block's header: `cr(c, k, s=1)` gives its name and its formals with their defaults."""
    match = _HEADER.fullmatch(text)
    if not match:
        raise GrammarError(f"'{clip(text)}' is not a block header", 0, hint="write name(formal, formal=default)")
    parser = ChainParser(text)
    parser.position = match.start(2)
    formals: list[tuple[str, Expr | None]] = []
    while not parser.take(")"):
        if formals and not parser.take(","):
            raise parser.unexpected("',' or ')'")
        name = parser.name()
        formals.append((name, parser.expression(tight=False) if parser.take("=") else None))
    parser.end()
    return match[1], tuple(formals)


class ChainParser(ExpressionParser):
    """Chains, calls and paths."""

    def chain(self, mark: Mark) -> Chain:
        steps = [self.step(mark)]
        while self.take("->"):
            steps.append(self.step(mark))
        return Chain(tuple(steps), self.text, mark)

    def step(self, mark: Mark) -> Step:
        unit = self.unit(mark)
        if not self.take("if"):
            return Step(unit, None)
        start = self.position
        condition = self.expression(tight=False)
        text = self.text[start : self.position].strip()
        if not self.take("else"):
            return Step(unit, condition, text)
        self.nest()
        other = self.step(mark)
        self.nesting -= 1
        return Step(unit, condition, text, other)

    def unit(self, mark: Mark) -> CallUnit | FromUnit | GroupUnit:
        self.skip_space()
        offset = self.position
        if self.take("("):
            self.nest()
            chain = self.chain(mark)
            if not self.take(")"):
                raise self.unexpected("')'")
            self.nesting -= 1
            count = self.expression(tight=True) if self.take("*") else None
            return GroupUnit(chain, count, offset)
        if self.take("from"):
            return FromUnit(self.path(), offset)
        name = self.name()
        if self.text[self.position : self.position + 1] == "(":
            self.matching_bracket()
        arguments = []
        while self.peek() not in ("", "->", ")", "if", "else"):
            if not self.text[self.position - 1].isspace():
                raise self.unexpected("a space")
            arguments.append(self.argument())
        return CallUnit(name, tuple(arguments), offset)

    def matching_bracket(self) -> None:
        """Refuse `conv(64)`, and say what is missing from what a YAML list left of `conv(64, 3)`."""
        if ")" not in self.text[self.position :]:
            self.position = len(self.text)
            raise self.unexpected("')'")
        hint = "arguments follow the name after a space: conv 64 3x3"
        raise GrammarError("expected a space, found '('", self.position, hint=hint)

    def argument(self) -> Given:
        offset = self.position
        match = _KEYWORD_ARGUMENT.match(self.text, offset)
        name = ""
        if match:
            name, self.position = match[1], match.end()
        if self.text[self.position : self.position + 1] == "@":
            self.position += 1
            return Given(name, self.path(), offset)
        if match and self.text[self.position : self.position + 1].isspace():
            raise GrammarError(f"a value must follow '{name}=' without a space", self.position)
        return Given(name, self.expression(tight=True), offset)

    def path(self) -> Template:
        self.skip_space()
        offset = self.position
        match = _PATH.match(self.text, offset)
        if not match:
            raise self.unexpected("a path")
        self.position = match.end()
        parts: list[str | Expr] = []
        start = offset
        for piece in re.split(rf"({_BRACES})", match[0]):
            if piece[:1] in ("{", "<"):
                inner = ExpressionParser(self.text[: start + len(piece) - 1])
                inner.position = start + 1
                parts.append(inner.expression(tight=False))
                inner.end()
            elif piece:
                parts.append(piece)
            start += len(piece)
        return Template(tuple(parts), offset)
