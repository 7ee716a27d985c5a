"""Random valid specs, as YAML text: branches, loops, blocks, references and every layer kind.

Shapes are followed with the layers' own formulas, so that what is drawn fits; whether they are right is what PyTorch
then says.
"""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import strategies as st

from archcalc.errors import ShapeError
from archcalc.layers import REGISTRY
from archcalc.shape import Shape
from tests.random_layers import Draw, Values, between, maybe, number, paddings
from tests.random_steps import Draft, Known, call, layer_step


def joined(steps: list[Any]) -> Any:
    """Steps as one chain; if one is in the long form, as a list."""
    return " -> ".join(steps) if all(isinstance(step, str) for step in steps) else steps


def chain(draft: Draft, x: Shape, most: int = 3) -> tuple[Any, Shape]:
    """Steps one after the other."""
    steps: list[Any] = []
    for _ in range(number(draft.draw, 1, most)):
        step, x, *_ = layer_step(draft, x)
        steps.append(step)
    return joined(steps), x


def preserving(draft: Draft, x: Shape) -> Any:
    """An item whose output is like its input."""
    drawn, shape = chain(draft, x, 2)
    return drawn if shape == x else "relu" if "C" in x else "identity"


def stretched(draft: Draft, x: Shape) -> tuple[Any, Shape]:
    """A branch whose volume may be stretched to others: one of the axes' sizes is 1, or they are missing."""
    if "C" in x and draft.chance(2):
        found = Shape(C=draft.draw(st.sampled_from([1, x.C])))
        return f"param C={found.C}", found
    axis = draft.draw(st.sampled_from(list(x)))
    return f"part {axis} stop=1", x.with_(**{axis: 1})


def merge(draft: Draft, x: Shape, depth: int) -> tuple[Any, Shape]:
    """Branches as they come if they can be joined, else copies of the first."""
    kind = draft.draw(st.sampled_from(["add", "mul", "concat"]))
    branches = [item(draft, x, depth - 1) for _ in range(number(draft.draw, 1, 3))]
    first, shape = branches[0]
    if kind == "mul" and shape.spatial and "C" in shape and draft.chance(2):
        gate = Shape(**{axis: 1 if axis in shape.spatial else size for axis, size in shape.items()})
        branches[-1] = ([first, "global_avgpool -> sigmoid"], gate)
    given: dict[str, Any] = {}
    if kind == "concat" and draft.chance(2):
        given = {"axis": draft.draw(st.sampled_from(list(shape)))}
    if kind != "concat" and draft.chance(2):
        given = {"broadcast": True}
        if "C" in shape and draft.chance(2):
            branches.append(stretched(draft, x))
    joiner = REGISTRY[kind](**given)
    try:
        result = joiner.output_shape(*(found for _, found in branches))
    except ShapeError:
        if "C" not in shape and kind == "concat":
            given = {"axis": next(iter(shape))}
        else:
            given = {name: value for name, value in given.items() if name == "axis"}
        joiner = REGISTRY[kind](**given)
        branches = [branches[0]] * len(branches)
        result = joiner.output_shape(*(found for _, found in branches))
    # a list around a scope: branches of one merge must not have the same name
    items: Any = [[drawn] if isinstance(drawn, dict) and len(drawn) == 1 else drawn for drawn, _ in branches]
    if draft.chance(3):
        items = {draft.fresh("branch"): drawn for drawn in items}
    return {kind: items, **given}, result


def residual(draft: Draft, x: Shape, depth: int) -> tuple[Any, Shape]:
    """A body and a shortcut; either may be anything that fits the other."""
    body, shape = item(draft, x, depth - 1)
    if shape == x and not draft.chance(3):
        return {"residual": body}, shape
    return {"residual": body, "shortcut": body if shape != x or draft.chance(2) else preserving(draft, x)}, shape


def apply(draft: Draft, x: Shape, kind: str, **values: Any) -> Shape:
    """The shape behind one layer, with the spec's defaults."""
    return REGISTRY[kind](**{**draft.defaults.get(kind, {}), **values}).output_shape(x)


