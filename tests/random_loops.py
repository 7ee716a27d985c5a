"""Random specs whose structure is what matters: loops in loops, skips into and out of passes, ties, several outputs.

Volumes are left over, names are of all sorts. Most can be built; what can't must be refused alike.
"""

from __future__ import annotations

from random import Random

LAYERS = ("conv 4 3x3 p=1", "relu", "bn", "conv 4 1x1", "conv 4 3x3 p=1 bias=false", "dropout 0.5")
NAMES = ("a", "b", "c", "1", "2", "3", "5", "stem", "x1", "x2")


class Loops:
    """One spec in the making: volumes are all 4x6x6, except where a layer says otherwise."""

    def __init__(self, seed: int) -> None:
        self.random, self.seed = Random(seed), seed
        self.variables: list[str] = []
        self.counter = 0
        self.blocks: list[tuple[str, str]] = []
        self.in_block = False
        self.wild = self.random.random() < 0.25
        """Whether names are looked for that may not be there, and volumes may not fit."""
        self.known: list[str] = []

    def text(self) -> str:
        """The spec."""
        pick = self.random
        for number in range(pick.randint(0, 3)):
            self.in_block = True
            name = f"block{number}"
            self.blocks.append((name, self.item(2)))
            self.in_block = False
        layers = ["{stem: conv 4 3x3 p=1}"]
        self.known = ["stem"]
        for number in range(pick.randint(1, 5)):
            layers.append(self.item(3))
            if not self.wild and pick.random() < 0.6:
                name, body = f"s{number}", self.item(2)
                layers.append(f"{{? {name} : {body}}}")
                self.known.append(name)
                if body.startswith("{for") or ")*" in body.rpartition("(")[2]:
                    self.known += [f"{name}/{pick.choice('1234')}" for _ in range(2)]
        blocks = self.declared("blocks", of_modules=False) + self.declared("modules", of_modules=True)
        outputs = ""
        if pick.random() < 0.3:
            outputs = f"outputs: [{', '.join(dict.fromkeys(self.reference() for _ in range(pick.randint(1, 3))))}]\n"
        inputs = "input: {C: 4, H: 6, W: 6}\n"
        if pick.random() < 0.2:
            inputs = "inputs: {one: {C: 4, H: 6, W: 6}, other: {C: 4, H: 6, W: 6}}\n"
        hparams = f"hparams: {{n: {pick.randint(0, 6)}, m: {pick.randint(1, 4)}}}\n"
        layers_text = "".join(f"  - {layer}\n" for layer in layers)
        return f"archcalc: 1\nname: t\n{inputs}{hparams}" + blocks + (f"layers:\n{layers_text}{outputs}")

    def declared(self, section: str, of_modules: bool) -> str:
        """The blocks, or those of them that are modules."""
        chosen = [each for each in self.blocks if (Random(f"{self.seed} {each[0]}").random() < 0.35) is of_modules]
        return f"{section}:\n" * bool(chosen) + "".join(f"  {name}(k=1, from_=0): {body}\n" for name, body in chosen)

    def count(self) -> str:
        return self.random.choice(["n", "m", "2", "3", "4", "7", "n+m", "1", "n-1", "5//n", "n//2", *self.variables])

    def variable(self) -> str:
        return self.random.choice([*self.variables, "1"])

    def condition(self) -> str:
        one = self.random.choice([*self.variables, "n", "x.C", "x.H"])
        compared = f"{one} {self.random.choice(['==', '!=', '<', '<=', '>', '>='])} {self.random.choice(['1', '2', '3', 'm', 'n', *self.variables])}"
        if self.random.random() < 0.3:
            return f"{compared} {self.random.choice(['and', 'or'])} {self.condition()}"
        return compared

    def reference(self) -> str:
        pick = self.random
        if not self.wild:
            return pick.choice(["in"] if self.in_block else (self.known or ["stem"]))
        parts = [pick.choice([*NAMES, "body", "conv", "relu", "bn", "block0", "in", "input", "shortcut", "stem"])]
        if self.variables and pick.random() < 0.3:
            parts = [
                pick.choice(["x", "", "c"]) + "{" + pick.choice(self.variables) + pick.choice(["", "-1", "+1"]) + "}"
            ]
        while pick.random() < 0.4:
            parts.append(pick.choice([*NAMES, "conv", "relu", "body", "add", "bn"]))
        return "/".join(parts)

    def step(self) -> str:
        pick = self.random
        chance = pick.random()
        if chance < 0.62:
            step = pick.choice(LAYERS)
        elif chance < 0.68:
            step = f"from {self.reference()}"
        elif chance < 0.73:
            step = f"tconv 4 {'1x1' if self.wild else '3x3 p=1'} tie=@{self.reference() if self.wild else 'stem'}"
            step = "relu" if self.in_block and not self.wild else step
        elif chance < 0.77 and self.wild:
            step = f"conv {pick.choice(['4', '8', '(4 if ' + self.condition() + ' else 8)', *self.variables])} 1x1"
        elif chance < 0.9 and self.blocks:
            step = pick.choice(self.blocks)[0] + pick.choice(["", "", f" {self.variable()}", f" k={self.count()}"])
            step += pick.choice(["", "", "", f" from_=@{self.reference()}"]) if not self.in_block else ""
        else:
            step = f"({self.chain(2)})*{pick.choice([self.count()] * 3 + ['5'])}".replace("*x", "*(x")
        if pick.random() < 0.12 and "(" not in step:
            step += f" if {self.condition()}"
        return step

    def chain(self, most: int = 3) -> str:
        return " -> ".join(self.step() for _ in range(self.random.randint(1, most)))

    def item(self, depth: int) -> str:
        pick = self.random
        chance = pick.random()
        if depth <= 0 or chance < 0.25:
            return f"'{self.chain()}'"
        if chance < 0.45:
            self.counter += 1
            variable = f"i{self.counter}"
            values = pick.choice(
                ["1..n+m", "1..7", "1..m"]
                if not self.wild
                else [f"1..{self.count()}", "1..5", "0..3", "[4,4,4]", "[1,4,4,8]", "reverse(1..4)", "3..1"]
            )
            self.variables.append(variable)
            body = self.item(depth - 1)
            name = f"{{{variable}{pick.choice(['', '+1', '-1', '*2'])}}}"
            loop = f"{{for: {{{variable}: '{values}'}}, do: {body}}}"
            self.variables.pop()
            if pick.random() < 0.4:
                return f"{{? '{pick.choice(['x', '', 'c'])}{name}{pick.choice(['', '', 'y'])}' : {loop}}}"
            return loop
        if chance < 0.6:
            return f"{{residual: {self.item(depth - 1)}}}"
        if chance < 0.7:
            inner = ", ".join(self.item(depth - 1) for _ in range(pick.randint(1, 3)))
            return f"{{{pick.choice(['add', 'add', 'concat' if self.wild else 'add', 'mul'])}: [{inner}]}}"
        if chance < 0.85:
            self.counter += 1
            return f"{{? '{pick.choice(NAMES) if self.wild else f'q{self.counter}'}' : {self.item(depth - 1)}}}"
        if chance < 0.93:
            return f"[{', '.join(self.item(depth - 1) for _ in range(pick.randint(0, 3)))}]"
        return f"{{if: '{self.condition()}', then: {self.item(depth - 1)}}}"
