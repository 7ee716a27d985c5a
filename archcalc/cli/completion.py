"""Completion in a shell: names, layers, columns, and what `--set` takes."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import typer

from archcalc.errors import ArchcalcError
from archcalc.graph import Graph
from archcalc.language.reader import load_spec
from archcalc.zoo import Architecture, load, spec_files, text_of

BREAKS = ":="
"""What bash takes for words of their own."""


def complete_name(incomplete: str) -> Iterator[str]:
    """The names that begin so. Only the specs that may declare one are parsed."""
    if "/" in incomplete or incomplete.startswith("."):
        return  # a path: the shell completes it
    spec, colon, _ = incomplete.partition(":")
    start = re.escape(spec)
    declares = re.compile(rf"^name:\s*{start}|^\s+{start}[\w.-]*:|\bas:.*\b{start}", re.MULTILINE)
    for file in spec_files():
        if file.stem.startswith(spec) or declares.search(text_of(file)):
            try:
                found = load_spec(file)
            except ArchcalcError:
                continue  # its own command will tell
            names = [f"{found.name}:{name}" for name in found.variants] if colon else found.names
            yield from (name for name in names if name.startswith(incomplete))


def complete_layer(ctx: typer.Context, incomplete: str) -> Iterator[str]:
    """The layers and scopes of the network that is named before, a level at a time."""
    if (found := _built(ctx)) is not None:
        yield from _next(found[1].places, incomplete)


def complete_set(ctx: typer.Context, incomplete: str) -> Iterator[str]:
    """Hyperparameters, layers, their arguments, and the words that those take."""
    if (found := _built(ctx)) is None:
        return
    architecture, graph = found
    name, equals, value = incomplete.partition("=")
    path, dot, word = name.rpartition(".")
    arguments = _arguments(graph, path) if dot else {}
    if equals and dot:
        yield from (f"{name}={word}" for word in arguments.get(word, ()) if word.startswith(value))
    elif dot:
        yield from (f"{path}.{argument}=" for argument in arguments if argument.startswith(word))
    elif not equals:
        yield from (f"{hparam}=" for hparam in architecture.spec.hparams if hparam.startswith(name))
        yield from _next(graph.places, incomplete)


def among(*names: str) -> Callable[[str], Iterator[str]]:
    """A completion of lists such as `params,macs`, of one name after the other."""

    def complete(incomplete: str) -> Iterator[str]:
        before, comma, last = incomplete.rpartition(",")
        given = before.split(",")
        yield from (before + comma + name for name in names if name.startswith(last) and name not in given)

    return complete


def completed(metavar: str, meaning: str, complete: Callable[..., Iterator[str]], *names: str) -> Any:
    """An option whose value a shell can complete."""
    return typer.Option(*names, metavar=metavar, help=meaning, autocompletion=complete, show_default=False)


def _built(ctx: typer.Context) -> tuple[Architecture, Graph] | None:
    """The network of the line so far, in its default sizes, if there is one without errors."""
    # where an option's value is completed, click hasn't told the arguments apart yet
    name = ctx.params.get("name") or next(iter(ctx.params.get("names") or ctx.args), None)
    try:
        architecture = load(str(name))
        return architecture, architecture.build()
    except ArchcalcError:
        return None


def _next(names: Iterable[str], incomplete: str) -> list[str]:
    """The names that begin so, as deep as what is typed; of one that is typed, those inside it."""
    fitting = [name for name in names if name.startswith(incomplete)]
    if incomplete in fitting:
        fitting = [name for name in fitting if name == incomplete or name.startswith(f"{incomplete}/")]
    depth = incomplete.count("/") + (incomplete in fitting and len(fitting) > 1)
    return sorted({"/".join(name.split("/")[: depth + 1]) for name in fitting})


def _arguments(graph: Graph, path: str) -> dict[str, Iterable[str]]:
    """The arguments of the layers that a name stands for, and their words."""
    found: dict[str, Iterable[str]] = {}
    for node in graph.nodes:
        if node.name == path or node.name.startswith(f"{path}/"):
            for name, argument in node.layer.arguments().items():
                flags = ("true", "false") if argument.type.name in ("bool", "Bias") else ()
                found.setdefault(name, (*flags, *argument.type.words))
    return found


def for_bash(command: Callable[[], Any]) -> Any:
    """Run a command that completes a line of bash, with words put together again that bash has split.

    Bash replaces only what stands after the last : or =, so of each answer no more is printed.
    """
    line = os.environ.get("COMP_WORDS", "")
    between = "\n" if "\n" in line else " "
    words = _joined(line.split(between)[: int(os.environ.get("COMP_CWORD") or 0) + 1])
    os.environ |= {"COMP_WORDS": between.join(words), "COMP_CWORD": str(len(words) - 1)}
    cut = max(map(words[-1].rfind, BREAKS)) + 1
    with redirect_stdout(StringIO()) as answer:
        try:
            return command()
        finally:
            kept = [f"{text[cut:]}\n" for text in answer.getvalue().splitlines()]
            sys.__stdout__.writelines(kept)  # type: ignore[union-attr]


def _joined(parts: Iterable[str]) -> list[str]:
    """Words that : and = don't part."""
    words = [""]
    for part in parts:
        glued = words[-1][-1:] in BREAKS or part.strip(BREAKS) == ""
        words[-1:] = [words[-1] + part] if words[-1] and part and glued else [*words[-1:], part]
    return words[1:]
