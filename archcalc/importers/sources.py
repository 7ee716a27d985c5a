"""Where a network comes from that isn't a spec: `torchvision:resnet50`, `models.py:build(depth=4)`.

Only names of this form run Python code: a library's, or the user's own.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

from archcalc.data import dataclass
from archcalc.errors import UsageError, suggestion
from archcalc.importers import hugging_face
from archcalc.importers.operations.exported import Inputs
from archcalc.importers.operations.exporting import quiet

if TYPE_CHECKING:
    from torch import Tensor, nn

NAME = re.compile(r"(?P<home>[\w./~-]+?(?:\.py)?):(?P<what>[\w.\-/~]+)(?:\((?P<arguments>.*)\))?", re.DOTALL)
LIBRARIES = ("torchvision", "timm", "transformers")
BATCH = 2
"""Examples that a module is traced with: two, since a batch of one can't be told from an axis of one."""
SIDE = 224
FRAMES = 16
"""Of a film: torchvision says at least how many, and no network of it needs more."""
FEW_TOKENS = 2, 8
"""The least token in examples, after those that often stand for padding, and the one after the last."""
COMPILED = ("nms", "roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool", "deform_conv2d", "qnms")
"""Operators of torchvision's compiled part that its Python declares gradients or fake tensors of."""
KEPT: list[Any] = []
"""What declares operators as long as it's there."""

Size: TypeAlias = "tuple[int, ...] | int"
"""What an input has without the batch: the size of each axis; or, of tokens, how many they are."""
Sizes: TypeAlias = "Sequence[Size] | Mapping[str, Size]"
"""Those of all inputs, in order or by name."""


@dataclass(frozen=True)
class Source:
    """A network named by the code that builds it: a library or a module, what is called there, and with what."""

    name: str
    home: str
    what: str
    arguments: Mapping[str, Any]

    @property
    def label(self) -> str:
        """A name for its spec."""
        if self.home == "transformers":  # a folder, a file in one, or a name with an organisation ahead
            what = self.what.rstrip("/").removesuffix("/config.json").rpartition("/")[2]
        else:
            what = self.what.rpartition(".")[2]
        return re.sub(r"\W+", "_", what).strip("_") or "network"


def source_of(name: str) -> Source | None:
    """What a name says, if it names code.

    Raises: UsageError: the arguments in brackets are no Python values with names.
    """
    found = NAME.fullmatch(name)
    if not found or Path(found["home"]).suffix in (".yaml", ".yml"):
        return None
    home = found["home"]
    if home not in LIBRARIES and not home.endswith(".py") and not _is_importable(home):
        return None
    return Source(name, home, found["what"], _values(found["arguments"] or ""))


def _is_importable(home: str) -> bool:
    if not re.fullmatch(r"[A-Za-z_][\w.]*", home):
        return False
    with _OwnFolder():
        try:
            return importlib.util.find_spec(home) is not None
        except (ImportError, ValueError, AttributeError):
            return False


