"""YAML text → a tree of scalars, sequences and maps, each with its place; nothing is ever constructed or resolved.

PyYAML's events are read one by one, so that the caps below hold before any memory is spent. Scalars stay text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

from archcalc.data import dataclass
from archcalc.errors import Diagnostic, Mark, SpecError, printable
from archcalc.files import read_bytes, reason

MAX_BYTES = 1_000_000
MAX_DEPTH = 40
MAX_NODES = 50_000
MAX_DIAGNOSTICS = 100
OTHER_LINES = 8
"""Of an error that is met at several places, so many are listed."""
ONE_CAUSE = ("E071", "E080", "E090")
"""Unknown names: one that is met at several places is one error."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A piece of text; `in_flow` says whether it stands inside [ ] or { }, where a comma ends it."""

    text: str
    mark: Mark
    in_flow: bool = False


@dataclass(frozen=True, slots=True)
class Seq:
    """A list."""

    items: tuple[Tree, ...]
    mark: Mark


@dataclass(frozen=True, slots=True)
class Map:
    """A mapping; its keys are scalars, in the order of the file, each once."""

    entries: tuple[tuple[Scalar, Tree], ...]
    mark: Mark

    def get(self, key: str) -> Tree | None:
        """The value under `key`, or None."""
        return next((value for name, value in self.entries if name.text == key), None)


Tree: TypeAlias = "Scalar | Seq | Map"


@dataclass(frozen=True)
class Source:
    """A spec's text, and where it came from."""

    file: str
    text: str
    folder: Path | None = None

    @property
    def start(self) -> Mark:
        """The text's first place."""
        return Mark(self.file, 1, 1)

    @cached_property
    def lines(self) -> list[str]:
        """The text, line by line."""
        return self.text.splitlines()

    def line(self, mark: Mark) -> str:
        """The line of text at `mark`; nothing if it's too long to show."""
        line = self.lines[mark.line - 1] if 0 < mark.line <= len(self.lines) else ""
        return line if len(line) <= 160 else ""


class Diagnostics:
    """What has been found wrong so far, in the order of finding."""

    def __init__(self) -> None:
        self.found: list[Diagnostic] = []
        self._told: set[tuple[str, str, Mark]] = set()
        self._causes: dict[tuple[str, str, str], list[Mark]] = {}
        self._warnings = 0
        self._again = 0

    def report(self, source: Source, code: str, message: str, mark: Mark, **more: Any) -> None:
        """Add an error or warning; the same one at the same place is reported once, an unknown name once in all.

        Raises: SpecError: there are `MAX_DIAGNOSTICS` errors by now; nobody reads on.
        """
        warning = code.startswith("W")
        if (code, message, mark) in self._told or (warning and self._warnings >= MAX_DIAGNOSTICS):
            return
        self._told.add((code, message, mark))
        if code in ONE_CAUSE:
            places = self._causes.setdefault((code, printable(message), mark.file), [])
            places.append(mark)
            if len(places) > 1:
                self._again += 1
                self._stop_after_many()
                return
        self._warnings += warning
        more["hint"] = printable(more.get("hint", ""))
        line = printable(source.line(mark))
        self.found.append(Diagnostic(code, printable(message), mark, source_line=line, **more))
        self._stop_after_many()

    def _stop_after_many(self) -> None:
        if len(self.found) - self._warnings + self._again >= MAX_DIAGNOSTICS:
            raise SpecError([*self.sorted(), Diagnostic("E001", f"stopped after {MAX_DIAGNOSTICS} errors")])

    def add(self, known: Iterable[Diagnostic]) -> None:
        """Take over what was found before."""
        self.found.extend(known)

    def sorted(self) -> list[Diagnostic]:
        """In the order of the file."""
        found = [self._with_other_places(each) for each in self.found]
        return sorted(found, key=lambda d: (d.mark.file, d.mark.line, d.mark.column) if d.mark else ("", 0, 0))

    def _with_other_places(self, found: Diagnostic) -> Diagnostic:
        """An error with the other lines at which its cause was met."""
        places = self._causes.get((found.code, found.message, found.mark.file), []) if found.mark else []
        lines = [str(line) for line in sorted({mark.line for mark in places if mark != found.mark})]
        if not lines:
            return found
        shown = lines if len(lines) <= OTHER_LINES else [*lines[:OTHER_LINES], "…"]
        return replace(found, details=(*found.details, f"also at line {', '.join(shown)}"))

    @property
    def failed(self) -> bool:
        """Whether there is an error among them."""
        return any(found.severity == "error" for found in self.found)


