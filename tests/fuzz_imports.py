"""Random programs of known and unknown operations, imported: never a traceback, and params and shapes are the module's.

`python -m tests.fuzz_imports 500 --seed 7` goes through 500 of them; failures are printed with their seeds.
"""

from __future__ import annotations

import argparse
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

import archcalc
from archcalc.errors import ArchcalcError

BATCH = 2
INPUTS = ((3, 8, 8), (6, 8), (5, 12), (12,), (4, 3, 6, 6), (2, 6, 4, 5))
Way = Callable[..., Tensor]


class Program(nn.Module):
    """Tensors one after the other, each made of earlier ones by a random way."""

    def __init__(self, random: Random, example: Tensor, length: int) -> None:
        super().__init__()
        self.ways: list[tuple[Way, tuple[int, ...], str]] = []
        self.parts = nn.ModuleList()
        self.numbers = nn.ParameterList()
        tensors = [example]
        while len(self.ways) < length:
            name, make, reads = random.choice(WAYS)
            read = tuple(random.randrange(max(0, len(tensors) - 3), len(tensors)) for _ in range(reads))
            before = len(self.parts), len(self.numbers)
            try:
                way = make(self, random, *(tensors[each] for each in read))
                with torch.no_grad():
                    made = way(*(tensors[each].clone() for each in read))
                if made.numel() == 0 or made.numel() > 20_000 or made.dim() > 7:
                    raise ValueError
            except Exception:  # it doesn't fit these tensors
                del self.parts[before[0] :]
                self.numbers = nn.ParameterList(list(self.numbers)[: before[1]])
                continue
            self.ways.append((way, read, name))
            tensors.append(made)
        self.several = random.random() < 0.3

    def forward(self, x: Tensor) -> Any:
        tensors = [x]
        for way, read, _ in self.ways:
            tensors.append(way(*(tensors[each] for each in read)))
        return (tensors[-1], tensors[-2]) if self.several else tensors[-1]

    def __repr__(self) -> str:
        return " ; ".join(f"{name}{list(read)}" for _, read, name in self.ways)


def layer(make: Callable[[Tensor], nn.Module]) -> Callable[..., Way]:
    """A way that is a submodule."""

    def way(net: Program, _: Random, x: Tensor) -> Way:
        net.parts.append(make(x).eval())
        return net.parts[-1]

    return way


def plain(function: Callable[..., Tensor]) -> Callable[..., Way]:
    """A way without parameters."""
    return lambda *_: function


def with_parameter(sizes: Callable[[Tensor], Sequence[int]], function: Callable[[Tensor, Tensor], Tensor]) -> Any:
    """A way that reads a parameter by itself."""

    def way(net: Program, random: Random, x: Tensor) -> Way:
        net.numbers.append(nn.Parameter(torch.rand(*sizes(x))))
        number = len(net.numbers) - 1

        def written(x: Tensor) -> Tensor:
            return function(x, net.numbers[number])

        written.parameters = lambda: [net.numbers[number]]  # type: ignore[attr-defined]
        return written

    return way


def shuffled(net: Program, random: Random, x: Tensor) -> Way:
    """Dimensions in another order, the batch among them now and then."""
    order = list(range(1, x.dim()))
    random.shuffle(order)
    order = [0, *order] if random.random() < 0.8 else [*order, 0]
    return lambda x: x.permute(order)


