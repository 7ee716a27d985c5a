"""Checkpoints against specs, by their headers: what is a network's, what isn't, and files that are none."""

from __future__ import annotations

import json
import random
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import archcalc
from archcalc import UsageError
from archcalc.__main__ import main
from archcalc.importers.checkpoints.checkpoint import checkpoint_at
from archcalc.importers.checkpoints.gguf import BLOCKS
from archcalc.importers.checkpoints.safetensors import BITS
from archcalc.importers.configs.model_types import TYPES
from tests.checkpoints import (
    deepseek_v3,
    header_of,
    llama,
    text,
    write_gguf,
    write_header,
    write_safetensors,
    write_shards,
)
from tests.random_configs import random_config

CONFIG = {
    "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 96, "vocab_size": 200,
}  # fmt: skip
WHOLE = llama(64, 4, 96, 200, 32)


def found(tensors: Any, folder: Path, config: Any = CONFIG, **given: Any) -> archcalc.Findings:
    """What is said of a checkpoint of these tensors."""
    write_safetensors(folder / "model.safetensors", tensors)
    return archcalc.check(archcalc.from_config(config), weights=folder, **given)


def told(tensors: Any, folder: Path, config: Any = CONFIG) -> list[str]:
    """The same as sentences."""
    return [f"{each.code} {each.message}" for each in found(tensors, folder, config)]


def changed(change: Callable[[str, list[int]], list[int] | None]) -> dict[str, Any]:
    """The whole checkpoint with other shapes; without the tensors that have none."""
    shapes = {name: change(name, list(shape)) for name, (_, shape) in WHOLE.items()}
    return {name: ("BF16", shape) for name, shape in shapes.items() if shape is not None}


def test_a_checkpoint_is_a_specs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The numbers that it holds, by type; the exit code."""
    found_here = found(WHOLE, tmp_path)
    assert found_here.ok
    values = 2 * 200 * 64 + 4 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 96 * 64 + 2 * 64) + 64
    assert f"BF16: {values:,} numbers, 0.30 MB (0.28 MiB)" == found_here.specs[0].facts[1]
    assert values == archcalc.analyze(archcalc.from_config(CONFIG).build()).totals["params"]
    spec = tmp_path / "net.yaml"
    spec.write_text(archcalc.from_config(CONFIG).spec.source.text)
    assert 0 == main(["check", str(spec), "--weights", str(tmp_path / "model.safetensors")])
    assert "all 39 tensors are those of " in capsys.readouterr().out
    assert 1 == main(["check", "gpt2", "--weights", str(tmp_path)])
    assert 2 == main(["check", str(spec), "--ignore", "x"])
    assert 2 == main(["check", str(spec), "--weights", str(tmp_path / "none.safetensors")])


def test_what_is_different_is_told_precisely(tmp_path: Path) -> None:
    """Depth, width, a bias, a tensor too much, one that's missing: each in a sentence, however many blocks have it."""
    block = 2 * 64 * 64 + 2 * 32 * 64 + 3 * 96 * 64 + 2 * 64
    deeper = llama(64, 5, 96, 200, 32)
    assert [f"E403 model.layers.4 isn't in the spec: 9 tensors of {block:,} numbers"] == told(deeper, tmp_path)
    shallow = llama(64, 3, 96, 200, 32)
    assert [f"E402 decoder/4 isn't in the checkpoint: 9 tensors of {block:,} numbers"] == told(shallow, tmp_path)
    wide = changed(lambda _, shape: [100 if size == 96 else size for size in shape])
    expected = [
        "E401 model.layers.*.mlp.down_proj.weight is 64x100, where decoder/*/body_2/mlp/down weight of the spec is 64x96, "
        "4 times",
        "E401 model.layers.*.mlp.gate_proj.weight is 100x64, where decoder/*/body_2/mlp/gate/fc weight of the spec is 96x64, "
        "4 times",
        "E401 model.layers.*.mlp.up_proj.weight is 100x64, where decoder/*/body_2/mlp/up weight of the spec is 96x64, 4 times",
    ]
    assert expected == told(wide, tmp_path)
    biased = WHOLE | {f"model.layers.{n}.self_attn.q_proj.bias": ("BF16", [64]) for n in range(4)}
    assert ["E403 model.layers.*.self_attn.q_proj.bias, 64, isn't in the spec, 4 times"] == told(biased, tmp_path)
    tables = WHOLE | {f"model.layers.{n}.self_attn.rotary_emb.inv_freq": ("F32", [8]) for n in range(4)}
    assert ["E403 model.layers.*.self_attn.rotary_emb.inv_freq, 8, isn't in the spec, 4 times"] == told(
        tables, tmp_path
    )
    assert found(tables, tmp_path, ignore=["*.inv_freq"]).ok
    one = changed(lambda name, shape: None if name == "model.layers.2.self_attn.v_proj.weight" else shape)
    assert ["E402 decoder/3/body/attention values.weight, 32x64, isn't in the checkpoint"] == told(one, tmp_path)