def _values(text: str) -> dict[str, Any]:
    """Arguments as a call has them: `depth=4, norm='bn'`."""
    try:
        call = ast.parse(f"f({text})", mode="eval").body
        assert isinstance(call, ast.Call)
        if call.args or any(keyword.arg is None for keyword in call.keywords):
            raise ValueError
        return {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
    except (SyntaxError, ValueError):
        hint = "models.py:build(depth=4, norm='bn')"
        raise UsageError(f"'{text:.60}' are no Python values with names", hint) from None


def built(source: Source, device: str) -> nn.Module:
    """The module, on a device; where that's `meta` and it can't be built so, on the CPU.

    Raises: UsageError: there's no such library, module or name, or it fails.
    """
    import torch

    make = _factory(source)
    for chosen in dict.fromkeys((device, "cpu")):
        try:
            with quiet(), torch.device(chosen), warnings.catch_warnings(), torch.random.fork_rng(devices=()):
                torch.manual_seed(0)  # values may choose a module's way: the same each time
                warnings.simplefilter("ignore")
                module = make(**source.arguments) if callable(make) and not isinstance(make, torch.nn.Module) else make
        except (NotImplementedError, RuntimeError) as error:  # it computes with values while it's built
            if chosen == "cpu":
                raise UsageError(f"{source.name} can't be built: {_first_line(error)}") from error
        except UsageError:
            raise
        except (Exception, SystemExit) as error:
            raise UsageError(f"{source.name} can't be built: {_first_line(error)}") from error
        else:
            if isinstance(module, torch.nn.Module):
                return module if chosen == device == "cpu" else module.to(device)
            raise UsageError(f"{source.name} is no module, nor makes one: {type(module).__name__}")
    raise AssertionError


def buffers(source: Source) -> dict[str, Any]:
    """The buffers of a module, with values: it's built on the CPU, but for parameters, which have no memory."""
    from torch import nn

    register = nn.Module.register_parameter

    def without_memory(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        kept = parameter if parameter is None else nn.Parameter(parameter.to("meta"), parameter.requires_grad)
        register(module, name, kept)

    nn.Module.register_parameter = without_memory  # type: ignore[assignment,method-assign]
    try:
        found = dict(built(source, "cpu").named_buffers())
    except UsageError:  # it computes with values of its parameters
        return {}
    finally:
        nn.Module.register_parameter = register  # type: ignore[method-assign]
    if any(each.is_meta for each in found.values()):  # it makes them where its parameters are
        return dict(built(source, "cpu").named_buffers())
    return found


def _factory(source: Source) -> Any:
    """What is called to build the module; or the module itself."""
    if source.home == "torchvision":
        models = library("torchvision.models")
        known = models.list_models()
        if source.what not in known:
            raise UsageError(f"torchvision has no model '{source.what}'", suggestion(source.what, known))
        asked = signature(models.get_model_builder(source.what)).parameters
        fetched = [name for name in ("weights", "weights_backbone") if name in asked]  # by default the latter are
        return lambda **given: models.get_model(source.what, **(dict.fromkeys(fetched) | given))
    if source.home == "timm":
        timm = library("timm")
        if not timm.is_model(source.what):
            raise UsageError(f"timm has no model '{source.what}'", suggestion(source.what, timm.list_models()))
        return lambda **given: timm.create_model(source.what, **given)
    if source.home == "transformers":
        return hugging_face.maker(library("transformers"), source.what)
    found: Any = _module(source.home)
    for name in source.what.split("."):
        if not hasattr(found, name):
            raise UsageError(f"{source.home} has no '{name}'", suggestion(name, vars(found)))
        found = getattr(found, name)
    return found


def library(name: str) -> ModuleType:
    """A library, imported.

    Raises: UsageError: it can't be.
    """
    try:
        return _imported_library(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise UsageError(f"{package} can't be imported: {_first_line(error)}", f"pip install {package}") from None


def _imported_library(name: str) -> ModuleType:
    """A library; torchvision's Python, which timm needs, too, without its compiled part if that doesn't fit PyTorch."""
    try:
        return importlib.import_module(name)
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise ImportError(_first_line(error)) from error
        import torch

        compiled = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for operator in COMPILED:
            for name_of in (operator, f"_{operator}_backward"):
                compiled.define(f"{name_of}(Tensor x) -> Tensor")  # type: ignore[no-untyped-call]
        KEPT.append(compiled)
        return importlib.import_module(name)


def _module(home: str) -> ModuleType:
    """The user's module: a file, or one that can be imported from this folder, too."""
    try:
        if not home.endswith(".py"):
            with _OwnFolder(), quiet():
                return importlib.import_module(home)
        spec = importlib.util.spec_from_file_location(Path(home).stem, home)
        if spec is None or spec.loader is None or not Path(home).is_file():
            raise UsageError(f"there is no file '{home}'")
        module = importlib.util.module_from_spec(spec)
        sys.modules.setdefault(module.__name__, module)
        with quiet():
            spec.loader.exec_module(module)
        return module
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        raise UsageError(f"{home} fails when it's imported: {type(error).__name__}: {_first_line(error)}") from error


class _OwnFolder:
    """While it lasts, modules of the folder that the user is in can be imported."""

    def __enter__(self) -> None:
        sys.path.insert(0, "")

    def __exit__(self, *_: object) -> None:
        sys.path.remove("")


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def usual_sizes(source: Source) -> Sizes | None:
    """The inputs that a library says its network is made for; None for other code."""
    if source.home == "timm":
        _factory(source)  # it may not be there
        return [tuple(library("timm").get_pretrained_cfg(source.what).input_size)]
    if source.home == "torchvision":
        weights = library("torchvision.models").get_model_weights(source.what)
        presets = [each.transforms() for each in weights]
        crops = [list(preset.crop_size) for preset in presets if hasattr(preset, "crop_size")]
        sides = min(crops, default=[SIDE])  # some weights are of a larger model of the same name
        kinds = {type(preset).__name__ for preset in presets}
        frames = (FRAMES,) if "VideoClassification" in kinds else ()
        return [(3, *frames, sides[0], sides[-1])] * (2 if "OpticalFlow" in kinds else 1)
    if source.home == "transformers":
        return hugging_face.usual_inputs(built(source, "meta"))
    return None


def examples(sizes: Sizes, device: str, seed: int = 0) -> Inputs:
    """Inputs of such sizes, in a batch; for a number of tokens as many small integers.

    Raises: UsageError: they are too large.
    """
    import torch

    generator = torch.Generator(device="cpu").manual_seed(seed)

    def example(size: Size) -> Tensor:
        if isinstance(size, int):
            return torch.randint(*FEW_TOKENS, (BATCH, size), generator=generator).to(device)
        return torch.randn(BATCH, *size, generator=generator).to(device)

    try:
        if isinstance(sizes, Mapping):
            return {name: example(size) for name, size in sizes.items()}
        return list(map(example, sizes))
    except (RuntimeError, TypeError) as error:  # more than there's memory for, or than 64 bits count
        raise UsageError(f"PyTorch can't make inputs of such sizes: {_first_line(error)}") from None
