"""A checkpoint by its path: a file, the index of several, or the folder that holds them. Only headers are read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from archcalc import files
from archcalc.errors import UsageError
from archcalc.importers.checkpoints import gguf, safetensors
from archcalc.importers.checkpoints.tensors import Checkpoint, Tensor, wrong

INDEX = ".safetensors.index.json"
READERS = {".safetensors": safetensors.tensors_of, ".gguf": gguf.tensors_of}
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
MAX_INDEX = 100_000_000
"""Bytes."""
MAX_SHARDS = 10_000
SHARD = re.compile(r"(?P<start>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")


def checkpoint_at(path: Path) -> Checkpoint:
    """The tensors of a safetensors or GGUF file, of an index with its shards, or of the folder with either.

    Raises: UsageError: there is none, it can't be read, or it isn't whole; or it's one that only running code reads.
    """
    if path.is_dir():
        path = _inside(path)
    if path.suffix in PICKLED:
        hint = "save it as safetensors: safetensors.torch.save_file(model.state_dict(), 'model.safetensors')"
        raise UsageError(f"'{path}' is pickled: what it holds is known only by running what it says", hint)
    if path.name.endswith(INDEX):
        return _indexed(path)
    if path.suffix not in READERS:
        raise UsageError(
            f"'{path}' is no checkpoint that is known", "model.safetensors, its index, a folder, or a .gguf"
        )
    if shard := SHARD.fullmatch(path.name):
        count = int(shard["count"])
        if not 1 <= int(shard["number"]) <= count <= MAX_SHARDS:
            raise wrong(path, f"it would be part {shard['number']} of {shard['count']}")
        return _together(path, [f"{shard['start']}-{n:05}-of-{count:05}.gguf" for n in range(1, count + 1)])
    return _together(path, [path.name])


def _inside(folder: Path) -> Path:
    """The checkpoint of a folder."""
    for suffix in (INDEX, ".safetensors", ".gguf"):
        found = sorted(each for each in folder.iterdir() if each.name.endswith(suffix))
        if len(found) == 1 or (found and SHARD.fullmatch(found[0].name) and suffix == ".gguf"):
            return found[0]
        if found:
            raise UsageError(
                f"'{folder}' holds several checkpoints, such as {found[0].name}", "name one, or their index"
            )
    if any(each.suffix in PICKLED for each in folder.iterdir()):
        return next(each for each in sorted(folder.iterdir()) if each.suffix in PICKLED)
    raise UsageError(f"'{folder}' holds no checkpoint", "model.safetensors, or model.safetensors.index.json")


def _indexed(path: Path) -> Checkpoint:
    """The shards that an index names: all of their tensors are in it, and all of its are in them."""
    try:
        index = files.read_json(path, floats=True, follow=True, most=MAX_INDEX)
    except FileNotFoundError:
        raise UsageError(f"there is no file '{path}'") from None
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not all(isinstance(file, str) for file in places.values()):
        raise wrong(path, "it has no weight_map from tensors to files")
    shards = sorted(set(places.values()))
    if len(shards) > MAX_SHARDS:
        raise wrong(path, f"it names {len(shards):,} files")
    for shard in shards:
        if shard != Path(shard).name or shard in ("", ".", "..") or "\\" in shard or not shard.endswith(".safetensors"):
            raise wrong(path, f"it names {shard!r:.100}, which is no safetensors file beside it")
    found = _together(path, shards, places)
    if missing := places.keys() - found.tensors.keys():
        raise wrong(path, f"{min(missing):.100} isn't in {places[min(missing)]}")
    return found


def _together(path: Path, names: Iterable[str], places: dict[str, str] | None = None) -> Checkpoint:
    """The tensors of several files of a folder."""
    tensors, about = dict[str, Tensor](), dict[str, str]()
    for name in names:
        file = path.parent / name
        found, said = READERS[file.suffix](file)
        about = {**said, **about}
        for tensor in found:
            if tensor.name in tensors:
                raise wrong(file, f"{tensor.name:.100} is in another file, too")
            if places is not None and places.get(tensor.name) != name:
                where = places.get(tensor.name)
                raise wrong(file, f"{tensor.name:.100} is {f'to be in {where}' if where else 'not'} in the index")
            tensors[tensor.name] = tensor
    return Checkpoint(str(path), tensors, about)