def loop(draft: Draft, x: Shape, depth: int) -> tuple[Any, Shape]:
    """Passes that leave the shape alone, or convolutions whose channels and kernels come from a list."""
    if not x.spatial or "C" not in x or draft.chance(2):
        return {"for": {"i": f"1..{number(draft.draw, 0, 3)}"}, "do": preserving(draft, x)}, x
    rows = draft.draw(st.lists(st.tuples(st.integers(1, 6), st.sampled_from([1, 3])), min_size=1, max_size=3))
    body = draft.draw(st.sampled_from(["conv c k p=half s=1", "conv c k p=half s=1 -> bn -> relu", "conv c k p=same"]))
    shape = x
    for channels, kernel in rows:
        padding = "same" if body.endswith("same") else "half"
        more = {} if padding == "same" else {"stride": 1}
        shape = apply(draft, shape, "conv", out_channels=channels, kernel_size=kernel, padding=padding, **more)
    if draft.chance(2):
        return {"for": {"c k": [list(row) for row in rows]}, "do": body}, shape
    return {"for": {"c": [c for c, _ in rows], "k": [k for _, k in rows]}, "do": body}, shape


def repeated(draft: Draft, x: Shape, depth: int) -> tuple[Any, Shape]:
    """`(chain)*n`."""
    body = preserving(draft, x)
    return (f"({body})*{number(draft.draw, 0, 3)}" if isinstance(body, str) else body), x


def condition(draft: Draft, x: Shape, depth: int) -> tuple[Any, Shape]:
    """An item under a condition, or the other one."""
    truth = draft.draw(st.booleans())
    text = f"{next(f'x.{axis}' for axis in x)} {'>' if truth else '<='} 0"
    chosen, shape = item(draft, x, depth - 1)
    other = preserving(draft, x)
    if draft.chance(2) and isinstance(chosen, str) and not {"->", "if"} & set(chosen.split()):
        return (f"{chosen} if {text}", shape) if truth else (f"{chosen} if {text} -> identity", x)
    if all(isinstance(each, str) and each for each in (chosen, other)) and draft.chance(2):
        steps = (chosen, other) if truth else (other, chosen)
        return f"({steps[0]}) if {text} else ({steps[1]})", shape
    return {"if": text, "then": chosen if truth else other, "else": other if truth else chosen}, shape


def block_call(draft: Draft, x: Shape, depth: int) -> tuple[Any, Shape]:
    """A block, called twice: with formals on a volume, or as it is on any other."""
    name = draft.fresh("block")
    if not x.spatial or "C" not in x or draft.sealed:
        sealed, draft.sealed = draft.sealed, True
        draft.blocks[f"{name}()"] = preserving(draft, x)
        draft.sealed = sealed
        return f"{name} -> {name}", x
    draft.blocks[f"{name}(c, k=3)"] = draft.draw(
        st.sampled_from(["conv c k p=half s=1 -> bn", [{"body": "conv c k p=half s=1"}, "relu"]])
    )
    channels, kernel = number(draft.draw, 1, 6), draft.draw(st.sampled_from([1, 2, 3]))
    words = f"{name} {channels}" + ("" if kernel == 3 else f" k={kernel}")
    for _ in range(2):
        x = apply(draft, x, "conv", out_channels=channels, kernel_size=kernel, padding="half", stride=1)
    return f"{words} -> {words}", x


def module_calls(draft: Draft, x: Shape, depth: int) -> tuple[Any, Shape]:
    """A module, called several times: on equal volumes, in loops and branches, in another one; or on other sizes."""
    name, sealed = draft.fresh("module"), draft.sealed
    if x.spatial and "C" in x and not sealed and draft.chance(2):
        body = draft.draw(
            st.sampled_from(["conv c 3 p=half s=1 -> bn", "dwconv 3 p=half s=1", "prelu x.C -> conv c 1 s=1 p=0"])
        )
        draft.modules[f"{name}(c)"] = body
        shape = apply(draft, x, "conv", out_channels=4, kernel_size=1, padding=0, stride=1)
        smaller = REGISTRY["maxpool"](1, stride=2).output_shape(shape)
        return f"conv 4 1 s=1 p=0 -> {name} 4 -> maxpool 1 s=2 -> {name} 4", smaller
    draft.sealed = True
    draft.modules[f"{name}()"] = preserving(draft, x)
    if draft.chance(3):
        inner, name = name, draft.fresh("module")
        draft.modules[f"{name}()"] = [inner, preserving(draft, x), f"({inner})*2"]
    draft.sealed = sealed
    times = number(draft.draw, 0, 3)
    forms: list[Any] = [
        f"{name} -> {name}", f"({name})*{times}", {"residual": [name]},
        [{draft.fresh("scope"): name}, {draft.fresh("scope"): [name, preserving(draft, x)]}],
        {"for": {"i": f"1..{times}"}, "do": [preserving(draft, x), name]},
    ]  # fmt: skip
    return [name, draft.draw(st.sampled_from(forms))], x


