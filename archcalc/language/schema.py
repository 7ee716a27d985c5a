"""A JSON Schema of the spec language, for editors: keys, layer kinds, the arguments of the long form.

It can't look into chains (`conv 64 3x3 -> relu` is one text to it); `archcalc check` does.
"""

from __future__ import annotations

from typing import Any

from archcalc.language.budgets import BUDGET
from archcalc.language.item_reader import MERGES, merged_by
from archcalc.layers import REGISTRY
from archcalc.layers.base import SHORTHANDS
from archcalc.quantities import BYTES, claimable
from archcalc.shape import AXES

_VALUE = {"type": ["string", "number", "boolean", "array"], "description": "a number, an expression, or a list"}
_TEXT = {"type": "string"}


def json_schema() -> dict[str, Any]:
    """The schema, JSON Schema 2020-12."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "archcalc spec",
        "description": "An architecture: chains such as 'conv 64 3x3 -> bn -> relu', and structure around them",
        "type": "object",
        "required": ["archcalc", "name", "layers"],
        "additionalProperties": False,
        "properties": _top_level(),
        "$defs": {
            "item": _item(),
            "branches": {
                "description": "branches that share the input",
                "anyOf": [
                    {"type": "array", "items": {"$ref": "#/$defs/item"}, "minItems": 1},
                    _loop("a branch for each row of the lists", {"$ref": "#/$defs/item"}),
                    {
                        "type": "object",
                        "not": {"anyOf": [{"required": ["for"]}, {"required": ["do"]}]},
                        "additionalProperties": {"$ref": "#/$defs/item"},
                        "minProperties": 1,
                    },
                ],
            },
            "axes": _closed(dict.fromkeys(AXES, _VALUE), "the size of each axis; their order is the layout"),
            "claim": _claim(),
        },
    }


def _closed(properties: dict[str, Any], description: str, **more: Any) -> dict[str, Any]:
    """An object with these keys and no others."""
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "additionalProperties": False,
        **more,
    }


def _map(values: Any, description: str) -> dict[str, Any]:
    """An object with any keys."""
    return {"type": "object", "description": description, "additionalProperties": values}


def _top_level() -> dict[str, Any]:
    hparam = _closed({"value": _VALUE, "min": _VALUE, "multiple_of": _VALUE, "doc": _TEXT}, "a value and its bounds")
    use = _closed(
        {"spec": _TEXT, "variant": _TEXT, "at": _map(_VALUE, "values for its hparams"), "upto": _TEXT},
        "another spec, up to a named layer",
        required=["spec"],
    )
    variant = _map(_VALUE, "values for hparams")
    variant["properties"] = {
        "extends": {**_TEXT, "description": "the variant whose values this one takes over"},
        "as": {"type": ["string", "array"], "items": _TEXT, "description": "further names for it"},
        "title": {**_TEXT, "description": "one line that says what it is, instead of the spec's"},
    }
    return {
        "archcalc": {"const": 1, "description": "the language's version; comes first"},
        "name": {**_TEXT, "description": "the name by which commands find this spec"},
        "title": {**_TEXT, "description": "one line that says what it is"},
        "source": {**_TEXT, "description": "the publication that describes it"},
        "input": {"$ref": "#/$defs/axes"},
        "inputs": _map({"$ref": "#/$defs/axes"}, "several named inputs; the layers start from the first"),
        "hparams": _map({"anyOf": [_VALUE, hparam]}, "what variants and --set may change"),
        "defaults": _closed(
            {kind: _arguments(kind) for kind in sorted(REGISTRY)}, "arguments for every layer of a kind"
        ),
        "tables": _map({"type": "array", "items": {"type": "string", "pattern": "^[X.]+$"}}, "connection tables"),
        "use": _map(use, "other specs, each as a block without arguments"),
        "blocks": _pieces("named pieces: 'name(formal, formal=default)': item"),
        "modules": _pieces("named pieces whose calls with equal arguments share their weights"),
        "layers": {"$ref": "#/$defs/item"},
        "outputs": _outputs(),
        "variants": _map({"anyOf": [variant, {"type": "null"}]}, "hparam values under a name"),
        "default": {**_TEXT, "description": "the variant that the spec's own name means"},
        "claims": {"type": "array", "items": {"$ref": "#/$defs/claim"}},
        "notes": _TEXT,
    }


def _pieces(description: str) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "patternProperties": {r"^[A-Za-z_]\w*\s*\(.*\)\s*$": {"$ref": "#/$defs/item"}},
        "additionalProperties": False,
    }


def _loop(description: str, item: Any, **more: Any) -> dict[str, Any]:
    variables = _map(_VALUE, "variables and their lists")
    return _closed({"for": variables, "do": item, **more}, description, required=["for", "do"])


def _outputs() -> dict[str, Any]:
    one = {"anyOf": [_TEXT, _loop("a path for each row of the lists", _TEXT)]}
    description = "paths of the tensors that the graph gives out"
    return {"description": description, "anyOf": [*one["anyOf"], {"type": "array", "items": one}]}


def _arguments(kind: str, **more: Any) -> dict[str, Any]:
    """The arguments of a layer kind, under their long and short names."""
    shorts = {long: short for short, long in SHORTHANDS.items()}
    properties: dict[str, Any] = dict(more)
    for name, argument in REGISTRY[kind].arguments().items():
        described = {**_VALUE, "description": argument.type.description}
        if argument.type.words and argument.type.name not in ("Padding", "Bias"):
            described = {"enum": list(argument.type.words), "description": argument.type.description}
        properties[name] = described
        if name in shorts:
            properties[shorts[name]] = described
    return _closed(properties, (REGISTRY[kind].__doc__ or kind).partition("\n")[0])


def _item() -> dict[str, Any]:
    item = {"$ref": "#/$defs/item"}
    common = {"from": {**_TEXT, "description": "start from an earlier tensor"}, "note": _TEXT}
    long_forms = [
        {
            "if": {"properties": {"op": {"const": kind}}, "required": ["op"]},
            "then": _arguments(kind, op=_TEXT, **common),
        }
        for kind in sorted(REGISTRY)
    ]
    structs = [
        *(
            _closed(
                {kind: {"$ref": "#/$defs/branches"}, **dict.fromkeys(merged_by(kind), _VALUE), **common},
                f"{kind} of branches",
                required=[kind],
            )
            for kind in MERGES
        ),
        _closed({"residual": item, "shortcut": item, **common}, "an item plus its shortcut", required=["residual"]),
        _arguments("topk", moe=item, experts=_VALUE, shared=item, router=item, **common)
        | {"description": "a mixture of experts", "required": ["moe", "experts", "top"]},
        _loop("one pass for each row of the lists", item, **common),
        _closed(
            {"if": {"type": ["string", "boolean"]}, "then": item, "else": item, **common},
            "one item or the other",
            required=["if", "then"],
        ),
        {"type": "object", "required": ["op"], "description": "a layer, argument by argument", "allOf": long_forms},
        {
            "type": "object",
            "description": "a named item",
            "minProperties": 1,
            "maxProperties": 1,
            "not": {"anyOf": [{"required": [key]} for key in ("op", "residual", "for", "if", *MERGES)]},
            "additionalProperties": item,
        },
    ]
    return {
        "description": "a chain, a list of items, a named item, or a structure",
        "anyOf": [
            {"type": ["string", "null"], "description": "a chain: conv 64 3x3 s=2 -> bn -> relu"},
            {"type": "array", "items": item},
            *structs,
        ],
    }


def _claim() -> dict[str, Any]:
    subject = rf"^({'|'.join(claimable())})(\(.+\))?$"
    figure = {
        "description": "a figure as it is printed (138M, 93MB), an expression, or a budget (<10M, '>= 5M', 4G..5G)",
        "type": ["string", "number", "array"],
    }
    budget = {"type": "string", "pattern": BUDGET}
    return {
        "type": "object",
        "description": "published figures with their source, or budgets",
        "minProperties": 1,
        "anyOf": [{"required": ["source"]}, {"patternProperties": {subject: _by_variant(budget)}}],
        "properties": {
            "source": {**_TEXT, "description": "where the figure is printed"},
            "digits": {
                "type": "integer",
                "minimum": 1,
                "maximum": 99,
                "description": "how many of the printed digits the source means; the others are zeros",
            },
            "tol": {
                "type": "string",
                "pattern": r"^\d{1,3}(\.\d{1,9})?\s*%$",
                "description": "how far a figure that says 'about' may be off, at most 10%: 2%",
            },
            "at": _map(_VALUE, "hparam values for which it is claimed"),
            "dtype": {"enum": [*BYTES], "description": "that of values, for what is measured in bytes"},
            "variant": {**_TEXT, "description": "the variant it is about"},
            "holds": {"type": "boolean", "description": "false for an erratum, which must fail"},
            "note": {**_TEXT, "description": "why a printed figure is wrong"},
        },
        "patternProperties": {subject: _by_variant(figure)},
        "additionalProperties": False,
    }


def _by_variant(figure: dict[str, Any]) -> dict[str, Any]:
    """A figure, or one for each of several variants."""
    return {"anyOf": [figure, {"type": "object", "additionalProperties": figure}]}
