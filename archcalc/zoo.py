"""From a name to a spec: a zoo name, or a path to a spec file, each perhaps with a variant after a colon; a config."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from archcalc import files
from archcalc.data import dataclass
from archcalc.errors import UsageError, suggestion
from archcalc.expand import Given, Sizes, build
from archcalc.expand.given import together
from archcalc.graph import Graph
from archcalc.language.model import Spec
from archcalc.language.reader import load_spec
from archcalc.language.tree import MAX_BYTES

SUFFIXES = (".yaml", ".yml")
"""Of files with specs."""
NETWORKS = (".onnx", ".pt2")
"""Of files with networks that other tools write."""
WEIGHTS = (".pt", ".pth", ".ckpt")
"""Of files that hold weights, or code of PyTorch's own."""
CODE = re.compile(r"^(torchvision|timm|transformers):|\.py:")
"""In names of what libraries and Python files build."""


@dataclass(frozen=True)
class Architecture:
    """A spec and the variant that was asked for; of an imported one also the code and the inputs that it's from.

    `summary`: what came of a module's operations, with those that aren't known (`summary.unknown`); see `from_torch`.
    """

    spec: Spec
    variant: str
    origin: tuple[Any, tuple[str, ...]] | None = None
    summary: Any = None

    @property
    def name(self) -> str:
        """The name that says it best.

        `vgg16` (an alias), `resnet50` (a variant named after its spec), `example32` (the default), or `resnet:plain18`.
        """
        variant = self.spec.variant(self.variant)
        if variant is None:
            return self.spec.name
        if variant.aliases:
            return variant.aliases[0]
        if self.spec.name in variant.name:
            return variant.name
        return self.spec.name if variant.name == self.spec.default else f"{self.spec.name}:{variant.name}"

    def build(
        self, /, *, hparams: Mapping[str, Given] | None = None, sizes: Sizes | None = None, **named: Given
    ) -> Graph:
        """Build the graph.

        `hparams` are values of the spec's hyperparameters, numbers or texts in the spec language, and of arguments of
        layers: `{"width": 96, "conv1.stride": 3, "conv5/*": {"bias": False}}`; they may be `named`, too: `width=96`.
        `sizes` are those of the first input's axes, and of any input's by its name: `{"H": 64, "right": {"H": 32}}`.
        Raises: SpecError: what is wrong with the spec. UsageError: there is no such hparam, layer or axis, or a value
        is not an exact integer.

        >>> import archcalc
        >>> archcalc.load("alphago_policy").build(k=256, sizes={"H": 13, "W": 13}).input
        Shape(C=48, H=13, W=13)
        """
        return replace(build(self.spec, self.variant, together(hparams, named), sizes), name=self.name)

    def __repr__(self) -> str:
        return f"Architecture({self.name!r})"


def specs_folder() -> Path:
    """The folder of the zoo: inside the installed package, or beside it in a checkout."""
    inside = Path(__file__).parent / "specs"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "specs"


def load(
    name: str | PathLike[str], /, specs: str | PathLike[str] | None = None, inputs: Sequence[str] = ()
) -> Architecture:
    """Load a spec by zoo name (`vgg16`, `resnet:plain34`) or by path (`net.yaml`, `net.yaml:VARIANT`, a `Path`).

    Names are looked up in the zoo, or in a folder of `specs`. A Hugging Face config (`config.json`, or the folder that
    holds it) is read as data, without PyTorch, and so is a network of another tool: `net.onnx`, `net.pt2`. A name of
    code is imported: `torchvision:resnet50`, `models.py:build(depth=4)`; its module is built and traced, with `inputs`
    such as `"3x64x64"`.

    Raises: UsageError: there is no such name. SpecError: the spec is wrong.

    >>> import archcalc
    >>> archcalc.load("resnet:plain34").name
    'resnet:plain34'
    """
    if not isinstance(name, (str, PathLike)):
        raise UsageError(f"an architecture is loaded by its name or path, not by {name!r:.60}")
    if specs is not None and not isinstance(specs, (str, PathLike)):
        raise UsageError(f"a folder of specs is a path, not {specs!r:.60}", "load('net', specs='my/specs')")
    folder = None if specs is None else Path(specs)
    path, variant = _split(str(name))
    if isinstance(name, PathLike):
        path = path or Path(name)
    elif CODE.search(name):
        if found := _from_code(name, inputs):
            return found
        raise UsageError(f"'{name:.80}' names no code", "models.py:build, or models.py:build(depth=4)")
    if path is not None:
        if path.suffix.lower() in (*NETWORKS, *WEIGHTS):
            return _from_file(path, inputs)
        if config := config_at(path):
            return _from_config(config)
        _refuse_folder(path)
        spec = load_spec(path)
        return Architecture(spec, _chosen(spec, variant))
    base, _, variant = str(name).partition(":")
    for file in _candidates(base, folder):
        spec = load_spec(file)
        if base in spec.names:
            return Architecture(spec, _chosen(spec, variant) if variant else spec.names[base])
    if name:
        if config := config_at(Path(name)):
            return _from_config(config)
        _refuse_folder(Path(name))
    if ":" in str(name) and (found := _from_code(str(name), inputs)):
        return found
    known = {known for spec in specs_of(folder) for known in spec.names}
    raise UsageError(f"no architecture is called '{name}'", suggestion(base, known))