def test_ties_are_named(tmp_path: Path) -> None:
    """A head too much where the spec shares the embedding, and one too few where it doesn't."""
    with_head = found(WHOLE, tmp_path, CONFIG | {"tie_word_embeddings": True})
    (one,) = with_head
    assert ("E403", "lm_head.weight, 200x64, isn't in the spec") == (
        one.code,
        one.message.replace("model.embed_tokens", "lm_head"),
    )
    assert "the spec's logits has the weights of embedding: leave out 'tie'" == one.hint
    (other,) = found(llama(64, 4, 96, 200, 32, tied=True), tmp_path)
    assert ("E402", "tie=@… if the head has the embedding's matrix") == (other.code, other.hint)


def test_blocks_are_in_order(tmp_path: Path) -> None:
    """A mixture whose first layer is dense: if it's the last of the checkpoint's, all shapes are there, elsewhere."""
    config = {**CONFIG, "model_type": "qwen3_moe", "num_experts": 2, "num_experts_per_tok": 1, "head_dim": 16,
              "moe_intermediate_size": 24, "mlp_only_layers": [0]}  # fmt: skip
    tensors: dict[str, Any] = {}
    for name, (dtype, shape) in WHOLE.items():
        if ".mlp." not in name or ".layers.0." in name:
            tensors[name] = (dtype, shape)
            continue
        sizes = [24 if size == 96 else size for size in shape]
        tensors |= {name.replace("mlp.", f"mlp.experts.{each}."): (dtype, sizes) for each in range(2)}
    for number in range(4):
        at = f"model.layers.{number}"
        tensors |= {f"{at}.self_attn.{each}_norm.weight": ("BF16", [16]) for each in "qk"}
        tensors |= {f"{at}.mlp.gate.weight": ("BF16", [2, 64])} if number else {}
    assert [] == told(tensors, tmp_path, config)
    swapped = {name.replace("layers.0.", "layers.x.").replace("layers.3.", "layers.0.").replace("layers.x.", "layers.3."):
               each for name, each in tensors.items()}  # fmt: skip
    expected = [
        "E404 model.layers.0 holds tensors of other shapes than decoder/1 of the spec",
        "E404 model.layers.3 holds tensors of other shapes than decoder/4 of the spec",
    ]
    assert expected == told(swapped, tmp_path, config)


@pytest.mark.parametrize("kind", TYPES)
def test_what_transformers_saves_is_its_configs_spec(kind: str, tmp_path: Path) -> None:
    """For a random config of each type: fused, turned and stacked as its class stores them."""
    transformers, safetensors = pytest.importorskip("transformers"), pytest.importorskip("safetensors.torch")
    config = random_config(kind, 1)
    made = transformers.AutoConfig.for_model(**config)
    module = getattr(transformers, TYPES[kind].class_name(TYPES[kind].head(config, kind)))(made)
    first: dict[int, str] = {}
    every = module.state_dict()
    own = {name: each for name, each in every.items() if name == first.setdefault(each.data_ptr(), name)}
    safetensors.save_file(own, tmp_path / "model.safetensors")
    assert [] == list(archcalc.check(archcalc.from_config(config), weights=tmp_path))