def named(draft: Draft, x: Shape, depth: int) -> tuple[Any, Shape]:
    """A scope inside another."""
    inner, shape = item(draft, x, depth - 1)
    name = draft.draw(st.sampled_from([*draft.awkward, draft.fresh("scope")]))
    draft.awkward = [other for other in draft.awkward if other != name]
    return {name: inner}, shape


def sequence(draft: Draft, x: Shape, depth: int) -> tuple[Any, Shape]:
    """Items one after the other."""
    first, x = item(draft, x, depth - 1)
    second, x = chain(draft, x, 2)
    return [first, second], x


def item(draft: Draft, x: Shape, depth: int) -> tuple[Any, Shape]:
    """Any item, and the shape behind it."""
    if depth <= 0 or "C" not in x or draft.chance(2):  # token numbers are looked up, nothing else
        return chain(draft, x)
    forms = [merge, residual, loop, repeated, condition, block_call, module_calls, named, sequence]
    return draft.draw(st.sampled_from(forms))(draft, x, depth)


def pool_and_back(draft: Draft, x: Shape) -> tuple[list[Any], Shape]:
    """A pool, something between, and the unpooling that undoes it."""
    values: Values = {"kernel_size": number(draft.draw, 1, 3), "stride": number(draft.draw, 1, 3)}
    maybe(draft.draw, values, "padding", paddings(len(x.spatial), 1))
    ceil = draft.draw(st.sampled_from([{}, {"ceil": True}]))
    name = draft.fresh("n")
    try:
        below = REGISTRY["maxpool"](**values, **ceil).output_shape(x)
        result = REGISTRY["unpool"](**values, like=name).output_shape(below, x)
    except ShapeError:
        return [preserving(draft, x)], x
    first = {name: preserving(draft, x)}
    draft.names.append(Known(name, x))
    down, up = (
        call(draft, "maxpool", {**values, **ceil}, x),
        call(draft, "unpool", {**values, "like": f"@{name}"}, below),
    )
    return [first, down, "relu", up], result


def detector(draft: Draft, x: Shape) -> tuple[list[Any], Shape]:
    """Scores and boxes for anchors, the best of them as regions, and what the map shows there."""
    base, score, box, rois = (draft.fresh("n") for _ in range(4))
    anchors, size = number(draft.draw, 1, 3), number(draft.draw, 1, 3)
    count = number(draft.draw, 1, anchors * x["H"] * x["W"])
    options, pool = "p=0 s=1 d=1", draft.draw(st.sampled_from(["roipool", "roialign", "roialign sampling=1"]))
    paired = draft.draw(st.booleans())
    items = [
        {base: "relu"},
        {score: f"conv {2 * anchors if paired else anchors} 1 {options}"},
        {box: f"from {base} -> conv {4 * anchors} 1 {options}"},
        {rois: f"from {score} -> proposals {count} box=@{box} paired={str(paired).lower()}"},
        f"from {base} -> {pool} output_size={size} rois=@{rois}",
    ]
    draft.names += [Known(base, x), Known(rois, Shape(R=count, C=4))]
    return items, x.with_(R=count, H=size, W=size)