def config_at(path: Path) -> Path | None:
    """The Hugging Face config that a path leads to, or that its folder holds; none if it can't be one."""
    if path.suffix.lower() == ".json":
        return path
    inside = path / "config.json"
    named = len(path.name) < 100 and path.suffix.lower() not in SUFFIXES  # no file system would look longer ones up
    return inside if named and inside.is_file() else None


def _from_config(path: Path) -> Architecture:
    from archcalc.importers.configs.config import spec_of_config  # few names are

    return Architecture(spec_of_config(path), "")


def _from_file(path: Path, inputs: Sequence[str]) -> Architecture:
    from archcalc.importers.network_files import import_file  # few names are

    return Architecture(import_file(path, inputs).spec, "", (path, tuple(inputs)))


def _from_code(name: str, inputs: Sequence[str]) -> Architecture | None:
    """The architecture of a module that is built by code, if a name is one of code."""
    from archcalc.importers.code import spec_of_code  # few names are
    from archcalc.importers.sources import source_of

    source = source_of(name)
    return Architecture(spec_of_code(source, inputs), "", (source, tuple(inputs))) if source else None


def _refuse_folder(path: Path) -> None:
    """See that one network is meant.

    Raises: UsageError: it's a folder, perhaps of specs.
    """
    if len(path.name) < 100 and path.suffix.lower() not in SUFFIXES and path.is_dir():
        specs = sorted(files.names(path, *SUFFIXES))
        hint = f"one of its specs, such as {path / specs[0]}" if specs else "there is no spec in it"
        raise UsageError(f"'{path}' is a folder, and a network is meant", hint)


def is_path(name: str) -> bool:
    """Whether `load` would take a name for the path of a file."""
    return _split(name)[0] is not None


def _split(name: str) -> tuple[Path | None, str]:
    """A path and a variant, if `name` looks like a path."""
    if match := re.fullmatch(r"(.*\.ya?ml)(?::([^:/]*))?", name, re.DOTALL):
        return Path(match[1]), match[2] or ""
    is_file = name.lower().endswith((".json", *NETWORKS, *WEIGHTS))
    return (Path(name), "") if is_file or "/" in name or name.startswith(".") else (None, "")


def _chosen(spec: Spec, variant: str) -> str:
    if not variant:
        return spec.default
    found = spec.variant(variant)
    if found is None:
        known = [name for name in spec.names if name != spec.name]
        raise UsageError(f"{spec.name} has no variant '{variant}'", suggestion(variant, known))
    return found.name


def _candidates(name: str, folder: Path | None) -> Iterator[Path]:
    """The files that may declare `name`, found without parsing: first the file of that name, then those that say so."""
    if len(name) > 100:  # no name is that long, and no file system would look it up
        return
    known = sorted(spec_files(folder), key=lambda file: (file.stem != name, not name.startswith(file.stem), file.name))
    for file in known:
        if file.stem == name or _may_declare(text_of(file), name):
            yield file


def _may_declare(text: str, name: str) -> bool:
    """Whether a spec, a variant or an alias of this name may be in a spec's text."""
    if name not in text:
        return False
    word = re.compile(rf"\b{re.escape(name)}\b")
    lines = (line for line in text.splitlines() if f"{name}:" in line or "as:" in line or line.startswith("name:"))
    return any(word.search(line) for line in lines)


def spec_files(folder: Path | None = None) -> list[Path]:
    """The specs of a folder, .yaml and .yml, by name.

    Raises: UsageError: there is none, one is not a regular file, or a symbolic link leads out of the folder.
    """
    found = files.listed(folder or specs_folder(), *SUFFIXES, own=folder is None)
    if not found:
        raise UsageError(f"there is no spec in {folder or specs_folder()}", "specs are files such as net.yaml")
    return found


def subfolders(folder: Path) -> list[str]:
    """The names of the folders in a folder that have specs, which `spec_files` doesn't look into."""
    inner = (child for child in sorted(folder.iterdir()) if child.is_dir() and not child.is_symlink())
    return [child.name for child in inner if child.name[:1] != "." and any(files.names(child, *SUFFIXES))]


def text_of(file: Path) -> str:
    """A spec's text, to look for names in it; of a file that is too large for a spec, its beginning."""
    try:
        return files.read_bytes(file, MAX_BYTES).decode(errors="replace")
    except OSError as error:
        raise UsageError(f"can't read '{file}': {files.reason(error)}") from None


def specs_of(folder: Path | None = None) -> Iterator[Spec]:
    """Every spec of a folder, by file name.

    Raises: UsageError: there is no spec in it.
    """
    return map(load_spec, spec_files(folder))


def architectures(folder: Path | None = None) -> Iterator[Architecture]:
    """Every variant of every spec of a folder."""
    return (architecture for spec in specs_of(folder) for architecture in variants(spec))


def variants(spec: Spec) -> Iterator[Architecture]:
    """Every variant of a spec; one without a name of a spec that has none."""
    return (Architecture(spec, variant) for variant in spec.variants or ("",))
