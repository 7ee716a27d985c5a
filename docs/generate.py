"""Write the pages that follow from the code: `python docs/generate.py` writes docs/api.md and docs/modules.md.

A test compares them with what this makes of the code.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import archcalc

ROOT = Path(__file__).parent.parent

SECTIONS = ("Raises: ", "Returns: ", "Shapes: ", "Source: ")
"""What begins a paragraph of its own in a docstring."""
API = """\
# Python

What `import archcalc` offers, from its docstrings; `docs/generate.py` writes this page. A network is given by its name
or path, or as an `Architecture`, a `Graph` or a `Report`. Every answer is an [`Answer`](#answer): it prints as a table,
shows itself in a notebook, and becomes a text, a file, a dict or a data frame. What goes wrong is an
[`ArchcalcError`](#archcalcerror).

A parameter means the same everywhere, and is called as the commands' option:

| Parameter | Option | What |
| :-- | :-- | :-- |
| `hparams` | `--set` | values of hparams and layers' arguments, by name: `{"width": 96, "conv1.stride": 3}` |
| `sizes` | `--input` | sizes of inputs, by axis: `{"H": 256, "W": 256}` |
| `symbolic` | `--symbolic` | names of what stays open: `"H,W,N"` |
| `batch`, `dtype` | `--batch`, `--dtype` | examples at once, and of which type their values are |
| `specs` | `--specs` | a folder of specs instead of the zoo |
| `layer`, `at`, `from_` | `--layer`, `--at`, `--from` | a layer or scope, a position in it, and which layer is seen |
| `columns`, `all`, `depth` | `--columns`, `--all`, `--depth` | which columns and rows a table has |

```python
>>> import archcalc
```
"""
MODULES = """\
# Modules

Every module and what it's for, from its docstring; `docs/generate.py` writes this page. How the parts fit together says
[architecture.md](architecture.md).
"""


def api() -> str:
    """docs/api.md: functions, then classes, then errors, each in the order of their names."""
    found = {name: getattr(archcalc, name) for name in archcalc.__all__ if not name.startswith("_")}
    classes = {name: each for name, each in found.items() if inspect.isclass(each)}
    errors = {name: each for name, each in classes.items() if issubclass(each, Exception)}
    sections = {
        "Functions": [lines for name, each in found.items() if name not in classes for lines in _function(name, each)],
        "Classes": [lines for name, each in classes.items() if name not in errors for lines in _class(name, each)],
        "Errors": [lines for name, each in errors.items() for lines in ("", f"### {name}", "", *prose(each))],
    }
    return API + "".join(f"\n## {title}\n" + "\n".join(lines) + "\n" for title, lines in sections.items())


def _function(name: str, function: Callable[..., Any]) -> Iterator[str]:
    yield from ("", f"### {name}", "", "```text", *signature(name, function), "```", "", *prose(function))


def _class(name: str, found: type) -> Iterator[str]:
    yield from ("", f"### {name}", "", *prose(found))
    for member, value in _members(found):
        if isinstance(value, (property, cached_property)):
            yield from ("", f"**`.{member}`** {_first(prose(value))}")
        elif inspect.isfunction(value):
            yield from ("", "```text", *signature(f".{member}", value), "```", "", *prose(value))


def _members(found: type) -> Iterator[tuple[str, Any]]:
    """The public members of a class, its own first; what `Answer` gives to all answers stands under that alone."""
    seen = set()
    for base in found.__mro__:
        ours = base.__module__.startswith("archcalc") and (base is found or base is not archcalc.Answer)
        for member, value in vars(base).items() if ours else ():
            if not member.startswith("_") and member not in seen and getattr(value, "__doc__", None):
                seen.add(member)
                yield member, value


def signature(name: str, function: Callable[..., Any]) -> list[str]:
    """A call with its types, on one line or a line for each parameter."""
    found = inspect.signature(function)
    parameters: list[str] = []
    for each in found.parameters.values():
        stars = {each.VAR_POSITIONAL: "*", each.VAR_KEYWORD: "**"}.get(each.kind, "")
        if each.kind is each.KEYWORD_ONLY and not any(one.startswith("*") for one in parameters):
            parameters.append("*")
        default = "" if each.default is each.empty else f" = {each.default!r}"
        annotation = str(each.annotation).replace('"', "").replace("'", "")
        parameters += [] if each.name == "self" else [f"{stars}{each.name}: {annotation}{default}"]
        if each.kind is each.POSITIONAL_ONLY:
            parameters = [*(one for one in parameters if one != "/"), "/"]
    returns = str(found.return_annotation).replace('"', "").replace("'", "")
    whole = f"{name}({', '.join(parameters)}) -> {returns}"
    return [whole] if len(whole) <= 100 else [f"{name}(", *(f"    {each}," for each in parameters), f") -> {returns}"]


def prose(described: Any) -> list[str]:
    """A docstring as Markdown: what it raises as a list, examples as blocks of code."""
    text = inspect.getdoc(described) or ""
    lines: list[str] = []
    for block in re.split(r"\n\n+", text):
        if block.startswith(">>> "):
            lines += ["```python", *block.splitlines(), "```", ""]
            continue
        for line in block.splitlines():
            if line.startswith(SECTIONS) and lines and lines[-1]:
                lines.append("")
            lines.append(line)
        lines.append("")
    return lines[:-1]


def _first(lines: list[str]) -> str:
    return " ".join(lines[: lines.index("")] if "" in lines else lines)


def modules() -> str:
    """docs/modules.md: a table for each package, in the order of the parts in docs/architecture.md."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    parts = re.findall(r"^\| `(\w+)` \|", text.partition("| Part | Job |")[2].partition("\n\n")[0], re.MULTILINE)
    lines = [MODULES, "| Module | What it's for |", "| --- | --- |"]
    for part in parts:
        single = ROOT / "archcalc" / f"{part}.py"
        files = [single] if single.is_file() else sorted((ROOT / "archcalc" / part).rglob("*.py"))
        lines += [f"| `{file.relative_to(ROOT / 'archcalc')}` | {_summary(file)} |" for file in files]
    return "\n".join(lines) + "\n"


def _summary(file: Path) -> str:
    """The first sentence of a module's docstring."""
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    sentence = " ".join(text.partition("\n\n")[0].split())
    return re.split(r"(?<=[.!?]) (?=[A-Z`])", sentence)[0].rstrip(".").replace("|", "\\|")


PAGES = {"api.md": api, "modules.md": modules}

if __name__ == "__main__":
    for page, make in PAGES.items():
        (ROOT / "docs" / page).write_text(make(), encoding="utf-8")
