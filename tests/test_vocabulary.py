"""One word for one idea: the parameters of the public functions, and the options of the commands."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import typer
from typer.main import get_command

import archcalc
from archcalc.__main__ import main
from archcalc.cli.app import COMMANDS, app
from archcalc.errors import in_python
from archcalc.questions.networks import Network

QUESTIONS = {name: each for name in archcalc.__all__ if inspect.isfunction(each := getattr(archcalc, name))}
TABLES = {
    f"{name}.{method}": getattr(each, method)
    for name in archcalc.__all__ if inspect.isclass(each := getattr(archcalc, name)) and issubclass(each, archcalc.Answer)
    for method in ("table", "to", "save") if inspect.isfunction(getattr(each, method, None))
}  # fmt: skip
WIDER = {
    ("sweep", "batch"),
    ("sweep", "field"),
    ("analyze", "network"),
    ("analyze", "batch"),
    ("assert_matches", "network"),
    ("assert_matches", "spec"),
}
"""What takes several values where others take one, or a PyTorch module, too."""
FUNCTIONS = {
    "table": ["analyze", "Report.table"],
    "compare": ["compare", "Comparison.table"],
    "diff": ["diff", "Differences.table"],
    "list": ["architectures", "Architectures.table"],
    "render": ["draw"],
    "sweep": ["sweep", "draw"],
    "export": ["to_torch"],
    "receptive-field": [name for name in QUESTIONS if "receptive_field" in name],
    "verify": ["verify", "verify_against"],
}
"""What answers a command, if it isn't the function of its name."""
CALLED = {"set": "hparams", "input": "sizes", "from": "from_", "no_bias": "bias"}
"""Parameters that can't be called, or aren't, as the option is: `from` is a word of Python's."""
OF_COMMANDS = {
    "format", "output", "quiet", "help",  # how an answer is written
    "effective", "stack", "against", "plot", "to", "style",  # which answer
    "spec", "exit_code", "record", "memory", "o",
    "all",  # all specs: no networks
}  # fmt: skip


def parameters(function: Callable[..., Any]) -> Iterator[inspect.Parameter]:
    """Those that are given by name."""
    found = inspect.signature(function).parameters.values()
    return (
        each for each in found if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY) and each.name != "self"
    )


def test_a_parameter_means_one_thing() -> None:
    """Under one name every public function takes the same type; None, where it may be left out, apart."""
    types: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name, function in {**QUESTIONS, "Architecture.build": archcalc.Architecture.build, **TABLES}.items():
        for each in parameters(function):
            if (name, each.name) not in WIDER:
                told = str(each.annotation).replace("os.PathLike", "PathLike").replace("Network", str(Network))
                types[each.name][told.removesuffix(" | None")].append(name)
    assert len(types) > 30
    assert {} == {name: dict(found) for name, found in types.items() if len(found) > 1}


def test_hparams_and_sizes_go_together() -> None:
    """Whatever builds networks takes both, by name alone."""
    for name, function in {**QUESTIONS, "Architecture.build": archcalc.Architecture.build}.items():
        found = {each.name: each.kind for each in parameters(function)}
        if "sizes" in found:
            assert found["hparams"] == found["sizes"], name
            assert name == "build" or found["sizes"] is inspect.Parameter.KEYWORD_ONLY, name


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in ("golden", "import", "schema", "solve")])
def test_options_are_called_as_parameters_are(command: str) -> None:
    """What a command asks can be asked from Python under the same name."""
    group = get_command(app)
    found = group.get_command(typer.Context(group), command)  # type: ignore[attr-defined]
    options = [max(each.opts, key=len).lstrip("-").replace("-", "_") for each in found.params if each.opts[0][0] == "-"]
    asked = {CALLED.get(option, option) for option in options} - OF_COMMANDS
    everything = {**QUESTIONS, **TABLES}
    taken = {each.name for name in FUNCTIONS.get(command, [command]) for each in parameters(everything[name])}
    assert asked, command
    assert set() == asked - taken


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        ("a range helps: --set k=1..20", "a range helps: hparams={'k': '1..20'}"),
        ("arguments are given to layers: --set conv1.stride=3", "arguments are given to layers: hparams={'conv1.stride': 3}"),
        ("--set HPARAM=sym, --symbolic H,W, or N", "hparams={'HPARAM': 'sym'}, symbolic='H,W', or N"),
        ("all its sizes: --input H=256,W=256", "all its sizes: sizes={'H': 256, 'W': 256}"),
        ("--input right=H=64", "sizes={'right_H': 64}"), ("--output 7x7; --square", "output='7x7'; square=True"),
        ("in --format json, --from pool5", "in to('json'), from_='pool5'"), ("--saved-bytes, --peak-bytes", "saved_bytes, peak_bytes"),
        ("archcalc sweep tries any values", "archcalc.sweep tries any values"), ("did you mean 'a-b--c'?", "did you mean 'a-b--c'?"),
        ("give it once", "give it once"), ("archcalc receptive-field --at", "archcalc.receptive_field at"),
    ],
)  # fmt: skip
def test_hints_fit_whoever_asks(hint: str, expected: str) -> None:
    """They name options of commands; from Python parameters, which are called alike."""
    assert expected == in_python(hint)
    error = archcalc.UsageError("what", hint)
    assert f"what\n    hint: {expected}" == str(error)
    assert f"what\n    hint: {hint}" == error.told(error.hint)


def test_answers_name_what_whoever_asks_can_give(capsys: pytest.CaptureFixture[str]) -> None:
    """Parameters in Python, options on the command line."""
    assert "hyperparameters: hparams={'NAME': 'VALUE'}\n" in repr(archcalc.show("unet"))
    assert "--set" not in archcalc.show("unet").to("markdown")
    assert 0 == main(["show", "unet"])
    assert "hyperparameters: --set NAME=VALUE\n" in capsys.readouterr().out
    assert "hyperparameters: hparams=" in archcalc.show("unet").to("plain")
