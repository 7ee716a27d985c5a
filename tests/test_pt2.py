"""Files of `torch.export.save` as specs: their JSON is read, and nothing in them is run."""

from __future__ import annotations

import json
import random
import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import archcalc  # noqa: E402  # what it needs may not be there
from archcalc import UsageError, analyze, load  # noqa: E402
from archcalc.importers.sources import built, examples, source_of  # noqa: E402
from tests.modules import MODULES  # noqa: E402

NAMES = ("unet", "decoder_with_a_window", "siamese", "language_model")


def saved(name: str, folder: Path) -> tuple[Path, Any, Any]:
    """A file of a module of tests/modules.py, that module, and its inputs."""
    source = source_of(f"tests.modules:build_{name}")
    assert source is not None
    module, inputs = built(source, "cpu").eval(), examples(MODULES[name].sizes, "cpu")
    path = folder / f"{name}.pt2"
    torch.export.save(torch.export.export(module, tuple(inputs), strict=False), path)
    return path, module, inputs


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_the_module_that_was_saved(name: str, tmp_path: Path) -> None:
    """The same spec as of the module itself, but for names of classes and inputs."""
    path, module, inputs = saved(name, tmp_path)
    ours, theirs = (analyze(each).totals for each in (load(path), archcalc.from_torch(module, list(inputs))))
    quantities = ("params", "buffers", "macs", "activations", "saved_bytes", "depth")
    assert {each: theirs[each] for each in quantities} == {each: ours[each] for each in quantities}


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    """A pickle that would run code is never loaded, wherever it's in the archive."""
    path, _, _ = saved("siamese", tmp_path)
    harmful = b"cbuiltins\nexec\n(Vraise SystemExit('ran')\ntR."
    rewritten(path, lambda name, data: data if name.endswith((".json", "archive_format")) else harmful)
    assert analyze(load(path)).totals["params"]


def rewritten(path: Path, change: Callable[[str, bytes], bytes | None]) -> None:
    """Put other members into an archive; those of which `change` makes None are left out."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            if (now := change(name, data)) is not None:
                archive.writestr(name, now)


def of_model(change: Callable[[Any], Any]) -> Callable[[str, bytes], bytes | None]:
    """A change of the model's JSON."""

    def apply(name: str, data: bytes) -> bytes | None:
        if not name.endswith("/models/model.json"):
            return data
        model = json.loads(data)
        change(model)
        return json.dumps(model).encode()

    return apply


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda name, data: None if "models/" in name else data, "holds no network of torch.export"),
        (of_model(lambda model: model["schema_version"].update(major=7)), "has version 7 of PyTorch's schema, and 8"),
        (of_model(lambda model: model.pop("graph_module")), "isn't as PyTorch writes it: KeyError"),
        (lambda name, data: data[:-9] if name.endswith("model.json") else data, "isn't JSON"),
        (of_model(lambda model: model["graph_module"]["graph"]["tensor_values"].clear()), "isn't as PyTorch writes it"),
    ],
)
def test_other_archives_are_refused(change: Any, message: str, tmp_path: Path) -> None:
    """Older ones, newer ones, and those that were tampered with."""
    path, _, _ = saved("siamese", tmp_path)
    rewritten(path, change)
    with pytest.raises(UsageError, match=message):
        load(path)


def test_broken_files_end_in_errors(tmp_path: Path) -> None:
    """Cut anywhere, or with bytes changed anywhere, a file is a network still or an error that says so."""
    path, _, _ = saved("siamese", tmp_path)
    data, chance = path.read_bytes(), random.Random(0)
    for _ in range(60):
        now = bytearray(data)
        if chance.random() < 0.2:
            del now[chance.randrange(len(now)) :]
        for _ in range(chance.choice((1, 5, 50))):
            now[chance.randrange(len(now))] = chance.randrange(256)
        path.write_bytes(now)
        with suppress(archcalc.ArchcalcError):
            load(path)


@pytest.mark.parametrize("seed", range(12))
def test_other_json_ends_in_errors(seed: int, tmp_path: Path) -> None:
    """So does a graph in which anything is something else."""
    chance = random.Random(seed)

    def spoil(value: Any) -> Any:
        if chance.random() < 0.002:
            return chance.choice((None, -1, 2**70, "x", [], {}, True, 1.5, {"as_int": -(2**70)}))
        if isinstance(value, dict):
            return {key: spoil(each) for key, each in value.items()}
        return [spoil(each) for each in value] if isinstance(value, list) else value

    path, _, _ = saved("siamese", tmp_path)
    data = path.read_bytes()
    for _ in range(5):
        path.write_bytes(data)
        rewritten(path, of_model(lambda model: model.update(graph_module=spoil(model["graph_module"]))))
        with suppress(archcalc.ArchcalcError):
            load(path)


def test_weights_and_torchscript_are_no_networks(tmp_path: Path) -> None:
    """What to do is said; nothing of them is read but what the archive's members are called."""
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU())
    torch.save(module.state_dict(), tmp_path / "net.pt")
    with pytest.raises(UsageError, match="holds weights, not the network") as error:
        load(tmp_path / "net.pt")
    assert "name the code that builds the module" in error.value.hint
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it's deprecated, and files of it are there
        torch.jit.save(torch.jit.script(module), tmp_path / "script.pt")
    with pytest.raises(UsageError, match="is TorchScript"):
        load(tmp_path / "script.pt")
    with pytest.raises(UsageError, match="no such file"):
        load(tmp_path / "none.ckpt")
