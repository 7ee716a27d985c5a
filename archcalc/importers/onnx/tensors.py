"""Tensors that a file holds: their sizes are in its graph, and their values are read only where a shape needs them."""

from __future__ import annotations

from math import prod
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from archcalc import files
from archcalc.errors import UsageError

if TYPE_CHECKING:
    import numpy

FLOATS = (1, 10, 11, 16, 17, 18, 19, 20, 23, 24)
"""ONNX's numbers for types of floats: of 32, 16 and 64 bits, bfloat16, and those of 8 and 4 bits."""
TEXT = 8
"""ONNX's number for texts, which have no size."""
HALVES = (21, 22, 23)
"""ONNX's numbers for integers and floats of 4 bits, two in a byte."""
LARGEST = 2**48
"""Values of one tensor: more than any has."""
READ = 64_000_000
"""Bytes of a constant that are read."""
FEW = 128
"""Values of a shape, or of what else says how an operation works."""


class Held(NamedTuple):
    """A tensor in a file: its description, whose values may lie elsewhere."""

    proto: Any
    file: Path

    def array(self, most: int | None = READ) -> numpy.ndarray[Any, Any]:
        """Its values, if they have no more bytes than `most`.

        Raises: UsageError: they can't be read.
        """
        from onnx import TensorProto, numpy_helper

        proto = self.proto
        if proto.data_location == TensorProto.EXTERNAL:
            proto = TensorProto(dims=proto.dims, data_type=proto.data_type, raw_data=self._bytes(most))
        try:
            found: numpy.ndarray[Any, Any] = numpy_helper.to_array(proto)
        except Exception as error:  # whatever a broken tensor makes it raise
            raise self._refusal(str(error).partition("\n")[0]) from None
        return found

    def _bytes(self, most: int | None) -> bytes:
        at = {pair.key: pair.value for pair in self.proto.external_data}
        where = PurePosixPath(at.get("location", ""))
        path = self.file.parent / where if where.parts else self.file
        try:
            start, length = int(at.get("offset", "0")), int(at["length"])
            if where.is_absolute() or ".." in where.parts or files.leads_out(path, self.file.parent):
                raise ValueError(f"'{where}' is outside the file's folder")
            if length < 0 or (most is not None and length > most):
                raise ValueError(f"{length:,} bytes are too many for a constant")
            with files.opened(path) as (file, size):
                if not 0 <= start <= size - length:
                    raise ValueError(f"'{path}' has {size:,} bytes, and {length:,} from {start:,} on are meant")
                file.seek(start)
                return file.read(length)
        except KeyError:
            raise self._refusal("nothing says how many bytes they are") from None
        except (ValueError, OSError) as error:
            raise self._refusal(files.reason(error)) from None

    def _refusal(self, reason: str) -> UsageError:
        return UsageError(f"'{self.file}': the values of '{self.proto.name:.80}' can't be read: {reason}")


def sizes_of(proto: Any, file: Path) -> tuple[int, ...]:
    """The sizes of a tensor in a file.

    Raises: UsageError: they are none, or the file holds fewer or more bytes than they need.
    """
    sizes = tuple(proto.dims)
    if any(size < 0 for size in sizes) or prod(sizes) > LARGEST:
        raise UsageError(f"'{file}': '{proto.name:.80}' has the sizes {list(sizes)[:8]}, which no tensor has")
    at = {pair.key: pair.value for pair in proto.external_data}
    length = at.get("length", "") if not at.get("location") else ""
    held = len(proto.raw_data) or (int(length) if length.isdecimal() and len(length) < 20 else 0)
    needed = -(-prod(sizes) * _bits(proto.data_type) // 8)
    if held and needed and held != needed:
        raise UsageError(f"'{file}': '{proto.name:.80}' holds {held:,} bytes, and {list(sizes)} need {needed:,}")
    return sizes


def _bits(kind: int) -> int:
    """Bits of a value of one of ONNX's types; 0 if that isn't known."""
    from onnx import helper

    if kind in HALVES:
        return 4
    try:
        return 0 if kind == TEXT else 8 * int(helper.tensor_dtype_to_np_dtype(kind).itemsize)
    except (KeyError, ValueError, TypeError):
        return 0


class Value(NamedTuple):
    """What a name in a graph stands for: its type and sizes.

    `fixed` is what depends on nothing that enters, nor on what may be learned; `held` or `values` have its values. A
    `stored` tensor is one of the file's, by its name.
    """

    element: int
    shape: tuple[int, ...]
    fixed: bool = False
    held: Held | None = None
    values: Any = None
    stored: str = ""

    def array(self, most: int | None = READ) -> numpy.ndarray[Any, Any] | None:
        """The values, if they are known, and have no more bytes than `most` in a file."""
        if self.values is not None:
            return self.values  # type: ignore[no-any-return]
        return self.held.array(most) if self.held is not None else None

    @property
    def is_small(self) -> bool:
        """Whether it's no more than a shape or a number."""
        return prod(self.shape) <= FEW
