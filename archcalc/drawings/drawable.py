"""What every picture can do: show itself in a notebook, and become a file."""

from __future__ import annotations

from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar

from archcalc import files
from archcalc.errors import UsageError


class Drawable:
    """A picture; it's drawn when it's shown or written."""

    formats: ClassVar[tuple[str, ...]] = ("svg", "pdf", "png")

    def _content(self, form: str) -> bytes:
        """The picture in one of the formats."""
        raise NotImplementedError

    @cached_property
    def svg(self) -> str:
        """The picture as SVG."""
        return self.to("svg").decode()

    def to(self, form: str) -> bytes:
        """The picture as a file's content, in one of its `formats`.

        Raises: UsageError: the format is unknown, there is too much to draw, or a font is missing.

        >>> import archcalc
        >>> archcalc.draw("lenet5").to("dot").decode().splitlines()[0]
        'digraph lenet5 {'
        """
        if form not in self.formats:
            raise UsageError(f"can't draw '{form}'", "known: " + ", ".join(self.formats))
        return self._content(form)

    def save(self, path: str | PathLike[str], form: str = "") -> None:
        """Write the picture to a file, in a format or in that of the file's suffix; without one, SVG.

        Raises: UsageError: the format is unknown, there is too much to draw, or the file can't be written.
        """
        file = Path(path)
        files.write_bytes(file, self.to(form or file.suffix[1:].lower() or "svg"))

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """What a notebook shows."""
        return {"text/plain": repr(self), "image/svg+xml": self.svg}