def reshaped(net: Program, random: Random, x: Tensor) -> Way:
    """The same values under another shape."""
    sizes = list(x.shape)
    place = random.randrange(x.dim() - 1)
    if random.random() < 0.5:
        joined = [*sizes[:place], sizes[place] * sizes[place + 1], *sizes[place + 2 :]]
        return lambda x: x.reshape(joined)
    place = random.randrange(x.dim())
    parts = [n for n in (2, 3, 4) if sizes[place] % n == 0]
    n = random.choice(parts)
    divided = [*sizes[:place], n, sizes[place] // n, *sizes[place + 1 :]]
    return lambda x: x.reshape(divided)


def changed(x: Tensor) -> Tensor:
    """A part of a copy, changed in place."""
    x = x * 1.5
    x[:, : x.shape[1] // 2].relu_()
    return x


WAYS: list[tuple[str, Callable[..., Way], int]] = [
    ("conv", layer(lambda x: getattr(nn, f"Conv{x.dim() - 2}d")(x.shape[1], 6, 3, padding=1)), 1),
    ("linear", layer(lambda x: nn.Linear(x.shape[-1], 8)), 1),
    ("bn", layer(lambda x: getattr(nn, f"BatchNorm{max(1, x.dim() - 2)}d")(x.shape[1])), 1),
    ("ln", layer(lambda x: nn.LayerNorm(x.shape[-1])), 1),
    ("ln2", layer(lambda x: nn.LayerNorm(x.shape[-2:])), 1),
    ("relu", layer(lambda _: nn.ReLU()), 1),
    ("lstm", lambda net, random, x: _lstm(net, random, x), 1),
    ("attention", layer(lambda x: nn.TransformerEncoderLayer(x.shape[-1], 2, 8, batch_first=True)), 1),
    ("maxpool", layer(lambda x: getattr(nn, f"MaxPool{x.dim() - 2}d")(2)), 1),
    ("erfinv", plain(lambda x: torch.erfinv(x.sigmoid())), 1),
    ("sin", plain(torch.sin), 1),
    ("cumsum", plain(lambda x: x.cumsum(-1)), 1),
    ("fft", plain(lambda x: torch.fft.rfft(x, norm="ortho").real), 1),
    ("flip", plain(lambda x: x.flip(1)), 1),
    ("roll", plain(lambda x: x.roll(1, -1)), 1),
    ("sum", plain(lambda x: x.sum(1)), 1),
    ("sum of the batch", plain(lambda x: x - x.mean(0, keepdim=True)), 1),
    ("max", plain(lambda x: x.amax(-1, keepdim=True)), 1),
    ("sort", plain(lambda x: x.sort(-1).values), 1),
    ("order", plain(lambda x: x.argsort(-1)), 1),
    ("mask", plain(lambda x: x > 0), 1),
    ("where", plain(lambda x, y: torch.where(x > 0, x, y)), 2),
    ("top", plain(lambda x: x.topk(2, -1).values), 1),
    ("gram", plain(lambda x: torch.einsum("b...i,b...j->b...ij", x, x)), 1),
    ("product", plain(lambda x: x @ x.transpose(-1, -2)), 1),
    ("atan2", plain(torch.atan2), 2),
    ("sub", plain(torch.sub), 2),
    ("add", plain(torch.add), 2),
    ("mul", plain(torch.mul), 2),
    ("stack", plain(lambda x, y: torch.stack([x, y], 1)), 2),
    ("cat", plain(lambda x, y: torch.cat([x, y], 1)), 2),
    ("cat last", plain(lambda x, y: torch.cat([x, y], -1)), 2),
    ("unfold", plain(lambda x: nn.functional.unfold(x, 2)), 1),
    ("part", plain(lambda x: x[:, 1:]), 1),
    ("every other", plain(lambda x: x[..., ::2]), 1),
    ("one", plain(lambda x: x[:, 0]), 1),
    ("last", plain(lambda x: x[..., -1]), 1),
    ("new axis", plain(lambda x: x.unsqueeze(2)), 1),
    ("expand", plain(lambda x: x.unsqueeze(1).expand(-1, 3, *x.shape[1:])), 1),
    ("repeat", plain(lambda x: x.repeat(1, 2, *[1] * (x.dim() - 2))), 1),
    ("flatten", plain(lambda x: x.flatten(1)), 1),
    ("permute", shuffled, 1),
    ("reshape", reshaped, 1),
    ("softmax", plain(lambda x: x.softmax(-1)), 1),
    ("in place", plain(changed), 1),
    ("scaled", with_parameter(lambda x: x.shape[-1:], lambda x, w: x * w), 1),
    ("scaled twice", with_parameter(lambda x: x.shape[-1:], lambda x, w: x * w + w), 1),
    ("raised", with_parameter(lambda x: x.shape[1:], lambda x, w: x**w), 1),
    ("computed", with_parameter(lambda x: x.shape[-1:], lambda x, w: x + w.exp().cumsum(0)), 1),
    ("matrix", with_parameter(lambda x: (x.shape[-1], 5), lambda x, w: x @ w), 1),
    ("normed", with_parameter(lambda x: (4, x.shape[-1]), lambda x, w: x @ (w / w.norm()).T), 1),
    ("rows", with_parameter(lambda x: (7, x.shape[-1]), lambda x, w: x + w[2]), 1),
    ("table", with_parameter(lambda _: (16, 3), lambda x, w: nn.functional.embedding(x.long().clamp(0, 15), w)), 1),
    ("noise", plain(lambda x: x + torch.linspace(0, 1, x.shape[-1])), 1),
]


def _lstm(net: Program, random: Random, x: Tensor) -> Way:
    net.parts.append(nn.LSTM(x.shape[-1], 5, batch_first=True, bidirectional=random.random() < 0.5))
    if x.dim() != 3:
        raise ValueError
    part = net.parts[-1]

    def written(x: Tensor) -> Tensor:
        return part(x)[0]  # type: ignore[no-any-return]

    written.parameters = part.parameters  # type: ignore[attr-defined]
    return written


def problem(seed: int) -> str:
    """What is wrong with one program's import; empty if nothing is."""
    random = Random(seed)
    torch.manual_seed(seed)
    example = torch.rand(BATCH, *random.choice(INPUTS))
    net = Program(random, example, random.randint(1, 7)).eval()
    outputs = net(example)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    try:
        found = archcalc.from_torch(net, example)
        graph = found.build()
        totals = archcalc.analyze(graph).totals
    except ArchcalcError as error:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return traceback.format_exc(limit=-3)
    params = sum(each.numel() for each in read_by(net, outputs))
    if params != totals["params"]:
        return f"{params} params, not {totals['params']}\n{found.spec.source.text}"
    sizes = Counter(each.numel() // BATCH for each in outputs if each.numel() % BATCH == 0)
    made = Counter(graph.nodes[place].shape.numel for place in graph.outputs.values())
    if all(each.numel() % BATCH == 0 for each in outputs) and set(made) - set(sizes) and not _mixes_examples(net):
        return f"outputs of {dict(sizes)} values, not {dict(made)}\n{found.spec.source.text}"
    return ""


def read_by(net: Program, outputs: Sequence[Tensor]) -> list[nn.Parameter]:
    """The parameters that outputs depend on."""
    needed = {len(net.ways)} | ({len(net.ways) - 1} if net.several else set())
    for number in range(len(net.ways), 0, -1):
        if number in needed:
            needed.update(net.ways[number - 1][1])
    found: dict[int, nn.Parameter] = {}
    for number in needed - {0}:
        way = net.ways[number - 1][0]
        found.update((id(each), each) for each in getattr(way, "parameters", tuple)())
    return list(found.values())


def _mixes_examples(net: Program) -> bool:
    return any(name in ("reshape", "permute") for _, _, name in net.ways)


def main() -> None:
    """Go through many seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=100)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    failed = 0
    for seed in range(chosen.seed, chosen.seed + chosen.count):
        if told := problem(seed):
            failed += 1
            print(f"seed {seed}: {told}\n")
    print(f"{chosen.count} programs, {failed} failed")


if __name__ == "__main__":
    main()
