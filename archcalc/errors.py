"""What can be wrong with an architecture, and how that is reported: what, where, and how to mend it."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from archcalc.data import dataclass
from archcalc.text import lines as harmless
from archcalc.text import visible

MAX_MESSAGE = 600
MAX_KNOWN = 500
MAX_PATHS, MAX_MEANT = 10_000, 3
"""Of how many paths the words are compared, and how many are offered."""
_WORDS = re.compile(r"[a-z]+|[0-9]+")
_COMMAND, _FLAG = re.compile(r"\barchcalc ([a-z]+(?:-[a-z]+)*)"), re.compile(r"(?<!\w)--(square|prune|changes)\b")
_OPTION = re.compile(r"(?<!\w)--([a-z]+(?:-[a-z]+)*)(?: ([^\s;,]+(?:,[^\s;,]+)*))?")
"""In a hint, an option and what it's given, if that follows."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a spec file; lines and columns count from 1."""

    file: str
    line: int
    column: int
    fixed: bool = False
    """The text does not stand here letter by letter (escapes, several lines): only its start can be said."""

    def moved(self, columns: int) -> Mark:
        """The place `columns` further right on the same line, as far as that can be said."""
        return self if self.fixed else Mark(self.file, self.line, self.column + columns)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One error or warning: `code` is E… or W…, `trace` says through which loops, blocks and variants it came."""

    code: str
    message: str
    mark: Mark | None = None
    hint: str = ""
    details: tuple[str, ...] = ()
    trace: str = ""
    source_line: str = ""

    @property
    def severity(self) -> str:
        """`error` or `warning`."""
        return "warning" if self.code.startswith("W") else "error"

    def __str__(self) -> str:
        """The whole message, as compilers print one."""
        where = f"{self.mark}: " if self.mark else ""
        lines = [f"{where}{self.code} {self.message}"]
        if self.source_line and self.mark:
            lines.append(f"    {self.source_line}")
            lines.append("    " + " " * (self.mark.column - 1) + "^")
        lines.extend(f"    {detail}" for detail in self.details)
        if self.trace:
            lines.append(f"    in {self.trace}")
        if self.hint:
            lines.append(f"    hint: {self.hint}")
        return harmless("\n".join(lines))


class ArchcalcError(Exception):
    """Anything archcalc refuses; every other exception is a bug in archcalc."""


class UsageError(ArchcalcError):
    """The question is wrong, not the spec: an unknown name, an argument that can't be read."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        return self.told(in_python(self.hint))

    def told(self, hint: str) -> str:
        """What is wrong, and the hint as whoever asked spells it: as it stands for a command, else as `in_python`."""
        return harmless(f"{self.args[0]}\n    hint: {hint}" if hint else str(self.args[0]))


class UnknownNameError(UsageError, KeyError):
    """Something is looked up under a name that it doesn't have; a KeyError too, as of any mapping."""