def shared(draft: Draft, x: Shape) -> tuple[list[Any], Shape]:
    """A layer, and a later one with the same weights: the same matrix, kernels or vectors, or a convolution's way back."""
    name = draft.fresh("n")
    bias = draft.draw(st.sampled_from(["", " bias=false"]))
    if "C" not in x:
        rows, width = number(draft.draw, 1, 20), number(draft.draw, 1, 8)
        if draft.chance(2):
            first = draft.fresh("n")
            again = f"from {first} -> embed {rows} {width} tie=@{name}"
            return [{first: "identity"}, {name: f"embed {rows} {width}"}, again], x.with_(C=width)
        return [{name: f"embed {rows} {width}"}, "relu", f"fc {rows}{bias} tie=@{name}"], x.with_(C=rows)
    width = number(draft.draw, 1, 6)
    if tuple(x) == ("T", "C") and draft.chance(2):
        table = draft.draw(st.sampled_from(["buckets=4 max_distance=3", f"relative={x['T']}"]))
        other = draft.draw(st.sampled_from(["", " causal=true", " softcap=2"]))
        return [
            {name: f"attention 1 {table}"},
            f"fc {width}",
            f"attention 1 {table}{bias}{other} tie=@{name}",
        ], x.with_(C=width)
    if not x.spatial:
        return [{name: f"fc {width}"}, f"fc {x.C}", f"fc {width}{bias} tie=@{name}"], x.with_(C=width)
    if draft.chance(2):
        same = draft.draw(st.sampled_from([f"conv {x.C} 3 s=1 p=half", f"conv {x.C} 1 s=1 p=half", "dwconv 3 p=half"]))
        return [{name: same}, "relu", f"{same}{bias} tie=@{name}"], x
    kernel = number(draft.draw, 1, min(3, *(x[axis] for axis in x.spatial)))
    stride = number(draft.draw, 1, 2)
    below = REGISTRY["conv"](width, kernel, stride=stride, bias=True).output_shape(x)
    down = f"conv {width} {kernel} s={stride} p=0{bias or ' bias=true'}"
    up = REGISTRY["tconv"](x.C, kernel, stride=stride).output_shape(below)
    return [{name: down}, "relu", f"tconv {x.C} {kernel} s={stride}{bias} tie=@{name}"], up


def styled(draft: Draft, x: Shape) -> tuple[list[Any], Shape]:
    """A convolution that a vector modulates, made of the volume itself."""
    first, style, filters = draft.fresh("n"), draft.fresh("n"), number(draft.draw, 1, 5)
    sides = [number(draft.draw, 1, min(3, x[axis])) for axis in x.spatial]
    kernel = "x".join(map(str, sides))
    words = draft.draw(st.sampled_from(["", " p=1", " demodulate=false", " bias=false"]))
    made = REGISTRY["modconv"](filters, tuple(sides), style, padding=int(words == " p=1")).output_shape(x, Shape(C=x.C))
    step = f"from {first} -> modconv {filters} {kernel} @{style}{words}"
    return [{first: "identity"}, {style: f"global_avgpool -> flatten -> fc {x.C}"}, step], made


def deformed(draft: Draft, x: Shape) -> tuple[list[Any], Shape]:
    """A convolution whose taps are moved by another one's values, perhaps with a mask, and by groups of channels."""
    first, offset, mask = (draft.fresh("n") for _ in range(3))
    sides = tuple(number(draft.draw, 1, min(3, x[axis])) for axis in "HW")
    groups = draft.draw(st.sampled_from([each for each in (1, 2, 3) if x.C % each == 0]))
    moved = draft.draw(st.sampled_from([each for each in range(1, min(x.C, 3) + 1) if x.C % each == 0]))
    stride, padding = number(draft.draw, 1, 2), draft.draw(st.sampled_from([0, 1, "half", "same"]))
    window = f"s={stride} p={padding} d=1"
    kernel, taps = "x".join(map(str, sides)), sides[0] * sides[1]
    items: list[Any] = [{first: "identity"}, {offset: f"conv {2 * taps * moved} {kernel} {window} bias=true"}]
    words = f"{window} g={groups}" + draft.draw(st.sampled_from(["", " bias=false"]))
    if draft.chance(2):
        items.append({mask: f"from {first} -> conv {taps * moved} {kernel} {window} -> sigmoid"})
        words += f" mask=@{mask}"
    y = REGISTRY["conv"](2 * groups, sides, stride=stride, padding=padding).output_shape(x)
    return [*items, f"from {first} -> deform_conv {2 * groups} {kernel} @{offset} {words}"], y


