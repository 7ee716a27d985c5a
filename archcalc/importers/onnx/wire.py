"""An ONNX file without its large tensors: it's walked field by field, and what they hold stays where it is.

ONNX is a protocol buffer: fields, each with a number, a wire type and perhaps a length. Values of more than a few bytes
are left out of the copy that is made, in which tensors say instead, as ONNX does for data in other files, where the
values lie. So a file of two gigabytes costs what its graph does.
Source: protobuf.dev, "Encoding"; field numbers: onnx.proto3 of ONNX's repository.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from archcalc import files
from archcalc.errors import UsageError

HELD = 1024
"""Bytes of a tensor's values that are copied: more than shapes and numbers have."""
MOST = 64_000_000
"""Bytes of a graph without its tensors; that of a language model has some millions."""
DEEPEST = 16
"""Graphs in nodes of graphs."""
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
TENSOR_DATA = (4, 5, 7, 9, 10, 11)
"""Fields of a tensor with values: of floats, of small integers, of integers, raw, of doubles, of unsigned integers."""
AS_RAW = (4, 9, 10)
"""Those of them that hold the values' bytes one after the other."""
EXTERNAL = {
    "place": b"\x6a", "key": b"\x0a", "value": b"\x12", "is_external": b"\x70\x01",
}  # fmt: skip
"""Tags of a tensor's `external_data`, and of its key and value; and its field `data_location` with the value 1."""
INSIDE: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 8: "opset", 25: "function"},
    "graph": {1: "node", 5: "tensor", 11: "value", 12: "value", 13: "value"},
    "function": {7: "node", 9: "opset"},
    "node": {5: "attribute", 9: "pair"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph"},
    "tensor": {13: "pair"},
    "value": {2: "type", 4: "pair"},
    "type": {1: "tensor type"},
    "tensor type": {2: "shape"},
    "shape": {1: "size"},
}
"""Which fields of a message lead to tensors, or to texts that are read: each with the message in it."""
TEXTS: Mapping[str, tuple[int, ...]] = {
    "graph": (2,), "opset": (1,), "node": (1, 2, 3, 4, 7), "attribute": (1,), "tensor": (8,), "value": (1,),
    "pair": (1, 2), "size": (2,),
}  # fmt: skip
"""Fields that are texts."""


def without_tensors(path: Path) -> bytes:
    """The bytes of an ONNX file without its large tensors, which say where in it their values lie.

    Raises: UsageError: the file can't be read, is no protocol buffer, or is cut off.
    """
    with files.opened(path) as (file, size):
        return _Walk(file, str(path)).message("model", 0, size, 0)


class _Walk:
    """Walks a file's messages."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.file, self.name, self.copied = file, name, 0

    def message(self, kind: str, start: int, end: int, depth: int) -> bytes:
        """A message without large tensors."""
        if depth > DEEPEST * 3:
            raise UsageError(f"'{self.name}' isn't an ONNX file that can be read: it is nested too deep")
        found, at, inside = bytearray(), start, INSIDE.get(kind, {})
        while at < end:
            head, number, wire, value = self._field(at, end)
            stop = at + len(head) + (value if wire == BYTES else 0)
            if wire == BYTES and stop > end:
                self._refuse(at, stop, end, depth)
            if wire == BYTES and number in inside:
                body = self.message(inside[number], at + len(head), stop, depth + 1)
                found += varint(number << 3 | BYTES) + varint(len(body)) + body
            elif wire == BYTES and kind == "tensor" and number in TENSOR_DATA and value > HELD:
                found += _elsewhere(at + len(head), value) if number in AS_RAW else EXTERNAL["is_external"]
            else:
                body = self._bytes(at + len(head), stop)
                if wire == BYTES and number in TEXTS.get(kind, ()):
                    self._check_text(body, at)
                found += head + body
            at = stop
        return bytes(found)

    def _field(self, at: int, end: int) -> tuple[bytes, int, int, int]:
        """A field's bytes up to its content, its number, its wire type, and its value or its length."""
        self.file.seek(at)
        ahead = self.file.read(min(20, end - at))
        tag, used = self._read_varint(ahead, 0, at)
        number, wire = tag >> 3, tag & 7
        if wire in (FIXED64, FIXED32):
            used += 8 if wire == FIXED64 else 4
            value = 0
        elif wire in (VARINT, BYTES):
            value, used = self._read_varint(ahead, used, at)
        if wire not in (VARINT, FIXED64, BYTES, FIXED32) or not number or used > end - at:
            raise UsageError(f"'{self.name}' isn't an ONNX file", f"byte {at:,} begins no field")
        return ahead[:used], number, wire, value

    def _read_varint(self, data: bytes, at: int, place: int) -> tuple[int, int]:
        value = 0
        for number, byte in enumerate(data[at : at + 10]):
            value |= (byte & 0x7F) << (7 * number)
            if byte < 0x80:
                return value, at + number + 1
        raise UsageError(f"'{self.name}' isn't an ONNX file", f"byte {place:,} begins no field")

    def _bytes(self, start: int, stop: int) -> bytes:
        self.copied += stop - start
        if self.copied > MOST:
            raise UsageError(f"the graph of '{self.name}' has more than {MOST:,} bytes without its tensors")
        self.file.seek(start)
        return self.file.read(stop - start)

    def _check_text(self, body: bytes, at: int) -> None:
        try:
            body.decode()
        except UnicodeDecodeError:
            raise UsageError(f"'{self.name}' isn't an ONNX file", f"the text at byte {at:,} isn't UTF-8") from None

    def _refuse(self, at: int, stop: int, end: int, depth: int) -> None:
        hint = f"the field that begins at byte {at:,} would end at {stop:,}, and there are {end:,}"
        raise UsageError(f"'{self.name}' is cut off, or isn't an ONNX file", hint if not depth else hint + " around it")


def _elsewhere(start: int, size: int) -> bytes:
    """The fields of a tensor whose values lie elsewhere in its file."""
    found = bytearray(EXTERNAL["is_external"])
    for key, value in (("location", ""), ("offset", str(start)), ("length", str(size))):
        pair = b"".join(
            EXTERNAL[tag] + varint(len(text)) + text.encode() for tag, text in (("key", key), ("value", value))
        )
        found += EXTERNAL["place"] + varint(len(pair)) + pair
    return bytes(found)


def varint(value: int) -> bytes:
    """A number as protocol buffers have it: seven bits in a byte, the lowest first."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])