@pytest.mark.torch
@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2", "vit_b_16", "swin_t", "unet", "lstm_lm"])
def test_the_zoos_own_modules(name: str, tmp_path: Path) -> None:
    """What their PyTorch modules hold is what the spec says, running means and counts of batches included."""
    torch = pytest.importorskip("torch")
    architecture = archcalc.load(name)
    with torch.device("meta"):
        module = archcalc.to_torch(architecture.build())
    types = {torch.float32: "F32", torch.int64: "I64"}
    kept = {key: (types[each.dtype], list(each.shape)) for key, each in module.state_dict().items()}
    assert [] == [str(each) for each in _named(kept, tmp_path, architecture)]


def _named(tensors: Any, folder: Path, architecture: archcalc.Architecture) -> archcalc.Findings:
    write_safetensors(folder / "model.safetensors", tensors)
    return archcalc.check(architecture, weights=folder / "model.safetensors")


def test_gpt2s_matrices_are_turned_and_fused(tmp_path: Path) -> None:
    """As its checkpoint has them, with a mask that is passed over."""
    width = 768
    tensors: dict[str, Any] = {"wte.weight": [50257, width], "wpe.weight": [1024, width], "ln_f.weight": [width],
                               "ln_f.bias": [width]}  # fmt: skip
    for number in range(12):
        rows = {"attn.c_attn": 3 * width, "attn.c_proj": width, "mlp.c_fc": 4 * width, "mlp.c_proj": width}
        for each, size in rows.items():
            read = 4 * width if each == "mlp.c_proj" else width
            tensors |= {f"h.{number}.{each}.weight": [read, size], f"h.{number}.{each}.bias": [size]}
        tensors |= {f"h.{number}.ln_{n}.{each}": [width] for n in (1, 2) for each in ("weight", "bias")}
        tensors[f"h.{number}.attn.bias"] = [1, 1, 1024, 1024]
    write_safetensors(tmp_path / "model.safetensors", {name: ("F32", shape) for name, shape in tensors.items()})
    (each,) = archcalc.check("gpt2_small", weights=tmp_path)
    assert "h.*.attn.bias, 1024x1024, isn't in the spec, 12 times" == each.message
    result = archcalc.check("gpt2_small", weights=tmp_path, ignore="*.attn.bias")
    assert result.ok
    facts = result.specs[0].facts
    assert "several in one: h.*.attn.c_attn.weight, 12 times, h.*.attn.c_attn.bias, 12 times" in facts
    turned = "h.*.attn.c_attn.weight, 12 times, h.*.mlp.c_fc.weight, 12 times, h.*.mlp.c_proj.weight, 12 times"
    assert f"stored with inputs as rows: {turned}" in facts


GGUF = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output", "model.layers": "blk",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
}  # fmt: skip
"""What llama.cpp calls a Llama's tensors."""


