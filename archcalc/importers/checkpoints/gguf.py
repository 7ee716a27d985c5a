"""The header of a GGUF file: metadata by key, then each tensor's name, dimensions, type and place.

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; bytes of blocks: GGML_QUANT_SIZES of llama.cpp's
gguf-py.
"""

from __future__ import annotations

import struct
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from archcalc.files import opened
from archcalc.importers.checkpoints.tensors import (
    MAX_NAME,
    MAX_RANK,
    MAX_TENSORS,
    Tensor,
    checked_shape,
    refuse_overlaps,
    wrong,
)

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_HEADER = 500_000_000
"""Bytes; the words of a tokenizer are in it."""
MAX_KEYS = 100_000
MAX_NESTING = 4
ALIGNMENT = 32
"""Of tensors, if the metadata doesn't say otherwise."""
FIXED = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
"""Numbers in metadata, as `struct` calls them."""
TEXT, ARRAY = 8, 9
BLOCKS = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 40), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18),
}  # fmt: skip
"""Types of tensors: a name, the numbers of a block, and its bytes."""


def tensors_of(file: Path) -> tuple[list[Tensor], dict[str, str]]:
    """The tensors of a file, in PyTorch's order of dimensions, and those of its metadata that are texts or numbers.

    Raises: UsageError: it can't be read, or isn't such a file.
    """
    with opened(file) as (stream, size):
        reader = _Reader(file, stream, size)
        if reader.bytes(len(MAGIC)) != MAGIC:
            raise wrong(file, "it doesn't begin with GGUF")
        if (version := reader.number("<I")) not in VERSIONS:
            raise wrong(file, f"its version is {version}; versions {' and '.join(map(str, VERSIONS))} are known")
        count, keys = reader.number("<Q"), reader.number("<Q")
        if count > MAX_TENSORS or keys > MAX_KEYS:
            raise wrong(file, f"it would have {count:,} tensors and {keys:,} keys")
        about = reader.metadata(keys)
        return reader.tensors(count, about), {key: str(value) for key, value in about.items() if value is not None}


class _Reader:
    """Reads numbers, texts and arrays from the start of a file on."""

    def __init__(self, file: Path, stream: BinaryIO, size: int) -> None:
        self.file, self.stream, self.size, self.at = file, stream, size, 0

    def bytes(self, count: int) -> bytes:
        """So many bytes.

        Raises: UsageError: there are fewer, or the header is too long.
        """
        if count > self.size - self.at:
            raise wrong(self.file, f"its header goes on after its {self.size:,} bytes")
        if self.at + count > MAX_HEADER:
            raise wrong(self.file, f"its header has more than {MAX_HEADER:,} bytes")
        self.at += count
        return self.stream.read(count)

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.bytes(struct.calcsize(form)))[0]

    def text(self, most: int) -> str:
        length = self.number("<Q")
        if length > most:
            raise wrong(self.file, f"a text in its header would have {length:,} bytes")
        return str(self.bytes(length), "utf-8", "backslashreplace")

    def metadata(self, keys: int) -> dict[str, Any]:
        """Numbers and texts by key; None for arrays."""
        found: dict[str, Any] = {}
        for _ in range(keys):
            key = self.text(2**16 - 1)
            if key in found:
                raise wrong(self.file, f"the key {key:.100} stands there twice")
            found[key] = self.value(self.number("<I"))
        return found

    def value(self, kind: int, depth: int = 0) -> Any:
        """One value of the metadata; an array is only passed over."""
        if kind in FIXED:
            return self.number(FIXED[kind])
        if kind == TEXT:
            return self.text(MAX_HEADER)
        if kind != ARRAY or depth > MAX_NESTING:
            raise wrong(
                self.file, f"a value of its metadata has the type {kind}" if kind != ARRAY else "arrays in arrays"
            )
        inner, count = self.number("<I"), self.number("<Q")
        if inner in FIXED:
            self.bytes(count * struct.calcsize(FIXED[inner]))
            return None
        if count > self.size:  # each takes a byte, at least
            raise wrong(self.file, f"an array in its header would have {count:,} values")
        for _ in range(count):
            self.value(inner, depth + 1)
        return None

    def tensors(self, count: int, about: dict[str, Any]) -> list[Tensor]:
        """All tensors, with bytes of their own at aligned places after the header."""
        found = dict[str, Tensor]()
        places = [self._tensor(found) for _ in range(count)]
        alignment = about.get("general.alignment", ALIGNMENT)
        if type(alignment) is not int or alignment < 1:
            raise wrong(self.file, f"its tensors would be aligned to {alignment}")
        spans = []
        for place, tensor in zip(places, found.values(), strict=True):
            if place % alignment:
                raise wrong(self.file, f"{tensor.name:.100} lies at {place:,}, which {alignment} doesn't divide")
            spans.append((place, place + tensor.bytes, tensor.name))
        data = -(-self.at // alignment) * alignment
        refuse_overlaps(self.file, spans, max(self.size - data, 0))
        return [*found.values()]

    def _tensor(self, found: dict[str, Tensor]) -> int:
        """One more tensor, and where it lies."""
        name, rank = self.text(MAX_NAME), self.number("<I")
        if rank > MAX_RANK or name in found:
            raise wrong(self.file, f"{name:.100} {'stands there twice' if name in found else f'has {rank} dimensions'}")
        sizes = checked_shape(self.file, name, [self.number("<Q") for _ in range(rank)])
        kind, place = self.number("<I"), self.number("<Q")
        if kind not in BLOCKS:
            raise wrong(self.file, f"the type of {name:.100} is {kind}, which isn't known")
        dtype, numbers, held = BLOCKS[kind]
        if sizes and sizes[0] % numbers:
            raise wrong(self.file, f"{name:.100} has rows of {sizes[0]}, and {dtype} has blocks of {numbers}")
        found[name] = Tensor(name, sizes[::-1], dtype, prod(sizes) // numbers * held)
        return int(place)
