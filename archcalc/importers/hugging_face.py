"""Models of Hugging Face's transformers: of a config, without weights."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from archcalc.errors import UsageError, suggestion

if TYPE_CHECKING:
    from torch import nn

TOKENS = 128
"""How many are read, where nobody says it."""
SAMPLES = 16_000
"""Of sound: a second."""
SIDE = 224


def maker(library: ModuleType, name: str) -> Callable[..., nn.Module]:
    """What builds the model that a config describes: a folder's or a file's, or one that the library gets by its name.

    It's of the class that `architectures` names, or else of the one that the library takes for the type. The values
    that it's called with are fields of the config.
    """

    def make(**given: Any) -> nn.Module:
        config = _config(library, name, given)
        known = (getattr(library, each, None) for each in config.architectures or ())
        found: Any = next(filter(None, known), None)
        model: nn.Module = library.AutoModel.from_config(config) if found is None else found(config)
        return model

    return make


def _config(library: ModuleType, name: str, given: Mapping[str, Any]) -> Any:
    """A config, with some of its fields replaced.

    Raises: UsageError: it isn't there, or has no such field. OSError: the library can't get it.
    """
    name = str(Path(name).expanduser()) if name.startswith("~") else name
    if name.startswith((".", "/")) and not Path(name).exists():
        raise UsageError(f"there is no '{name}'", "a folder with a config.json, or the file itself")
    read: Any = library.AutoConfig.from_pretrained
    try:  # what is there already isn't asked for again
        config, unused = read(name, return_unused_kwargs=True, local_files_only=True, **given)
    except OSError:
        config, unused = read(name, return_unused_kwargs=True, **given)
    if unused:
        field = next(iter(unused))
        raise UsageError(f"the config of {name} has no field '{field}'", suggestion(field, config.to_dict()))
    return config


def usual_inputs(model: nn.Module) -> dict[str, tuple[int, ...] | int]:
    """What a model reads, by name, and the sizes that its config is made for; of tokens their number."""
    config: Any = model.config
    takes = inspect.signature(model.forward).parameters
    names = [str(model.main_input_name)]
    if "decoder_input_ids" in takes and getattr(config, "is_encoder_decoder", False):
        names.append("decoder_input_ids")
    if hasattr(model, "get_image_features") and hasattr(model, "get_text_features"):
        names = ["input_ids", "pixel_values"]
    return {name: _sizes(config, name) for name in names}


def _sizes(config: Any, name: str) -> tuple[int, ...] | int:
    """The sizes of an input, the batch left out."""
    if name == "pixel_values":
        seen = getattr(config, "vision_config", config)
        sides = getattr(seen, "image_size", None) or SIDE
        height, width = (sides, sides) if isinstance(sides, int) else sides
        return (getattr(seen, "num_channels", 3), height, width)
    if name == "input_values":
        return (SAMPLES,)
    if name == "input_features":
        return (config.num_mel_bins, 2 * config.max_source_positions)
    read = getattr(config, "text_config", config)
    longest = getattr(read, "max_position_embeddings", None)
    return min(TOKENS, longest) if isinstance(longest, int) and longest > 0 else TOKENS
