"""Hostile inputs by grammar and by mutation: expressions, chains, specs, claims, golden files, records, options."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from archcalc.cli.app import COMMANDS
from archcalc.language.arithmetic import FUNCTIONS
from archcalc.layers import REGISTRY
from archcalc.quantities import PER_LAYER, claimable, names

ROOT = Path(__file__).parent.parent
NUMBERS = (
    *("0", "1", "2", "3", "4", "5", "7", "8", "16", "31", "32", "64", "100", "224", "1000", "-1", "-3", "1/2", "3/7", "0.5"),
    *("65536", "2147483648", "9223372036854775807", "9223372036854775808", "18446744073709551616", "10**30", "10**70"),
    *("2**255", "2**256", "1e400", "9" * 59, "9" * 61, "9" * 4299, "9" * 4301, "1.5M", "0M", "3K", "1_000", "0x10", "007", "٣"),
)  # fmt: skip
SYMBOLS = ("a", "b", "c", "x.C", "x.H", "x.W", "in.C", "in.H", "H", "N", "sym", "i", "k", "x", "in", "x.T", "stem.C")
OPERATORS = ("+", "-", "*", "/", "//", "%", "**", "==", "!=", "<", "<=", ">", ">=", "and", "or", "..", ",", "x", "if")
WORDS = ("same", "half", "valid", "true", "false", "position", "channel", "none", "full", "1d", "auto", "half", "as")
JUNK = (
    *("\0", "\x1b[31m", "\x07", "\u202e", "\ud7ff", "é", "名", "\u2028", "'", '"', "`", "|", "<b>", "&amp;", "${x}", "{k}"),
    *("{", "}", "[", "]", "(", ")", "@", "#", ": ", "- ", "\t", "\n", "->", "=", ",", "*", "&a", "*a", "!!int", "%", "~"),
    *("../", "/dev/zero", "/etc/passwd", "-", "--", "null", "nan", "inf", "-0", "''", "a" * 300, " " * 50, "\\", "\r\n"),
)  # fmt: skip


STEPS = (
    *("relu", "bn", "gelu", "flatten -> fc {n}", "global_avgpool", "maxpool 2", "maxpool {n} s=2 p=1", "avgpool {n} s={e}", "conv {e} 1"),
    *("conv {n} 3x3 p=1", "conv {e} 3 p=1", "conv {n} {e} p=half", "conv {n} 3 s={e}", "conv x.C 3 g={e}", "conv {e} {n} p=same s=2"),
    *("maxpool {e} s=1", "tconv {e} 2 s=2", "upsample {e}", "adaptive_avgpool {e}", "groupnorm {e}", "tokens", "attention {e}", "crop size={e}"),
    *("reshape C={e} H={e} W={e}", "pos_embed", "layernorm", "dropout", "softmax", "fc {e}", "avgpool {e} p=half", "maxpool {e} ceil=true s=2"),
)  # fmt: skip
"""Steps that mostly fit; {n} is a small number, {e} an expression."""
RECORD: dict[str, Any] = {
    "archcalc": 1, "device": "d", "driver": "0", "torch": "0", "cuda": "0", "date": "2000-01-01",
    "nets": [{"name": "lenet5_modern", "batch": 2, "dtype": "float32", "sets": {}, "counts": {"params": 61_706, "macs": 833_040},
              "bytes": {"weights": 246_824}, "seconds": {"forward": 0.001}, "share_of_peak": {"forward": 0.25}}],
}  # fmt: skip


BUDGETS = (
    "<10M",
    "<= 2GB",
    "4G..5G",
    ">= 1",
    "< ",
    "5..1",
    ">=1KB",
    "<1e9",
    "..3",
    "3..",
    "<10..20",
    "< -1",
    "<=2 GiB",
)


@dataclass(frozen=True)
class Case:
    """One run: files by name, and the arguments of a command, in the folder of the files."""

    arguments: tuple[str, ...]
    files: dict[str, bytes] = field(default_factory=dict)

    def text(self) -> str:
        """For people: the command and its files."""
        shown = [f"--- {name}\n{data[:1500].decode(errors='replace')}" for name, data in self.files.items()]
        return "\n".join(["archcalc " + " ".join(map(repr, self.arguments)), *shown])


@cache
def seeds() -> tuple[str, ...]:
    """Texts of specs to start from: the zoo's, the examples', and those in the documentation."""
    found = [file.read_text(encoding="utf-8") for file in sorted(ROOT.glob("specs/*.yaml"))]
    found += [file.read_text(encoding="utf-8") for file in sorted(ROOT.glob("tests/examples/*.yaml"))]
    for document in sorted(ROOT.glob("docs/*.md")):
        found += re.findall(r"```yaml\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)
    return tuple(text if "archcalc:" in text else HEAD + text for text in found)


HEAD = "archcalc: 1\nname: t\ninput: {C: 3, H: 32, W: 32}\n"
HEADS = (HEAD, HEAD, "archcalc: 1\nname: t\ninput: {C: sym, H: sym, W: sym}\n", "archcalc: 1\nname: t\ninput: {T: 5, C: 8}\n",
         "archcalc: 1\nname: t\ninput: {C: 3, D: 4, H: 8, W: 8}\n", "archcalc: 1\nname: t\ninput: {C: 7}\n",
         "archcalc: 1\nname: t\ninputs: {u: {C: 3, H: 8, W: 8}, v: {C: 3, H: 8, W: 8}}\n")  # fmt: skip


class Fuzz:
    """Draws inputs; one number gives one input."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)

    def chance(self, one_in: int) -> bool:
        """True once in so many times."""
        return self.random.randrange(one_in) == 0

    def pick(self, choices: Sequence[Any]) -> Any:
        """One of several."""
        return self.random.choice(choices)

    # --- grammar ---------------------------------------------------------------------------------------------------

    def expression(self, depth: int = 3) -> str:
        """An expression of the language, more often right than wrong."""
        if depth <= 0 or self.chance(4):
            return (
                self.pick(NUMBERS if self.chance(4) else NUMBERS[:12])
                if self.chance(2)
                else self.pick(SYMBOLS[: None if self.chance(4) else 6])
            )
        form = self.random.randrange(12)
        a, b = self.expression(depth - 1), self.expression(depth - 1)
        if form < 6:
            return f"({a} {self.pick(OPERATORS[:8] if form else OPERATORS)} {b})"
        if form < 9:
            inside = ", ".join(self.expression(depth - 2) for _ in range(self.random.randrange(1, 5)))
            return f"{self.pick(list(FUNCTIONS))}({inside})"
        if form == 9:
            return f"({a} if {b} {self.pick(OPERATORS[7:13])} {self.expression(0)} else {self.expression(0)})"
        return f"[{a}, {b}]" if form == 10 else f"-{a}"

    def size(self, form: str = "e") -> str:
        """A number that a layer might have, or (form e) an expression for one."""
        if form == "n" or self.chance(3):
            return self.pick(("1", "2", "3", "4", "8", "5"))
        small, name = self.pick(("1", "2", "3", "7")), self.pick(("x.C", "x.H", "x.W", "a", "b", "in.C"))
        text = self.pick(("{x}", "{x}*{n}", "{x}+{n}", "{x}//{n}", "max({x},{n})", "{x}//{n}+{n}", "max({x},x.H,b)", "min({x},{n}*b)", "{x}%{n}+1",
                          "({x}*{x}+{n})//b", "ceil({x}/{n})", "round({x}/{n})+1", "{x}-{n}", "{x}*x.C", "sqrt({x})", "2**{n}"))  # fmt: skip
        return "(" + text.replace("{x}", name).replace("{n}", small) + ")"

    def argument(self) -> str:
        """A value as it stands in a chain: without spaces outside brackets."""
        form = self.random.randrange(8)
        if form < 3:
            return self.pick(NUMBERS[:15])
        if form == 3:
            return "x".join(self.pick(NUMBERS[:12]) for _ in range(self.random.randrange(1, 5)))
        if form == 4:
            return self.pick(WORDS)
        if form == 5:
            return "@" + self.pick(("a", "b", "input", "stem", "x", "in", "1/conv"))
        text = self.expression(self.random.randrange(3))
        return text if text.startswith("(") or " " not in text else f"({text})"

    def call(self) -> str:
        """A step: a layer kind with arguments, two times of three one that makes sense."""
        if not self.chance(3):
            return re.sub(r"{(.)}", lambda found: self.size(found[1]), self.pick(STEPS))
        kind = self.pick(list(REGISTRY))
        names = [*REGISTRY[kind].arguments(), "s", "p", "d", "g"]
        given = [self.argument() for _ in range(self.random.choice((0, 1, 2, 2, 3)))]
        given += [f"{self.pick(names)}={self.argument()}" for _ in range(self.random.choice((0, 0, 1, 2)))]
        return " ".join([kind, *given])

    def chain(self, depth: int = 2) -> str:
        """Steps in a row, some repeated, some on conditions."""
        steps = []
        for _ in range(self.random.randrange(1, 5)):
            if depth and self.chance(4):
                steps.append(
                    f"({self.chain(depth - 1)})*{self.pick(('2', '3', '20', '1000', '(a)', '(2**9)', '0', '(x.H)'))}"
                )
            elif self.chance(12):
                steps.append(self.pick(("from input", "from a", "from in", "blk", "blk 3", "blk k=@a", "net")))
            else:
                steps.append(self.call())
            if self.chance(10):
                steps[-1] += f" if {self.expression(1)}" + self.pick(("", "", " else bn", " else (conv 3 1 -> bn)"))
        return " -> ".join(steps)

    def item(self, depth: int = 2) -> Any:
        """Anything that can stand under `layers`."""
        form = self.random.randrange(9) if depth else 0
        below = [self.item(depth - 1) for _ in range(self.random.randrange(1, 4))] if depth else []
        if form < 3:
            return self.chain()
        if form == 3:
            return [*below]
        if form == 4:
            return {self.pick(("a", "b", "stem", "s{i}", "1", "x", "for", "input")): below[0]}
        if form == 5:
            values = self.pick(("1..3", "[8, 16]", "1..a", "1..100000", "reverse(1..4)", self.expression(2)))
            return {"for": {self.pick(("i", "c", "i c")): values}, "do": below[0]}
        if form == 6:
            return {self.pick(("add", "mul", "concat")): below}
        if form == 7:
            return {"residual": below[0], **({"shortcut": below[-1]} if self.chance(2) else {})}
        return {"if": self.expression(1), "then": below[0], **({"else": below[-1]} if self.chance(2) else {})}

    def spec(self) -> str:
        """A whole spec: YAML with JSON below the head."""
        hparams = {name: self.pick(("sym", "sym", self.expression(2), self.expression(1), "[1, 2]", "blk"))
                   for name in self.random.sample(("a", "b", "c", "k", "as", "sizes"), self.random.randrange(4))}  # fmt: skip
        if hparams and self.chance(6):
            name = self.pick(list(hparams))
            hparams[name] = {"value": hparams[name], "min": self.expression(0), "multiple_of": self.expression(0)}
        parts = {"hparams": hparams, "layers": self.item()}
        if self.chance(3):
            parts["blocks"] = {self.pick(("blk()", "blk(k)", "blk(k=3, n=a)")): self.item()}
        if self.chance(4):
            parts["defaults"] = {
                self.pick(("conv", "maxpool", "fc")): {self.pick(("bias", "p", "padding", "s")): self.argument()}
            }
        if self.chance(4):
            parts["variants"] = {f"v{n}": {self.pick(("a", "k", "extends")): self.expression(1)} for n in range(3)}
        if self.chance(4):
            parts["claims"] = [self.claim() for _ in range(self.random.randrange(1, 4))]
        if self.chance(6):
            parts["outputs"] = self.pick((["a"], {"a": "a > 3"}, ["s{i}"]))
        lines = [f"{key}: {json.dumps(value, ensure_ascii=self.chance(2))}" for key, value in parts.items()]
        self.random.shuffle(lines)
        return self.pick(HEADS) + "\n".join(lines) + "\n"

    def claim(self) -> Any:
        """A claim, right or wrong."""
        quantity = self.pick(sorted(claimable()))
        plain = not self.chance(3)
        if quantity in ("shape", "receptive_field") or quantity.startswith("rf") or self.chance(3):
            quantity += f"({self.pick(('a', 'relu') if plain else ('input', 'stem', '1/conv', 'nothing', '', '*'))})"
        figures = ("224", "0.2K", "229_376", "8x32x32", "3", "1.5M", "60K", *BUDGETS[:4])
        found = {
            "source": "me" if plain else self.pick(("", "::error::x")),
            quantity: self.pick(figures if plain else (*NUMBERS, *BUDGETS, "3x3", "1..2", "about 3M")),
        }
        if plain:
            return {
                **found,
                **self.pick(
                    ({}, {"note": "n"}, {"holds": "false", "note": "n"}, {"at": {"a": self.size("n")}}, {"tol": "4%"})
                ),
            }
        for name, value in (("tol", "4%"), ("tol", self.expression(0)), ("holds", "false"), ("note", "n"), ("at", {"a": self.expression(1)}),
                            ("variant", "v1"), ("unit", "x"), ("dtype", self.pick(("bfloat16", "int8", "half")))):  # fmt: skip
            if self.chance(6):
                found[name] = value
        return found

    # --- mutation --------------------------------------------------------------------------------------------------

    def mutated(self, text: str) -> str:
        """The text with a few changes."""
        for _ in range(self.random.randrange(1, 5)):
            text = self.pick(
                (self._lines, self._number, self._insert, self._delete, self._repeat, self._splice, self._word)
            )(text)
        return text[:20_000]

    def _lines(self, text: str) -> str:
        lines = text.split("\n")
        i, j = (self.random.randrange(len(lines)) for _ in range(2))
        if self.chance(2):
            lines[i], lines[j] = lines[j], lines[i]
        else:
            lines.insert(i, lines[j])
        return "\n".join(lines)

    def _number(self, text: str) -> str:
        found = list(re.finditer(r"\d+", text))
        if not found:
            return text
        match = self.pick(found)
        return (
            text[: match.start()] + (self.pick(NUMBERS) if self.chance(2) else self.expression(1)) + text[match.end() :]
        )

    def _insert(self, text: str) -> str:
        place = self.random.randrange(len(text) + 1)
        return text[:place] + self.pick((*JUNK, self.expression(1), self.call())) + text[place:]

    def _delete(self, text: str) -> str:
        place = self.random.randrange(len(text) + 1)
        return text[:place] + text[place + self.random.randrange(1, 30) :]

    def _repeat(self, text: str) -> str:
        place = self.random.randrange(len(text) + 1)
        piece = text[place : place + self.random.randrange(1, 60)]
        return text[:place] + piece * self.random.choice((2, 3, 30)) + text[place:]

    def _splice(self, text: str) -> str:
        other = self.pick(seeds())
        start = self.random.randrange(len(other))
        place = self.random.randrange(len(text) + 1)
        return text[:place] + other[start : start + self.random.randrange(1, 200)] + text[place:]

    def _word(self, text: str) -> str:
        found = list(re.finditer(r"[A-Za-z_]\w*", text))
        if not found:
            return text
        match = self.pick(found)
        new = self.pick((*SYMBOLS, *WORDS, *REGISTRY, *FUNCTIONS))
        return text[: match.start()] + new + text[match.end() :]

    def value(self, depth: int = 2) -> Any:
        """A JSON value of any sort."""
        form = self.random.randrange(9 if depth else 7)
        if form == 7:
            return [self.value(depth - 1) for _ in range(self.random.randrange(3))]
        if form == 8:
            return {self.pick(("name", "C", "layers", "")): self.value(depth - 1)}
        return (None, True, 0, -1, 10**30, 1.5, self.pick((*JUNK, *NUMBERS)))[form]

    def mutated_data(self, data: Any) -> Any:
        """A JSON document with one value changed, removed or added somewhere."""
        if isinstance(data, dict) and data and not self.chance(6):
            key = self.pick(list(data))
            changed = dict(data)
            if self.chance(12):
                del changed[key]
            elif self.chance(12):
                changed[self.pick(JUNK)] = self.value()
            else:
                changed[key] = self.mutated_data(data[key])
            return changed
        if isinstance(data, list) and data and not self.chance(6):
            place = self.random.randrange(len(data))
            return [*data[:place], self.mutated_data(data[place]), *data[place + 1 :]]
        return self.value()

    # --- cases -----------------------------------------------------------------------------------------------------

    def any_spec(self) -> str:
        """A spec, by grammar or by mutation."""
        return self.spec() if self.chance(2) else self.mutated(self.pick((*seeds(), self.spec())))

    def asked(self, name: str) -> tuple[str, ...]:
        """A question about a network."""
        command = self.pick(
            ("table", "check", "formula", "solve", "sweep", "receptive-field", "export", "render", "explain", "show", "compare")
        )  # fmt: skip
        layer = self.pick(("conv", "conv1", "a", "input", "1/conv", "stem", "fc", ""))
        symbols = self.pick(("H", "H,W", "N,H,W", "C", "k", "a,b", "", "N", "H,H", "T", "é"))
        more: dict[str, Any] = {
            "table": self.pick(((), ("--symbolic", symbols), ("--all",), ("--format", "json"), ("--batch", self.pick(NUMBERS)),
                                ("--style", "slides"), ("--depth", self.pick(NUMBERS)), ("--columns", self.columns()))),
            "check": self.pick(((), ("--format", "json"), ("--format", "github"), ("--symbolic", symbols))),
            "formula": (*self.pick(((), (layer,))), *self.pick(((), ("--symbolic", symbols))), "--format",
                        self.pick(("unicode", "latex", "sympy", "python"))),
            "solve": (self.pick(("--params", "--macs", "--output", "--peak-bytes", "--saved-bytes")), self.pick((*NUMBERS, "5M", "1..9", "7x7", "1MB")),
                      *self.pick(((), ("--symbolic", symbols), ("--square",), ("--field", f"{layer}={self.pick(('3..', '5', '..9', 'x'))}")))),
            "sweep": ("--set", f"{self.pick(('a', 'k', 'H', 'N', 'W'))}={self.pick(('1..5', '[1,2]', '1..30', '0', '-2..1', self.expression(1)))}",
                      *self.pick(((), ("--where", self.where()), ("--columns", f"params,{layer}.macs,{layer}.rf"), ("--field", layer),
                                  ("--set", f"{self.override()}={self.steps()}")))),
            "receptive-field": self.pick(((), ("--all",), ("--layer", layer), ("--layer", layer, "--at", self.pick(("0,0", "3", "1,1,1", "-1,0", "10**9,0"))),
                                          ("--from", layer), ("--format", "json"))),
            "export": (), "render": ("--format", "dot", "--depth", self.pick(("1", "2", "30", "0"))), "explain": (layer,),
            "show": self.pick(((), ("--spec",), ("--format", "json"))),
            "compare": self.pick(((), ("lenet5",), (name,), ("lenet5", "--changes"), ("lenet5", "--format", "markdown"))),
        }[command]  # fmt: skip
        extra = self.pick(
            (
                (),
                (),
                ("--set", f"a={self.expression(1)}"),
                ("--set", f"{self.override()}={self.pick((self.size(), self.expression(1), 'half', 'sym'))}"),
                ("--input", self.pick(("3x8x8", "H=7", "3xHxW", "0x1x1", "x"))),
            )
        )
        return (command, name, *more, *(extra if command not in ("sweep", "check") else ()))

    def override(self) -> str:
        """An argument of layers, as --set names it."""
        path = self.pick(("conv", "a", "*", "**", "1/*", "stem/conv", "conv_2", "s?", "nothing", "*/conv", "[", ""))
        return f"{path}.{self.pick(('stride', 's', 'out_channels', 'bias', 'kernel_size', 'p', 'groups', 'x', ''))}"

    def steps(self) -> str:
        """Some values for a sweep."""
        return self.pick(
            ("1..9:2", "8,16,32", "64..1:-9", "1..3:0", "1..", "1..30:7", "1,,2", "[1,2],3", "2..8:x", "1..10**4:3")
        )

    def columns(self) -> str:
        """A value of --columns."""
        return ",".join(
            self.pick((*names(*PER_LAYER), "rf", "nothing", "")) for _ in range(self.random.randrange(1, 5))
        )

    def where(self) -> str:
        """A value of --where."""
        right = (
            f"{self.pick(('params', 'macs', 'N'))}{self.pick(('<', '>=', '>'))}{self.pick(('5M', '1K', '1G', '1000'))}"
        )
        return self.pick((right, right, f"{self.pick(('params', 'macs', 'k', 'H', 'x'))}{self.pick(('<', '<=', '==', '>', '!=', '=', '<>'))}{self.pick(NUMBERS)}",
                          self.expression(2), self.pick(JUNK)))  # fmt: skip

    def specs(self) -> Case:
        """A question about a spec."""
        return Case(self.asked("t.yaml"), {"t.yaml": self.any_spec().encode(errors="surrogatepass")})

    def chains(self) -> Case:
        """A question about one chain."""
        text = f"{self.pick(HEADS)}hparams: {{a: sym, b: 3}}\nlayers: {json.dumps(self.chain())}\n"
        return Case(self.asked("t.yaml"), {"t.yaml": text.encode()})

    def expressions(self) -> Case:
        """An expression, as channels and as an hparam of another one."""
        text = self.expression(5) if self.chance(2) else self.size()
        body = f"hparams: {{a: sym, b: sym, c: 5, k: {json.dumps(text)}}}\nlayers: {json.dumps(f'conv k 3 -> relu if {self.expression(2)}')}\n"
        return Case(self.asked("t.yaml"), {"t.yaml": (self.pick(HEADS[:3]) + body).encode()})

    def claims(self) -> Case:
        """Claims of a spec."""
        text = f"{HEAD}hparams: {{a: 8}}\nlayers: [{{a: conv a 3x3}}, {{relu: relu}}]\nclaims: {json.dumps([self.claim() for _ in range(self.random.randrange(1, 4))])}\n"
        command = self.pick((("check", "t.yaml"), ("claims", "t.yaml"), ("claims", "--all", "--specs", "."), ("claims", "t.yaml", "--format", "json"),
                             ("table", "t.yaml"), ("check", "t.yaml", "--format", "github")))  # fmt: skip
        return Case(
            command, {"t.yaml": (self.mutated(text) if self.chance(3) else text).encode(errors="surrogatepass")}
        )

    def golden(self) -> Case:
        """A golden file of somebody else."""
        name = self.pick(("alphago_policy", "lenet5", "example32"))
        kept = (ROOT / f"golden/{name}.json").read_text(encoding="utf-8")
        data = json.dumps(self.mutated_data(json.loads(kept))) if self.chance(2) else self.mutated(kept)
        command = self.pick(("check", "check", "update"))
        names = (name,) if self.chance(2) else ()
        specs = {"alphago_policy.yaml": (ROOT / "specs/alphago_policy.yaml").read_bytes()}
        file = self.pick((f"g/{name}.json", "g/other.json"))
        more = () if names else ("--specs", ".")
        return Case(
            ("golden", command, *names, *more, "--golden", "g"), {file: data.encode(errors="surrogatepass"), **specs}
        )

    def records(self) -> Case:
        """A record of measurements of somebody else."""
        text = json.dumps(self.mutated_data(RECORD)) if self.chance(2) else self.mutated(json.dumps(RECORD))
        return Case(
            ("verify", "--against", "r.json", *self.pick(((), ("lenet5",)))),
            {"r.json": text.encode(errors="surrogatepass")},
        )

    def sets(self) -> Case:
        """Values of hparams and sizes from the command line."""
        text = f"{HEAD}hparams: {{k: 3, n: 4, c: [8, 16]}}\nlayers: [conv k*8 k p=k//2, (conv n 1x1)*2, {{for: {{i: c}}, do: conv i 1}}, conv n//2 1]\n"
        sets = [
            self.sensible_set() if not self.chance(4) else self.odd_set() for _ in range(self.pick((1, 1, 1, 2, 3)))
        ]
        command = self.pick(("table", "check", "formula", "explain", "sweep", "solve", "export", "receptive-field"))
        more = {
            "explain": ("conv",),
            "solve": ("--params", "1M"),
            "sweep": (),
            "formula": self.pick(((), ("conv",))),
        }.get(command, ())
        given = tuple(word for text in sets for word in ("--set", text.replace("\0", "")))
        return Case((command, "t.yaml", *more, *given), {"t.yaml": text.encode()})

    def sensible_set(self) -> str:
        """A value of --set that mostly fits `sets`."""
        return self.pick((f"k={self.size('n')}", f"n={self.pick(('4', '6', '(k+1)', 'sym', '1..4', '2..9:3', '4,6'))}", "c=[4, 8]", "c=[k]",
                          "k=sym", "H=40", "conv.stride=2", "*.bias=false", f"conv*.kernel_size={self.pick('135')}", "2/conv.out_channels=7",
                          f"conv_2.s={self.pick(('1..3', 'sym', '2'))}", "**.p=half"))  # fmt: skip

    def odd_set(self) -> str:
        """One that mostly doesn't."""
        name = self.pick(("k", "n", "c", "H", "N", "q", "", "k.stride", self.override()))
        return f"{name}={self.pick((self.expression(2), *NUMBERS, 'sym', '1..4', *JUNK, self.steps(), *WORDS))}"

    def stack(self) -> Case:
        """Stacks of layers for receptive-field."""
        suffixes = ("s2", "d3", "p1", "s", "x3", "*3", "x3x3", "d0", " ")
        parts = [
            self.pick(NUMBERS[:12]) + "".join(self.random.choices(suffixes, k=self.random.randrange(3)))
            for _ in range(self.random.choice((1, 2, 3, 10, 300)))
        ]
        plain = [self.pick(("3", "5s2", "p2s2", "3d2", "3x5", "7x7s2")) for _ in parts]
        text = self.pick((",".join(plain), "3x3x3", ",".join(parts), self.mutated(",".join(plain))))
        more = self.pick(
            ((), (), ("--format", "json"), ("--effective",), ("--at", "3"), ("--format", "svg"), ("--input", "32"))
        )
        return Case(("receptive-field", "--stack", text.replace("\0", ""), *more))

    def wheres(self) -> Case:
        """Conditions on a sweep."""
        name = self.pick(("vgg", "lenet5", "alphago_policy"))
        front = self.pick(("params,macs", "macs:max,params", self.columns()))
        more = self.pick((("--where", self.where()), ("--where", self.where(), "--pareto", front), ("--pareto", front)))
        axis = "k" if name == "alphago_policy" and not self.chance(4) else self.pick(("H", "N", "N", "k"))
        values = self.pick(("1..40", "200..230", "[3,5]", "8..64:8", "1,2,4", self.steps()))
        return Case(("sweep", name, "--set", f"{axis}={values}", *(word.replace("\0", "") for word in more)))

    def commands(self) -> Case:
        """A whole command line."""
        words = [self.pick((*COMMANDS, *JUNK))]
        words += [self.pick((*OPTIONS, *NUMBERS[:30], "vgg16", "lenet5", "resnet:plain34", "t.yaml", "t.yaml:v", ".", "conv1/1/conv", "conv1", "update", "check",
                             "json", "svg", "csv", "H=1..5", "k=3", "params", "params<10", "3x8x8", "H", "N,H", "meta", "float16", *JUNK))
                  for _ in range(self.random.randrange(8))]  # fmt: skip
        if self.chance(2):
            words = list(self.asked(self.pick(("lenet5", "vgg16", "t.yaml"))))
            words.insert(self.random.randrange(len(words) + 1), self.pick((*OPTIONS, *JUNK, *NUMBERS)))
        outside = {"--all", "-o", "--output", "--plot", "--record", "--effective"}
        words = [word.replace("\0", "") for word in words if word not in outside]
        return Case(
            tuple(words),
            {"t.yaml": f"{HEAD}hparams: {{k: 3}}\nlayers: conv k 3x3\nvariants: {{v: {{k: 5}}}}\n".encode()},
        )


OPTIONS = (
    *("--style", "--depth", "--columns", "--sort", "--batch", "--dtype", "--no-bias", "--set", "--input", "--symbolic", "--format", "-f"),
    *("--quiet", "-q", "--help", "-h", "--version", "--debug", "--layer", "--at", "--from", "--stack", "--where", "--pareto", "--axes"),
    *("--to", "--fold", "--no-fold", "--specs", "--golden", "--against", "--device", "--params", "--macs", "--output-shape"),
    *("--square", "--field", "--changes", "--no-changes", "--spec", "--share"),
    *("--install-completion-x", "--peak-bytes", "--saved-bytes"),
)  # fmt: skip

KINDS = {
    name: getattr(Fuzz, name)
    for name in ("specs", "chains", "expressions", "claims", "golden", "records", "sets", "stack", "commands")
} | {"where": Fuzz.wheres}
"""What can be drawn, by the name that --what takes."""