def cross(draft: Draft, x: Shape) -> tuple[list[Any], Shape]:
    """Attention of tokens to others of another width."""
    first, memory = draft.fresh("n"), draft.fresh("n")
    items = [{first: "identity"}, {memory: f"cls_token -> fc {number(draft.draw, 1, 5)}"}]
    words = draft.draw(st.sampled_from(["", " causal=true", " bias=false"]))
    heads = draft.draw(st.sampled_from([h for h in range(1, x.C + 1) if x.C % h == 0]))
    return [*items, f"from {first} -> attention {heads} kv=@{memory}{words}"], x


def attended(draft: Draft, x: Shape) -> tuple[list[Any], Shape]:
    """Attention without projections: of queries, keys and values that are made apart, or parts of one volume."""
    first, keys, values = draft.fresh("n"), draft.fresh("n"), draft.fresh("n")
    heads, size, width = (number(draft.draw, 1, 3) for _ in range(3))
    given: Values = {"num_heads": heads, "keys": f"@{keys}", "values": f"@{values}"}
    maybe(draft.draw, given, "causal", st.booleans())
    if draft.chance(2):
        items = [{first: f"fc {3 * heads * size}"}]
        items += [{name: f"from {first} -> chunk 3 {place}"} for place, name in ((1, keys), (2, values))]
        queries, width = f"from {first} -> chunk 3 0", size
    else:
        groups = draft.draw(st.sampled_from([n for n in range(1, heads + 1) if heads % n == 0]))
        items, given = [{first: "identity"}], {**given, "kv_heads": groups}
        wanted = ((size, keys), (width, values))
        items += [{name: f"from {first} -> fc {groups * number}"} for number, name in wanted]
        queries = f"from {first} -> fc {heads * size}"
    inside = between(draft.draw, x, heads, bool(given.get("causal")))
    step = call(draft, "sdpa", {**given, **inside}, x.with_(C=heads * size))
    return [*items, [queries, step]], x.with_(C=heads * width)


def scanned(draft: Draft, x: Shape) -> tuple[list[Any], Shape]:
    """A selective scan of tokens, with steps, what is written and what reads made of them, or of parts of one volume."""
    first, delta, b, c = (draft.fresh("n") for _ in range(4))
    size, skip = number(draft.draw, 1, 3), draft.draw(st.sampled_from(["", " skip=false"]))
    items: list[Any] = [{first: "identity"}, {delta: f"fc {x.C} -> softplus"}]
    if draft.chance(2):
        both = draft.fresh("n")
        items.append({both: f"fc {2 * size}"})
        items += [{name: f"from {both} -> chunk 2 {place}"} for place, name in enumerate((b, c))]
    else:
        items += [{name: f"from {first} -> fc {size}"} for name in (b, c)]
    return [*items, f"from {first} -> selective_scan @{delta} @{b} @{c}{skip}"], x


def multiplied(draft: Draft, x: Shape) -> tuple[list[Any], Shape]:
    """Products of a volume with itself: of features with features, and what comes of it with the tokens."""
    name = draft.fresh("n")
    return [{name: "identity"}, f"matmul @{name} transpose=true -> matmul @{name}"], x


def mixture(draft: Draft, x: Shape) -> tuple[list[Any], Shape]:
    """A mixture of experts, perhaps with something shared; or its parts alone, which need no expert."""
    experts = number(draft.draw, 1, 5)
    top = number(draft.draw, 1, experts)
    if draft.chance(3):
        name = draft.fresh("n")
        items = [{name: f"fc {experts} -> topk {top}"}]
        first = draft.fresh("n")
        return [{first: "identity"}, *items, f"from {first} -> dispatch @{name} {top} -> combine @{name} {top}"], x
    width = number(draft.draw, 1, 4)
    expert = draft.draw(
        st.sampled_from(
            [
                f"fc {x.C}",
                f"fc {width} -> relu -> fc {x.C} bias=false",
                [{"mul": {"gate": f"fc {width} -> silu", "up": f"fc {width}"}}, f"fc {x.C}"],
                f"(fc {x.C} -> scale)*2",
                {"residual": f"fc {2 * width} -> glu -> fc {x.C}"},
                "identity",
            ]
        )
    )
    made: dict[str, Any] = {"moe": expert, "experts": experts, "top": top}
    maybe(draft.draw, made, "renormalise", st.booleans())
    maybe(draft.draw, made, "shared", st.sampled_from(["identity", f"fc {x.C}"]))
    maybe(draft.draw, made, "router", st.sampled_from([f"fc {experts}", f"relu -> fc {experts}"]))
    return [made], x


