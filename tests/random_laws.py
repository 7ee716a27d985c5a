"""Random specs whose sizes change from pass to pass: widths that grow, spaces that shrink, loops as long as a pass says.

Most follow a law; what follows none must be refused, and what follows one must be what every number gives.
"""

from __future__ import annotations

from random import Random

PLAIN = ("relu", "bn", "ln", "dropout 0.5", "gelu", "maxpool 3x3 s=1 p=1", "lrn 5", "instancenorm", "identity",
         "window_attention 1 2", "window_attention 1 3 shift=1")  # fmt: skip
KERNELS = ("1x1", "1x1", "3x3 p=1", "3x3 p=1 bias=false", "3x3 p=half d=2", "3x3", "5x5 p=2")
SHRINKING = ("maxpool 2", "maxpool 2 s=1", "avgpool 3 s=1", "conv x.C 3x3 s=2 p=1")
GROWING = ("upsample 2", "tconv x.C 2x2 s=2", "tconv x.C 3x3", "tconv x.C*2 2x2 s=2")


class Laws:
    """One spec in the making."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.variables: list[str] = []
        self.numbers = 0

    def text(self) -> str:
        """The spec."""
        pick = self.random
        layers = [f"conv {pick.choice((1, 2, 3, 4, 6))} 1x1"] if pick.random() < 0.5 else []
        for _ in range(pick.randint(1, 2)):
            layers.append(self.loop(2))
            if pick.random() < 0.5:
                layers.append(f"'{self.chain(2)}'")
        size = pick.choice((6, 9, 16, 32))
        values = f"{{n: {pick.randint(1, 4)}, m: {pick.randint(1, 3)}, w: {pick.randint(1, 5)}}}"
        body = "".join(f"  - {layer}\n" for layer in layers)
        return f"archcalc: 1\nname: t\ninput: {{C: 3, H: {size}, W: {size}}}\nhparams: {values}\nlayers:\n{body}"

    def count(self) -> str:
        """How often something is run."""
        return self.random.choice(
            ["n", "n", "m", "2", "n+m", "2*n", "n-1", "5//n", "n//2", *self.variables, *self.variables]
        )

    def width(self) -> str:
        """How many channels there are then."""
        pick, factor = self.random, self.random.randint(1, 4)
        i = pick.choice(self.variables) if self.variables else "n"
        growing = [
            "x.C", f"x.C+{factor}", "x.C+w", "x.C*2", f"x.C+{factor}*{i}", f"x.C+{i}", "x.C*2+1", "x.C*3", "x.C-1",
            f"{factor}*{i}", f"{4 * factor}+{i}", f"{factor}*{i}*{i}", f"2**{i}", f"{factor}*2**({i}-1)", f"w*{i}",
            f"w*2**{i}", "4", "w", "8*m", f"3**{i}", f"{i}*({i}+1)//2", "x.C//2", "max(x.C, 8)", "n",
        ]  # fmt: skip
        return f"({pick.choice(growing)})"

    def step(self) -> str:
        """A layer."""
        pick, chance = self.random, self.random.random()
        if chance < 0.5:
            step = f"conv {self.width()} {pick.choice(KERNELS)}"
        elif chance < 0.55 and self.variables:
            i = pick.choice(self.variables)
            step = pick.choice([f"conv x.C 3x3 p={i} d={i}", f"conv x.C 1x1 g={i}", f"conv {i}*4 1x1 g={i}"])
        elif chance < 0.6:
            step = pick.choice(["dwconv 3x3 p=1", "conv x.C*4 1x1 -> conv x.C//4 1x1", "conv x.C 1x1 g=x.C"])
        elif chance < 0.63:
            step = pick.choice(SHRINKING)
        elif chance < 0.66:
            step = pick.choice(GROWING)
        else:
            step = pick.choice(PLAIN)
        if pick.random() < 0.06 and "->" not in step:
            step += (
                f" if {pick.choice([*self.variables, 'n', 'x.C'])} {pick.choice('<>')} {pick.choice(('1', '2', 'n'))}"
            )
        return step

    def chain(self, most: int = 3) -> str:
        """Layers one after the other."""
        steps = [self.step() for _ in range(self.random.randint(1, most))]
        if self.random.random() < 0.15:
            steps.append(f"({self.step()})*{self.count()}")
        return " -> ".join(steps)

    def loop(self, depth: int) -> str:
        """Passes."""
        pick = self.random
        if pick.random() < 0.35:
            return f"'({self.chain()})*{self.count()}'"
        self.numbers += 1
        variable = f"i{self.numbers}"
        count = self.count()
        self.variables.append(variable)
        body = self.item(depth - 1)
        self.variables.pop()
        return f"{{for: {{{variable}: '{pick.choice('1112023')}..{count}'}}, do: {body}}}"

    def item(self, depth: int) -> str:
        """What a pass may be."""
        chance = self.random.random()
        if depth < 0 or chance < 0.45:
            return f"'{self.chain()}'"
        if chance < 0.55:
            return f"{{concat: [identity, '{self.chain(2)}']}}"
        if chance < 0.65:
            return f"{{residual: {{body: '{self.chain(2)}', shortcut: 'conv {self.width()} 1x1'}}}}"
        if chance < 0.7:
            return f"{{residual: '{self.chain(2)}'}}"
        if chance < 0.75:
            width = self.width()
            return f"{{add: ['conv {width} 3x3 p=1', 'conv {width} 1x1 -> relu']}}"
        if chance < 0.85:
            return f"[{self.item(depth - 1)}, {self.item(depth - 1)}]"
        return self.loop(depth)


class Ends(Laws):
    """Specs in which last passes differ: what is done depends on how a loop's variable compares with its last value."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.ends: list[str] = []

    def loop(self, depth: int) -> str:
        """Passes with a variable, as long as the number of them."""
        self.numbers += 1
        variable, first, count = f"i{self.numbers}", self.random.choice("1110"), self.count()
        self.variables.append(variable)
        self.ends.append(count if first == "1" else f"{count}-1")
        body = self.item(depth - 1)
        self.variables.pop()
        return f"{{for: {{{variable}: '{first}..{self.ends.pop()}'}}, do: {body}}}"

    def step(self) -> str:
        """A layer, often one that only the last pass has, or hasn't, or has with other arguments."""
        pick, step = self.random, super().step()
        if not self.ends or pick.random() < 0.5:
            return step
        condition = f"{self.variables[-1]} {pick.choice(('<', '<', '==', '!=', '>='))} {self.ends[-1]}"
        if pick.random() < 0.3:
            return f"conv (x.C if {condition} else {self.width()}) 1x1"
        return step if " if " in step or "->" in step else f"{step} if {condition}"