def as_gguf(tensors: Any, kind: int) -> list[tuple[str, int, list[int], int]]:
    """The same tensors as llama.cpp has them, matrices in a type of blocks."""
    rows = []
    for name, (_, shape) in tensors.items():
        for theirs, own in GGUF.items():
            name = name.replace(theirs, own)
        _, numbers, held = BLOCKS[kind if len(shape) > 1 else 0]
        values = shape[0] * (shape[1] if len(shape) > 1 else 1)
        rows.append((name, kind if len(shape) > 1 else 0, shape, values // numbers * held))
    return rows


def test_gguf_files(tmp_path: Path) -> None:
    """Blocks of 32 or 256 numbers have the bytes that llama.cpp gives them; a tokenizer is passed over."""
    config = CONFIG | {"hidden_size": 256, "intermediate_size": 512}
    tensors = as_gguf(llama(256, 4, 512, 200, 128), 12)
    words = [f"word{number}" for number in range(200)]
    write_gguf(tmp_path / "model.gguf", tensors, **{"tokenizer.ggml.tokens": words, "llama.block_count": 4})
    result = archcalc.check(archcalc.from_config(config), weights=tmp_path / "model.gguf")
    assert [] == list(result)
    matrices = 2 * 200 * 256 + 4 * (2 * 256 * 256 + 2 * 128 * 256 + 3 * 512 * 256)
    assert f"Q4_K: {matrices:,} numbers" in result.specs[0].facts[1]
    assert matrices * 144 // 256 == sum(
        each.bytes for each in checkpoint_at(tmp_path).tensors.values() if each.dtype == "Q4_K"
    )
    assert "(llama)" in result.specs[0].facts[0]
    halves = [tensors[: len(tensors) // 2], tensors[len(tensors) // 2 :]]
    for number, half in enumerate(halves, 1):
        write_gguf(tmp_path / f"split-{number:05}-of-00002.gguf", half)
    assert archcalc.check(archcalc.from_config(config), weights=tmp_path / "split-00002-of-00002.gguf").ok
    (tmp_path / "split-00001-of-00002.gguf").unlink()
    with pytest.raises(UsageError, match="no such file"):
        archcalc.check(archcalc.from_config(config), weights=tmp_path / "split-00002-of-00002.gguf")


def test_types_of_blocks_are_llama_cpps(tmp_path: Path) -> None:
    """Names, numbers and bytes of each; and its own reader finds the same tensors."""
    gguf = pytest.importorskip("gguf", reason="gguf isn't installed")
    sizes = {each.value: (each.name, *gguf.GGML_QUANT_SIZES[each]) for each in gguf.GGMLQuantizationType}
    assert sizes == BLOCKS
    write_gguf(tmp_path / "model.gguf", as_gguf(llama(256, 2, 512, 200, 128), 12))
    theirs = {
        each.name: (each.shape.tolist()[::-1], each.n_bytes)
        for each in gguf.GGUFReader(tmp_path / "model.gguf").tensors
    }
    own = {each.name: (list(each.shape), each.bytes) for each in checkpoint_at(tmp_path).tensors.values()}
    assert theirs == own


def test_types_are_those_of_safetensors(tmp_path: Path) -> None:
    """Each that its library writes has as many bytes as we say."""
    library, torch = pytest.importorskip("safetensors.torch"), pytest.importorskip("torch")
    for name, dtype in library._TYPES.items():
        library.save_file({"a": torch.zeros(6, 4, dtype=dtype)}, tmp_path / "one.safetensors")
        (tensor,) = checkpoint_at(tmp_path / "one.safetensors").tensors.values()
        assert (name, 24 * BITS[name] // 8) == (tensor.dtype, tensor.bytes)


def test_600_gigabytes_take_less_than_a_second(tmp_path: Path) -> None:
    """DeepSeek-V3's 671 billion parameters in 163 files, with holes where the numbers would be."""
    tensors = deepseek_v3()
    write_shards(tmp_path, tensors, 163)
    before = time.process_time()
    result = archcalc.check("deepseek_v3", weights=tmp_path)
    assert time.process_time() - before < 2  # 0.6 s where nothing else runs
    assert result.ok
    assert f"{len(tensors):,} tensors, 671,026,419,200 numbers" in result.specs[0].facts[0]


# --- files that are none -----------------------------------------------------------------------------------------------


def _header(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


ONE = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
HOSTILE: dict[str, tuple[bytes, int, int | None]] = {
    "its header would have 1,000,000 bytes, and it has 10 in all": (b"{}", 0, 10**6),
    "its header would have 18,446,744,073,709,551,615 bytes": (b"{}", 0, 2**64 - 1),
    "its header would have 200,000,000 bytes, and 100,000,000 are allowed": (b"{}", 3 * 10**8, 2 * 10**8),
    "its header is no JSON: expecting value": (b'{"a": }', 0, None),
    "its header isn't UTF-8": (b"\xff\xfe", 0, None),
    "its header is no JSON object": (b"[]", 0, None),
    "its header is nested too deep": (b"[" * 200_000, 0, None),
    "its header is no JSON: a name stands there twice": (b'{"a": 1, "a": 2}', 0, None),
    "its metadata isn't made of texts": (_header(__metadata__={"a": 1}), 0, None),
    "a isn't described by dtype, shape and data_offsets": (_header(a={"dtype": "F32"}), 0, None),
    "the type of a is 'F33', which isn't known": (_header(a=ONE | {"dtype": "F33"}), 16, None),
    r"the type of a is \['F32'\]": (_header(a=ONE | {"dtype": ["F32"]}), 16, None),
    r"the shape of a is \[-2, -2\]": (_header(a=ONE | {"shape": [-2, -2]}), 16, None),
    r"the shape of a is \[2.0, 2\]": (_header(a=ONE | {"shape": [2.0, 2]}), 16, None),
    r"the shape of a is \[True, 4\]": (_header(a=ONE | {"shape": [True, 4]}), 16, None),
    "a would have 85,070,591,730,234,615,847,396,907,784,232,501,249 values": (_header(a=ONE | {"shape": [2**63 - 1] * 2}), 16, None),
    "a has 16 bytes, which aren't those of": (_header(a=ONE | {"shape": [2, 3]}), 16, None),
    r"the place of a is \[16, -1\]": (_header(a=ONE | {"data_offsets": [16, -1]}), 16, None),
    "a and b overlap|b and a overlap": (_header(a=ONE, b=ONE), 32, None),
    "a ends at byte 16, after the 8 that there are": (_header(a=ONE), 8, None),
    "its tensors have 16 bytes, and 24 follow its header": (_header(a=ONE), 24, None),
    "its tensors have 32 bytes, and 40 follow its header": (_header(a=ONE, b=ONE | {"data_offsets": [24, 40]}), 40, None),
}  # fmt: skip


@pytest.mark.parametrize("message", HOSTILE)
def test_hostile_headers_are_errors(message: str, tmp_path: Path) -> None:
    """Each is told of in a sentence, and costs nothing."""
    write_header(tmp_path / "bad.safetensors", *HOSTILE[message])
    with pytest.raises(UsageError, match=message):
        checkpoint_at(tmp_path / "bad.safetensors")


def test_indices_that_are_wrong(tmp_path: Path) -> None:
    """Files outside the folder, missing ones, tensors that are elsewhere, twice, or nowhere."""
    index = write_shards(tmp_path, WHOLE, 3)
    right = json.loads(index.read_text())["weight_map"]
    names = list(right)

    def refused(places: Any, message: str) -> None:
        index.write_text(json.dumps({"weight_map": places}))
        with pytest.raises(UsageError, match=message):
            checkpoint_at(tmp_path)

    for outside in ("../x.safetensors", "/etc/passwd", "a/b.safetensors", "..", "x.bin", "a\\b.safetensors", ""):
        refused({"a": outside}, "which is no safetensors file beside it")
    refused([], "has no weight_map")
    refused({"a": 3}, "has no weight_map")
    refused(right | {"a": "model-00004-of-00003.safetensors"}, "no such file")
    refused(right | {"a": right[names[0]]}, f"a isn't in {right[names[0]]}")
    refused({name: right[name] for name in names[1:]}, f"{names[0]} is not in the index")
    refused(right | {names[0]: right[names[-1]]}, f"{names[0]} is to be in {right[names[-1]]} in the index")
    index.write_text(json.dumps({"weight_map": right}))
    assert WHOLE.keys() == checkpoint_at(tmp_path).tensors.keys()
    shard = tmp_path / right[names[0]]
    size = shard.stat().st_size
    with shard.open("r+b") as file:
        file.truncate(size - 1)
    with pytest.raises(UsageError, match="after the"):
        checkpoint_at(index)


def test_pickles_are_refused(tmp_path: Path) -> None:
    """Nothing of them is read: the message says why, and what to do."""
    for name in ("pytorch_model.bin", "net.pt", "net.pth", "net.ckpt"):
        (tmp_path / name).write_bytes(b"\x80\x04.")
        with pytest.raises(UsageError, match="is pickled: what it holds is known only by running what it says"):
            checkpoint_at(tmp_path / name)
    with pytest.raises(UsageError, match="is pickled"):
        checkpoint_at(tmp_path)
    (tmp_path / "net.npz").write_bytes(b"")
    with pytest.raises(UsageError, match="is no checkpoint that is known"):
        checkpoint_at(tmp_path / "net.npz")


def gguf_of(*parts: bytes) -> bytes:
    """The start of a GGUF file, and what follows."""
    return b"GGUF" + b"".join(parts)


COUNTS = struct.Struct("<IQQ")
WRONG_GGUF = {
    "doesn't begin with GGUF": b"GGML" + bytes(20),
    "its version is 1; versions 2 and 3 are known": gguf_of(COUNTS.pack(1, 0, 0)),
    "its version is 50331648": gguf_of(struct.pack(">I", 3), bytes(16)),
    "would have 1,000,000,000 tensors": gguf_of(COUNTS.pack(3, 10**9, 0)),
    "its header goes on after its 24 bytes": gguf_of(COUNTS.pack(3, 1, 0)),
    "a text in its header would have 9,223,372,036,854,775,808 bytes": gguf_of(
        COUNTS.pack(3, 1, 0), struct.pack("<Q", 2**63)
    ),
    "a value of its metadata has the type 77": gguf_of(COUNTS.pack(3, 0, 1), text("a"), struct.pack("<I", 77)),
    "an array in its header would have 1,099,511,627,776 values": gguf_of(
        COUNTS.pack(3, 0, 1), text("a"), struct.pack("<IIQ", 9, 8, 2**40)
    ),
    "the key a stands there twice": gguf_of(COUNTS.pack(3, 0, 2), *[text("a") + struct.pack("<IB", 0, 1)] * 2),
    "arrays in arrays": gguf_of(COUNTS.pack(3, 0, 1), text("a"), struct.pack("<I", 9), struct.pack("<IQ", 9, 1) * 9),
    "a has 99 dimensions": gguf_of(COUNTS.pack(3, 1, 0), text("a"), struct.pack("<I", 99)),
    "the type of a is 5, which isn't known": gguf_of(
        COUNTS.pack(3, 1, 0), text("a"), struct.pack("<IQIQ", 1, 32, 5, 0)
    ),
    "a has rows of 33, and Q4_0 has blocks of 32": gguf_of(
        COUNTS.pack(3, 1, 0), text("a"), struct.pack("<IQIQ", 1, 33, 2, 0)
    ),
    "a lies at 7, which 32 doesn't divide": gguf_of(COUNTS.pack(3, 1, 0), text("a"), struct.pack("<IQIQ", 1, 32, 0, 7)),
    "a ends at byte 128, after the 0 that there are": gguf_of(
        COUNTS.pack(3, 1, 0), text("a"), struct.pack("<IQIQ", 1, 32, 0, 0)
    ),
}


@pytest.mark.parametrize("message", WRONG_GGUF)
def test_gguf_files_that_are_none(message: str, tmp_path: Path) -> None:
    """Each is told of in a sentence."""
    (tmp_path / "bad.gguf").write_bytes(WRONG_GGUF[message])
    with pytest.raises(UsageError, match=message):
        checkpoint_at(tmp_path / "bad.gguf")


def test_any_byte_may_be_wrong(tmp_path: Path) -> None:
    """Headers with bytes changed, added and left out are read, or refused as no checkpoints."""
    draw = random.Random(0)
    fields, held = header_of(llama(8, 2, 8, 10, 8, dtype="F32"))
    header = json.dumps(fields).encode()
    write_gguf(tmp_path / "right.gguf", as_gguf(llama(32, 2, 32, 10, 32), 2), **{"general.alignment": 32})
    whole = (tmp_path / "right.gguf").read_bytes()
    for number in range(400):
        path = tmp_path / ("bad.safetensors" if number % 2 else "bad.gguf")
        data = bytearray(struct.pack("<Q", len(header)) + header + bytes(held) if number % 2 else whole)
        for _ in range(draw.choice([1, 2, 8])):
            at = draw.choice([draw.randrange(min(len(data), 1200)), draw.randrange(60)])
            data[at : at + draw.choice([0, 1, 8])] = draw.randbytes(draw.choice([0, 1, 8]))
        path.write_bytes(data[: draw.choice([len(data), draw.randrange(len(data))])])
        try:
            assert isinstance(checkpoint_at(path).name, str)
        except UsageError as error:
            assert str(path) in str(error)