def top_level(draft: Draft, x: Shape) -> tuple[list[Any], Shape]:
    """One item of `layers`, or a few that belong together."""
    choice = number(draft.draw, 0, 12)
    if choice == 12 or (choice == 11 and "C" not in x):
        return shared(draft, x)
    if choice == 11 and "T" in x and not x.spatial:
        return draft.draw(st.sampled_from([cross, attended, multiplied, scanned, mixture, mixture]))(draft, x)
    if choice < 3:
        step, shape, layer, inputs = layer_step(draft, x)
        name = draft.fresh("n")
        draft.names.append(Known(name, shape, layer, inputs))
        return [{name: step}], shape
    if choice == 3 and draft.names:
        known = draft.draw(st.sampled_from(draft.names))
        step, shape, *_ = layer_step(draft, known.shape)
        return [joined([f"from {known.path}", step])], shape
    if choice == 4 and x.spatial and "C" in x:
        return pool_and_back(draft, x)
    if choice == 5 and tuple(x) == ("C", "H", "W"):
        return draft.draw(st.sampled_from([detector, styled, deformed]))(draft, x)
    made, shape = item(draft, x, 2)
    if choice % 2:
        name = draft.fresh("n")
        draft.names.append(Known(name, shape))
        return [{name: made}], shape
    return [made], shape


INPUTS = [
    ("C", "H", "W"), ("H", "W", "C"), ("C", "W"), ("C", "D", "H", "W"), ("C",), ("T", "C"), ("T",), ("R", "C", "H", "W"),
    ("R", "T", "C"), ("T", "C", "W"), ("C", "H", "W"), ("C", "H", "W"),
]  # fmt: skip


def volume(draft: Draft) -> dict[str, int]:
    """The axes of one input, in any order that a spec may write."""
    return {axis: number(draft.draw, 1, 9) for axis in draft.draw(st.sampled_from(INPUTS))}


@st.composite
def specs(draw: Draw, most: int = 5) -> str:
    """The text of a valid spec."""
    draft = Draft(draw)
    head: dict[str, Any] = {"archcalc": 1, "name": "random"}
    first = volume(draft)
    x = Shape(**first)
    if draft.chance(5):
        second = volume(draft)
        head["inputs"] = {"one": first, "two": second}
        draft.names += [Known("one", x), Known("two", Shape(**second))]
    else:
        head["input"] = first
    if draft.chance(4):
        draft.defaults["conv"] = draw(st.sampled_from([{"padding": "half"}, {"bias": False}, {"stride": 2}]))
    layers: list[Any] = []
    for _ in range(number(draw, 1, most)):
        items, x = top_level(draft, x)
        layers += items
    if draft.hparams:
        head["hparams"] = draft.hparams
    if draft.defaults:
        head["defaults"] = draft.defaults
    if draft.tables:
        head["tables"] = draft.tables
    if draft.blocks:
        head["blocks"] = draft.blocks
    if draft.modules:
        head["modules"] = draft.modules
    head["layers"] = layers
    outputs = [known.path for known in draft.names if known.path not in ("one", "two")]
    if outputs and draft.chance(4):
        head["outputs"] = draw(st.lists(st.sampled_from(outputs), min_size=1, max_size=3, unique=True))
    return text_of(head)


class _Plain(yaml.SafeDumper):
    """YAML without aliases, which the language refuses."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  # the base's signature
        return True


def text_of(spec: dict[str, Any]) -> str:
    """A spec as YAML."""
    return yaml.dump(spec, Dumper=_Plain, sort_keys=False, width=1000)
