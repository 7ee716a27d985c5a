"""A Hugging Face config as a spec: read as data, by a table of model types, without PyTorch or transformers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from archcalc import files
from archcalc.errors import SpecError, UsageError, suggestion
from archcalc.expand import build
from archcalc.importers.configs.decoders import Decoder
from archcalc.importers.configs.fields import Fields
from archcalc.importers.configs.model_types import TYPES
from archcalc.language.model import Spec
from archcalc.language.reader import parse_spec
from archcalc.language.tree import Source

CONFIG = "config.json"
MOST = 1_000_000
"""Bytes of a config; those of models with a thousand labels have some 100,000."""


def spec_of_config(path: Path) -> Spec:
    """The spec of the model that a config describes.

    Raises: UsageError: the file can't be read, or isn't a config that is understood.
    """
    try:
        return spec_of_fields(files.read_json(path, floats=True, follow=True, most=MOST), str(path))
    except FileNotFoundError:
        raise UsageError(f"there is no file '{path}'") from None
    except UsageError:
        if not files.leads_out(path, path.parent):
            raise
        message = f"'{path}' is a symbolic link that leads out of its folder, and not to a config that is understood"
        raise UsageError(message, "name the file itself to see what isn't") from None


def spec_of_fields(config: Any, name: str = CONFIG) -> Spec:
    """The same of a config at hand, as a mapping.

    Raises: UsageError: the type isn't known, a field isn't understood, or its value can't be.
    """
    text, label = _text(config, name)
    try:
        spec = parse_spec(Source(f"{label}.yaml", text, None))
        build(spec)
    except SpecError as error:
        first = next(each for each in error.diagnostics if each.severity == "error")
        raise UsageError(f"{name}: {first.message}", "its fields contradict each other") from None
    return spec


def _text(config: Any, name: str) -> tuple[str, str]:
    """A spec's text, and its name."""
    if not isinstance(config, Mapping):
        raise UsageError(f"{name}: a config is an object with fields", '{"model_type": "llama", …}')
    kind = config.get("model_type")
    if not isinstance(kind, str):
        raise UsageError(f"{name} has no model_type", f"one of {', '.join(TYPES)}")
    if kind not in TYPES:
        raise UsageError(f"{name}: model_type '{kind:.60}' isn't known", suggestion(kind, TYPES))
    fields, known = Fields(config, name), TYPES[kind]
    head = known.head(config, name)
    found = known.read(fields, head)
    fields.finish()
    if isinstance(found, Decoder) and head == "Model":
        found = replace(found, logits=False, behind="")
    label = re.sub(r"\W", "_", kind)
    return found.text(label, f"'a config of {known.class_name(head)}'"), label
