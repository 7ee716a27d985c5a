"""The header of a safetensors file: eight bytes that say how long it is, and JSON with each tensor's type and place.

Source: https://github.com/huggingface/safetensors, "Format" in its README.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from archcalc.files import opened, reason
from archcalc.importers.checkpoints.tensors import (
    MAX_NAME,
    MAX_TENSORS,
    Tensor,
    checked_shape,
    refuse_overlaps,
    wrong,
)

MAX_HEADER = 100_000_000
"""Bytes; the limit of the format's own library."""
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E5M2FNUZ": 8, "F8_E4M3FNUZ": 8,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32,
    "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip
"""Of one number of each type."""
LENGTH = 8
KEYS = {"dtype", "shape", "data_offsets"}


def tensors_of(file: Path) -> tuple[list[Tensor], dict[str, str]]:
    """The tensors of a file, and its metadata.

    Raises: UsageError: it can't be read, or isn't such a file.
    """
    with opened(file) as (stream, size):
        length = int.from_bytes(stream.read(LENGTH), "little")
        if size < LENGTH:
            raise wrong(file, f"it has {size} bytes, and its header's length takes {LENGTH}")
        if length > size - LENGTH:
            raise wrong(file, f"its header would have {length:,} bytes, and it has {size:,} in all")
        if length > MAX_HEADER:
            raise wrong(file, f"its header would have {length:,} bytes, and {MAX_HEADER:,} are allowed")
        header = stream.read(length)
    if len(header) < length:
        raise wrong(file, "its header is cut off")
    fields = _fields(file, header)
    about = fields.pop("__metadata__", {})
    if not isinstance(about, dict) or not all(isinstance(value, str) for value in about.values()):
        raise wrong(file, "its metadata isn't made of texts")
    if len(fields) > MAX_TENSORS:
        raise wrong(file, f"it has {len(fields):,} tensors, and {MAX_TENSORS:,} are allowed")
    return _tensors(file, fields, size - LENGTH - length), about


def _fields(file: Path, header: bytes) -> dict[str, Any]:
    """What the header says."""
    try:
        found = json.loads(header.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_number)
    except UnicodeDecodeError:
        raise wrong(file, "its header isn't UTF-8") from None
    except RecursionError:
        raise wrong(file, "its header is nested too deep") from None
    except ValueError as error:
        raise wrong(file, f"its header is no JSON: {reason(error)}") from None
    if not isinstance(found, dict):
        raise wrong(file, "its header is no JSON object")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands there twice")
    return found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text:.20} is no number")


def _tensors(file: Path, fields: dict[str, Any], end: int) -> list[Tensor]:
    """Each tensor, with bytes of its own: one after the other, from the first to the file's last."""
    found, spans = [], []
    for name, each in fields.items():
        if not isinstance(each, dict) or each.keys() != KEYS or len(name) > MAX_NAME:
            raise wrong(file, f"{name:.100} isn't described by dtype, shape and data_offsets")
        dtype, shape, place = each["dtype"], each["shape"], each["data_offsets"]
        if not isinstance(dtype, str) or dtype not in BITS:
            raise wrong(file, f"the type of {name:.100} is {dtype!r:.60}, which isn't known")
        sizes = checked_shape(file, name, shape if isinstance(shape, list) else ["none"])
        if not (isinstance(place, list) and len(place) == 2 and all(type(at) is int and at >= 0 for at in place)):
            raise wrong(file, f"the place of {name:.100} is {place!s:.60}")
        tensor = Tensor(name, sizes, dtype, place[1] - place[0])
        if 8 * tensor.bytes != tensor.values * BITS[dtype]:
            raise wrong(file, f"{name:.100} has {tensor.bytes:,} bytes, which aren't those of {sizes} of {dtype}")
        found.append(tensor)
        spans.append((place[0], place[1], name))
    refuse_overlaps(file, spans, end)
    if (held := sum(tensor.bytes for tensor in found)) != end:
        raise wrong(file, f"its tensors have {held:,} bytes, and {end:,} follow its header")
    return found