def read_source(path: Path) -> Source:
    """Read a spec's text from a regular file.

    Raises: SpecError: the file is missing, not a regular file, too large, or no UTF-8 text.
    """
    start = Mark(str(path), 1, 1)

    def refuse(code: str, message: str, hint: str = "") -> SpecError:
        return SpecError([Diagnostic(code, message, start, hint=hint)])

    try:
        data = read_bytes(path, MAX_BYTES)
    except (OSError, ValueError) as error:
        why = reason(error)
        if why.startswith("it is "):
            raise refuse("E002", f"'{path}' {why[3:]}", "name a spec file, NAME.yaml") from None
        raise refuse("E002", f"can't read '{path}': {why}") from None
    if len(data) > MAX_BYTES:
        raise refuse("E001", f"the file is larger than {MAX_BYTES:,} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        where = Mark(str(path), line, column)
        raise SpecError([Diagnostic("E002", f"invalid UTF-8: byte 0x{data[error.start]:02x}", where)]) from None
    return Source(str(path), text, path.parent)


def parse_tree(source: Source, diagnostics: Diagnostics) -> Tree:
    """Parse the one YAML document in `source`; duplicate keys are reported, the first one counts.

    Raises: SpecError: broken YAML, an alias, a tag, a second document, or a cap exceeded.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    events: Iterator[Any] = yaml.parse(source.text, Loader=loader)
    try:
        return _Composer(source, diagnostics, events).document()
    except yaml.MarkedYAMLError as error:
        place = error.problem_mark or error.context_mark
        mark = Mark(source.file, place.line + 1, place.column + 1) if place else source.start
        problem = (error.problem or "can't be read").splitlines()[0]
        raise _refusal(source, "E002", f"broken YAML: {problem}", mark, hint=_yaml_hint(problem)) from None
    except yaml.YAMLError as error:
        raise _refusal(
            source, "E002", f"not YAML text: {str(error).splitlines()[0]}", Mark(source.file, 1, 1)
        ) from None


def _refusal(source: Source, code: str, message: str, mark: Mark, hint: str = "") -> SpecError:
    """An error after which a text can't be read any further."""
    return SpecError([Diagnostic(code, printable(message), mark, hint=hint, source_line=printable(source.line(mark)))])


def _text_mark(event: Any, mark: Mark) -> Mark:
    """Where a scalar's text starts; fixed, unless the text stands in the file as it is."""
    quotes = 1 if event.style in ("'", '"') else 0
    first, last = event.start_mark, event.end_mark
    verbatim = first.line == last.line and last.column - first.column == len(event.value) + 2 * quotes
    return mark.moved(quotes) if verbatim else replace(mark, fixed=True)


def _yaml_hint(problem: str) -> str:
    if "mapping values are not allowed" in problem:
        return "': ' inside a value needs quotes, or the value its own line"
    if "cannot start any token" in problem:
        return "indent with spaces, not tabs; quote a text that starts with >, @, ` or %"
    if "comment or" in problem and "line break" in problem:
        return "quote a text that starts with > or |: '>= 5M'"
    if "expected ',' or" in problem:
        return "inside [ ] or { } a '{', '[' or ']' ends the item: write names as d<i>, or the list with '- '"
    return ""


class _Composer:
    """Builds the tree from the events, counting depth and nodes."""

    def __init__(self, source: Source, diagnostics: Diagnostics, events: Iterator[Any]) -> None:
        self.source, self.diagnostics, self.events = source, diagnostics, events
        self.nodes = self.depth = self.flow_depth = 0

    def next(self) -> tuple[str, Any, Mark]:
        event = next(self.events)
        start = event.start_mark
        mark = Mark(self.source.file, start.line + 1, start.column + 1)
        name = type(event).__name__.removesuffix("Event")
        if name == "Alias" or getattr(event, "anchor", None):
            raise _refusal(
                self.source, "E003", "YAML aliases and anchors are not allowed", mark, hint="use hparams or blocks"
            )
        tag = getattr(event, "tag", None)
        if tag is not None and tag != "!":
            raise _refusal(self.source, "E004", f"YAML tag '{str(tag)[:80]}' is not allowed", mark)
        return name, event, mark

    def document(self) -> Tree:
        tree: Tree | None = None
        while True:
            name, event, mark = self.next()
            if name == "StreamEnd":
                if tree is None:
                    raise _refusal(
                        self.source, "E002", "the file is empty", mark, hint="a spec starts with 'archcalc: 1'"
                    )
                return tree
            if name in ("StreamStart", "DocumentEnd"):
                continue
            if name == "DocumentStart":
                if tree is not None:
                    raise _refusal(self.source, "E005", "a second YAML document is not allowed", mark)
                continue
            tree = self.node(name, event, mark)

    def node(self, name: str, event: Any, mark: Mark) -> Tree:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise _refusal(self.source, "E001", f"more than {MAX_NODES:,} YAML nodes", mark)
        if name == "Scalar":
            return Scalar(event.value, _text_mark(event, mark), self.flow_depth > 0)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _refusal(self.source, "E001", f"nested deeper than {MAX_DEPTH} levels", mark)
        self.flow_depth += bool(event.flow_style)
        tree: Tree = self.sequence(mark) if name == "SequenceStart" else self.mapping(mark)
        self.flow_depth -= bool(event.flow_style)
        self.depth -= 1
        return tree

    def sequence(self, mark: Mark) -> Seq:
        items: list[Tree] = []
        while True:
            name, event, place = self.next()
            if name == "SequenceEnd":
                return Seq(tuple(items), mark)
            items.append(self.node(name, event, place))

    def mapping(self, mark: Mark) -> Map:
        entries: dict[str, tuple[Scalar, Tree]] = {}
        while True:
            name, event, place = self.next()
            if name == "MappingEnd":
                return Map(tuple(entries.values()), mark)
            key = self.node(name, event, place)
            if not isinstance(key, Scalar):
                hint = "quote a key with { } or [ ] in it, or give it its own line"
                raise _refusal(self.source, "E006", "a key must be plain text", place, hint=hint)
            value = self.node(*self.next())
            if key.text in entries:
                first = entries[key.text][0].mark
                message = f"duplicate key '{key.text}'"
                self.diagnostics.report(
                    self.source, "E007", message, key.mark, details=(f"first defined at line {first.line}",)
                )
            else:
                entries[key.text] = (key, value)
