"""What came of a module's operations: the layers that they are, patterns that they spell out, and what isn't known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from archcalc.data import dataclass

SHOWN = 10
"""Operations that aren't known, of which a summary shows the lines."""
LINES = 3
"""Lines that are shown of one operation."""


class NotLifted(NamedTuple):
    """An operation that became an opaque layer: by PyTorch's name, why, at which file:line, and in which submodule."""

    operator: str
    reason: str
    line: str
    path: str


@dataclass(frozen=True)
class Summary:
    """What came of a module's operations.

    `patterns`: how often several operations are one, by its name; `unknown`: those that became opaque layers;
    `decided`: the lines, as file:line, that chose the way by the values of the example.
    """

    operations: int
    layers: int
    patterns: Mapping[str, int]
    unknown: Sequence[NotLifted]
    decided: Sequence[str] = ()

    def lines(self) -> Iterator[str]:
        """It in a few lines."""
        yield f"{_number(self.layers, 'layer')} of {_number(self.operations, 'operation')}"
        if self.patterns:
            yield f"recognised: {', '.join(f'{name} ({times}x)' for name, times in self.patterns.items())}"
        if self.decided:
            yield f"the way is the example's, whose values decided at {', '.join(map(_short, self.decided))}"
        if not self.unknown:
            return
        several = len(self.unknown) > 1
        yield f"{_number(len(self.unknown), 'operation')} {'are' if several else 'is'} not known, and opaque:"
        places: dict[str, dict[str, None]] = {}
        for each in self.unknown:
            places.setdefault(each.operator.partition(".")[0], {})[_short(each.line) or each.path or "?"] = None
        times = Counter(each.operator.partition(".")[0] for each in self.unknown)
        for name, at in list(places.items())[:SHOWN]:
            more = f" and {len(at) - LINES} more lines" if len(at) > LINES else ""
            count = f" ({times[name]}x)" if times[name] > 1 else ""
            yield f"  {name}{count}: {', '.join(list(at)[:LINES])}{more}"
        if len(places) > SHOWN:
            yield f"  and {len(places) - SHOWN} others"


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _short(line: str) -> str:
    """A file and line as seen from the folder that the user is in."""
    file, _, number = line.rpartition(":")
    path = Path(file)
    return f"{path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}:{number}" if file else ""