class SpecError(ArchcalcError):
    """A spec with errors: `diagnostics` holds all of them, in the order of the file."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        super().__init__(diagnostics)
        self.diagnostics = tuple(diagnostics)

    @property
    def first(self) -> Diagnostic:
        """The first that is an error, not a warning."""
        return next(each for each in self.diagnostics if each.severity == "error")

    def __str__(self) -> str:
        return "\n".join(map(str, self.diagnostics))


class LocalError(ArchcalcError):
    """A fact without its place: whoever knows the place (a chain's step, a node) turns it into a diagnostic."""

    default_code = "E000"

    def __init__(self, message: str, *, code: str = "", hint: str = "", details: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message, self.code, self.hint, self.details = message, code or self.default_code, hint, details


class ExpressionError(LocalError):
    """An expression has no value: an unknown name, a fraction where an integer is needed, a number too large."""

    default_code = "E088"


class ShapeError(LocalError):
    """A layer can't work on a volume of this shape."""

    default_code = "E200"


class VerificationError(ArchcalcError):
    """What archcalc computed differs from what was recorded, published or executed."""


def reason_of(error: SpecError | UsageError) -> str:
    """Why something can't be built, in one line."""
    if isinstance(error, SpecError):
        return f"{error.first.code} {error.first.message}"
    return str(error.args[0])


def in_python(hint: str) -> str:
    """A hint, which names options of commands, for callers from Python, where parameters are called as options are.

    >>> in_python("a range helps: --set k=1..20; or --symbolic H,W, or --square")
    "a range helps: hparams={'k': '1..20'}; or symbolic='H,W', or square=True"
    """
    hint = _FLAG.sub(r"\1=True", _COMMAND.sub(lambda found: f"archcalc.{found[1].replace('-', '_')}", hint))
    return _OPTION.sub(lambda found: _parameter(*found.groups()), hint)


_by_command: ContextVar[bool] = ContextVar("_by_command", default=False)


@contextmanager
def by_command() -> Iterator[None]:
    """What is asked inside is asked by a command, whose options are spelled as such."""
    token = _by_command.set(True)
    try:
        yield
    finally:
        _by_command.reset(token)


def spelled(text: str) -> str:
    """A text of an answer that names options, as whoever asks spells them: a command, or else Python.

    >>> spelled("the rest: --format plain")
    "the rest: to('plain')"
    """
    return text if _by_command.get() else in_python(text)


def _parameter(option: str, value: str | None) -> str:
    name = {"set": "hparams", "input": "sizes", "from": "from_"}.get(option, option.replace("-", "_"))
    if value is None:
        return name
    if "=" not in value:
        return f"to({value!r})" if option == "format" else f"{name}={value!r}"
    pairs = [part.rpartition("=")[::2] for part in ([value] if option == "set" else value.split(","))]
    values = {key.replace("=", "_"): int(each) if each.isdecimal() else each for key, each in pairs}
    return f"{name}={values}"


def printable(text: str) -> str:
    """A text that a terminal shows as it is: control characters as escapes, and not endless."""
    return visible(text if len(text) <= MAX_MESSAGE else f"{text[: MAX_MESSAGE - 1]}…")


def suggestion(word: str, known: Iterable[str]) -> str:
    """A hint: the known word that `word` was probably meant to be, in any case, else what there is to choose from.

    >>> suggestion("VGG16", ["A", "vgg16", "vgg19"])
    "did you mean 'vgg16'?"
    >>> suggestion("pool5", ["conv4/pool", "conv5/pool", "conv5/1/relu"])
    "did you mean 'conv5/pool'?"
    """
    word, known = str(word), sorted(set(known))
    if found := _paths_with(word, known):
        return f"did you mean {' or '.join(repr(name) for name in found)}?"
    if len(known) > MAX_KNOWN:  # comparing with all would take seconds
        known = [name for name in known if name[:1].lower() == word[:1].lower()][:MAX_KNOWN]
    lowered = {name.lower(): name for name in reversed(known)}
    close = difflib.get_close_matches(word[:60].lower(), lowered, n=3, cutoff=0.6)
    if close:
        swapped = [name for name in close if sorted(name) == sorted(word.lower())]
        return f"did you mean '{lowered[(swapped or close)[0]]}'?"
    if not known:
        return ""
    return "known: " + ", ".join(known[:12]) + (", …" if len(known) > 12 else "")


def _paths_with(word: str, known: Sequence[str]) -> list[str]:
    """Of paths, such as conv5/pool, those few that consist of the same words and numbers, or have them all: pool5."""
    meant = _WORDS.findall(word[:60].lower())
    if not any(map(str.isalpha, meant)) or not any("/" in name for name in known[:MAX_PATHS]):
        return []
    parts = {name: _WORDS.findall(name.lower()) for name in known[:MAX_PATHS]}
    wanted = Counter(meant)
    found = [name for name in parts if parts[name] == meant] or [
        name for name in parts if wanted <= Counter(parts[name])
    ]
    outer = [name for name in found if not any(name.startswith(f"{other}/") for other in found[: MAX_MEANT + 1])]
    return outer if len(outer) <= MAX_MEANT else []
