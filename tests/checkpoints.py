"""Checkpoints for tests: headers as libraries write them, and as nobody should."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

BYTES = {"F32": 4, "BF16": 2, "F16": 2, "F8_E4M3": 1, "I64": 8}
Tensors = Mapping[str, tuple[str, Sequence[int]]]
"""Types and shapes by name."""


def header_of(tensors: Tensors) -> tuple[dict[str, Any], int]:
    """The fields of a safetensors header, and how many bytes follow it."""
    fields, at = dict[str, Any](), 0
    for name, (dtype, shape) in tensors.items():
        end = at + BYTES[dtype] * prod(shape)
        fields[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, end]}
        at = end
    return fields, at


def write_safetensors(path: Path, tensors: Tensors, **metadata: str) -> None:
    """A file of which only the header takes room on the disk."""
    fields, held = header_of(tensors)
    write_header(path, json.dumps({**({"__metadata__": metadata} if metadata else {}), **fields}).encode(), held)


def write_header(path: Path, header: bytes, held: int, length: int | None = None) -> None:
    """A header, and a hole after it; its `length` may be a lie."""
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header) if length is None else length) + header)
        file.truncate(8 + len(header) + held)


def write_shards(folder: Path, tensors: Tensors, count: int) -> Path:
    """Several files of about as many tensors, and their index."""
    names = list(tensors)
    places: dict[str, str] = {}
    for number in range(count):
        own = names[number * len(names) // count : (number + 1) * len(names) // count]
        file = f"model-{number + 1:05}-of-{count:05}.safetensors"
        write_safetensors(folder / file, {name: tensors[name] for name in own})
        places |= dict.fromkeys(own, file)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))
    return index


def text(value: str) -> bytes:
    """A text as GGUF has it."""
    return struct.pack("<Q", len(value.encode())) + value.encode()


def write_gguf(path: Path, tensors: Iterable[tuple[str, int, Sequence[int], int]], **metadata: Any) -> None:
    """A GGUF file of tensors, each with the number of its type, its shape as PyTorch has it, and its bytes."""
    own = list(tensors)
    said = {"general.architecture": "llama", **metadata}
    keys = b"".join(text(key) + _value(value) for key, value in said.items())
    infos, at = b"", 0
    for name, kind, shape, held in own:
        sizes = struct.pack(f"<{len(shape)}Q", *shape[::-1])
        infos += text(name) + struct.pack("<I", len(shape)) + sizes + struct.pack("<IQ", kind, at)
        at = -(-(at + held) // 32) * 32
    head = b"GGUF" + struct.pack("<IQQ", 3, len(own), len(said)) + keys + infos
    with path.open("wb") as file:
        file.write(head)
        file.truncate(-(-len(head) // 32) * 32 + at)


def _value(value: Any) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", 8) + text(value)
    if isinstance(value, list):
        return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(text, value))
    return struct.pack("<II", 4, value)


def llama(
    width: int, layers: int, ffn: int, vocabulary: int, groups: int, tied: bool = False, dtype: str = "BF16"
) -> dict[str, tuple[str, list[int]]]:
    """The tensors of a Llama, as transformers calls them; `groups` are numbers in all keys."""
    found = {"model.embed_tokens.weight": [vocabulary, width]}
    for number in range(layers):
        at = f"model.layers.{number}"
        found |= {
            f"{at}.input_layernorm.weight": [width],
            f"{at}.mlp.down_proj.weight": [width, ffn],
            f"{at}.mlp.gate_proj.weight": [ffn, width],
            f"{at}.mlp.up_proj.weight": [ffn, width],
            f"{at}.post_attention_layernorm.weight": [width],
            f"{at}.self_attn.k_proj.weight": [groups, width],
            f"{at}.self_attn.o_proj.weight": [width, width],
            f"{at}.self_attn.q_proj.weight": [width, width],
            f"{at}.self_attn.v_proj.weight": [groups, width],
        }
    found["model.norm.weight"] = [width]
    if not tied:
        found["lm_head.weight"] = [vocabulary, width]
    return {name: (dtype, shape) for name, shape in found.items()}


def deepseek_v3() -> dict[str, tuple[str, list[int]]]:
    """The 671 billion parameters of DeepSeek-V3, as its checkpoint calls them, without scales of blocks."""
    found: dict[str, tuple[str, list[int]]] = {"model.embed_tokens.weight": ("BF16", [129280, 7168])}
    for number in range(61):
        at = f"model.layers.{number}"
        attention = {
            "q_a_proj": [1536, 7168], "q_b_proj": [24576, 1536], "kv_a_proj_with_mqa": [576, 7168],
            "kv_b_proj": [32768, 512], "o_proj": [7168, 16384],
        }  # fmt: skip
        found |= {f"{at}.self_attn.{name}.weight": ("F8_E4M3", shape) for name, shape in attention.items()}
        norms = {"self_attn.q_a_layernorm": 1536, "self_attn.kv_a_layernorm": 512}
        norms |= {"input_layernorm": 7168, "post_attention_layernorm": 7168}
        found |= {f"{at}.{name}.weight": ("BF16", [width]) for name, width in norms.items()}
        inside = [("mlp", 18432)] if number < 3 else [(f"mlp.experts.{each}", 2048) for each in range(256)]
        if number >= 3:
            inside.append(("mlp.shared_experts", 2048))
            found |= {f"{at}.mlp.gate.weight": ("BF16", [256, 7168])}
            found |= {f"{at}.mlp.gate.e_score_correction_bias": ("F32", [256])}
        for name, width in inside:
            found |= {f"{at}.{name}.{each}_proj.weight": ("F8_E4M3", [width, 7168]) for each in ("gate", "up")}
            found[f"{at}.{name}.down_proj.weight"] = ("F8_E4M3", [7168, width])
    return {**found, "model.norm.weight": ("BF16", [7168]), "lm_head.weight": ("BF16", [129280, 7168])}
