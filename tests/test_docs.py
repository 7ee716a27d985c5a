"""The documentation is true: what it shows is what is printed, and what it lists is what there is."""

from __future__ import annotations

import ast
import doctest
import inspect
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

import archcalc
from archcalc.__main__ import main
from archcalc.cli.app import COMMANDS, module_name
from archcalc.errors import Diagnostic, SpecError
from archcalc.expand import build
from archcalc.expand.blocks import MAX_CALL_DEPTH, MAX_CALLS
from archcalc.expand.expander import MAX_DESCRIBED, MAX_PASSES
from archcalc.expand.scope import MAX_PATH
from archcalc.graph import MAX_LAYERS
from archcalc.language import arithmetic, parser, tree
from archcalc.language.reader import TOP_LEVEL, parse_spec
from archcalc.language.tree import Source
from archcalc.layers import REGISTRY
from archcalc.layers.arguments import ARGUMENT_TYPES
from archcalc.layers.base import SHORTHANDS
from archcalc.quantities import QUANTITIES, claimable
from archcalc.questions.contradictions import claim_findings
from archcalc.symbolic.arithmetic import MAX_FUNCTIONS, MAX_PARTS
from archcalc.tables.formats import FORMATS
from archcalc.work import LISTED, STEPS
from tests import layer_cases
from tests.checkpoints import write_safetensors

ROOT = Path(__file__).parent.parent
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
DOCS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in DOCUMENTS}
README = DOCS["README.md"]

each_document = pytest.mark.parametrize("name", DOCS)


@dataclass(frozen=True)
class Fence:
    """A block of code in a document; `label` is the comment on the line before it: `<!-- file: net.yaml -->`."""

    language: str
    label: str
    text: str
    line: int

    @property
    def file(self) -> str:
        """The file that the block shows, if it is one."""
        return self.label.removeprefix("file: ") if self.label.startswith("file: ") else ""


def fences(text: str) -> Iterator[Fence]:
    """The blocks of code of a document."""
    pattern = r"(?:^<!-- ([^\n]+) -->\n)?^```(\w*)\n(.*?)^```$"
    for match in re.finditer(pattern, text, re.MULTILINE | re.DOTALL):
        yield Fence(match[2], match[1] or "", match[3], text.count("\n", 0, match.start(3)) + 1)


def table(text: str, *head: str) -> list[list[str]]:
    """The rows of all tables whose heading begins with these words."""
    rows: list[list[str]] = []
    start = "| " + " | ".join(head) + " |"
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith(start):
            next(lines)
            for row in lines:
                if not row.startswith("|"):
                    break
                rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]])
    assert rows, f"there is no table {start}"
    return rows


def code(cell: str) -> list[str]:
    """The pieces of code in a cell."""
    return [piece.replace("\\|", "|") for piece in re.findall(r"`([^`]+)`", cell)]


# ---------------------------------------------------------------- what is shown is what happens


def test_the_formulas_of_language_models_are_what_the_commands_print(capsys: pytest.CaptureFixture[str]) -> None:
    """Each line of the table in docs/formulas.md, for the quantity that it names."""
    for command, line, _ in table(DOCS["docs/formulas.md"], "Command", "Line"):
        assert 0 == main([*code(command)[0].split()[1:], "--quiet"])
        assert code(line)[0] in {re.sub(" +", " ", each) for each in capsys.readouterr().out.splitlines()}, command


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with `archcalc` on the path as this very checkout has it."""
    command = tmp_path / "bin" / "archcalc"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m archcalc "$@"\n')
    command.chmod(0o755)
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    for name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def shell(command: str) -> str:
    """What a command prints, errors included."""
    done = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
    return done.stdout.decode()


def dialogue(fence: Fence) -> Iterator[tuple[str, str]]:
    """The commands of a console block and what it says they print."""
    for part in re.split(r"^\$ ", fence.text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def fits(shown: str, printed: str) -> bool:
    """Whether a text is what was printed; a line … in it stands for any lines that were left out."""
    parts = re.split(r"^…\n", shown, flags=re.MULTILINE)
    return re.fullmatch(r"(?:.*\n)+?".join(map(re.escape, parts)), printed) is not None


@each_document
def test_commands_print_what_is_shown(name: str, workplace: Path) -> None:
    """Every command in a console block prints what stands below it; blocks with a file's name are that file."""
    for fence in fences(DOCS[name]):
        if fence.file:
            (workplace / fence.file).write_text(fence.text, encoding="utf-8")
        for command, shown in dialogue(fence) if fence.language == "console" else ():
            printed = shell(command)
            assert fits(shown, printed), f"{name}, line {fence.line}: $ {command}\n{printed}"


def test_a_document_that_lies_is_found_out() -> None:
    """The comparison fails on a changed digit, a missing line and a line too many."""
    assert fits("a 1\n…\nb 2\n", "a 1\nx\ny\nb 2\n")
    assert not fits("a 1\n…\nb 2\n", "a 1\nb 2\n")
    assert not fits("a 1\n", "a 2\n")
    assert not fits("a 1\n", "a 1\nb 2\n")
    assert not fits("a 1\n…\n", "b 1\nb 2\n")


@each_document
def test_python_examples(name: str, workplace: Path) -> None:
    """Every `>>>` line gives what stands below it."""
    names: dict[str, Any] = {}
    runner = doctest.DocTestRunner()
    for fence in fences(DOCS[name]):
        if fence.file:
            (workplace / fence.file).write_text(fence.text, encoding="utf-8")
        if fence.language == "python" and fence.text.startswith(">>> "):
            test = doctest.DocTestParser().get_doctest(fence.text, names, name, name, fence.line)
            runner.run(test, clear_globs=False)
            names.update(test.globs)
    assert runner.failures == 0


@each_document
def test_yaml_examples_are_specs(name: str) -> None:
    """Every piece of YAML builds in all of its variants without an error or a warning, unless it shows one."""
    for fence in fences(DOCS[name]):
        if fence.language == "yaml" and fence.label not in ("steps", "file: wrong.yaml", "uses glu"):
            found = [str(each) for each in diagnostics(fence.text) if each.code != "W409"]  # opaque layers have one
            assert [] == found, f"{name}, line {fence.line}"


def test_the_steps_for_a_users_own_repository(workplace: Path) -> None:
    """The commands of README's workflow work on a folder of specs, and fail on a wrong one."""
    (workplace / "specs").mkdir()
    spec = next(fence.text for fence in fences(README) if fence.file == "tinyres.yaml")
    (workplace / "specs" / "tinyres.yaml").write_text(spec)
    shell("archcalc golden update --specs specs --golden golden")
    steps = next(fence.text for fence in fences(README) if fence.label == "steps")
    commands = re.findall(r"^- run: (.+)$", steps, re.MULTILINE)
    assert ["ok\n"] * 3 == [shell(f"{command} > /dev/null && echo ok") for command in commands]
    (workplace / "specs" / "tinyres.yaml").write_text(spec.replace("width: 16", "width: 17"))
    assert ["ok\n", "", ""] == [shell(f"{command} > /dev/null && echo ok") for command in commands]


# ---------------------------------------------------------------- CONTRIBUTING's examples


def contribution(label: str) -> str:
    """A piece of code that CONTRIBUTING shows."""
    return next(fence.text for fence in fences(DOCS["CONTRIBUTING.md"]) if fence.label == label)


def test_contributing_shows_a_layer_kind_as_it_is() -> None:
    """The class and the rows are those of the product, which other tests hold, and specs use the kind."""
    assert inspect.getsource(REGISTRY["glu"]) == contribution("layer kind")
    rows = contribution("example rows").splitlines()
    assert rows == [line.strip() for line in inspect.getsource(layer_cases).splitlines() if line.strip() in rows]
    assert [] == diagnostics(contribution("uses glu"))
    assert ["E205"] == [found.code for found in diagnostics("conv 5 3x3 -> glu")]


def extended(package: Path) -> None:
    """Put the pieces that CONTRIBUTING shows into a copy of the package, where it says."""
    with (package / "analyses" / "cost.py").open("a", encoding="utf-8") as file:
        file.write(f"\n\n{contribution('analysis')}")
    file = package / "quantities.py"
    before, declared, after = file.read_text().partition('        Quantity("depth"')
    file.write_text(f"{before}        {contribution('quantity').strip()},\n{declared}{after}")
    (package / "tables" / "bars.py").write_text(contribution("format"))
    file = package / "tables" / "formats.py"
    file.write_text(file.read_text().replace("FORMATS = {", f"FORMATS = {{{contribution('format line')}"))


def test_contributing_is_followed_to_the_letter(tmp_path: Path) -> None:
    """In a copy of the package, the pieces that CONTRIBUTING shows, put where it says, are a column and a format."""
    shutil.copytree(ROOT / "archcalc", tmp_path / "archcalc")
    shutil.copytree(ROOT / "specs", tmp_path / "specs")
    extended(tmp_path / "archcalc")
    (tmp_path / "t.yaml").write_text(complete(contribution("uses glu")))
    columns = "layer,output_shape,optimizer_values"
    for form, expected in (
        (
            "csv",
            ["layer,output_shape,optimizer_values", "input,3x32x32,0", "conv 64 3x3,64x30x30,3584", "glu,32x30x30,0"],
        ),
        ("bars", ["input | 3x32x32 | 0", "conv 64 3x3 | 64x30x30 | 3,584", "glu | 32x30x30 | 0"]),
    ):
        asked = ["table", "t.yaml", "--format", form, "--columns", columns]
        done = subprocess.run(
            [sys.executable, "-m", "archcalc", *asked], cwd=tmp_path, capture_output=True, text=True, timeout=60,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
        )  # fmt: skip
        assert ("", 0) == (done.stderr, done.returncode)
        assert expected == done.stdout.splitlines()[: len(expected)]


def test_every_format_is_described() -> None:
    """docs/formats.md has each format with the suffixes of its files, and no other."""
    listed = {code(row[0])[0]: code(row[1]) for row in table(DOCS["docs/formats.md"], "Format", "Files")}
    assert listed == {name: list(filter(None, form.suffixes)) for name, form in FORMATS.items()}


# ---------------------------------------------------------------- specs and their errors


def complete(fragment: str) -> str:
    """A piece of a spec with what it leaves out; lines without a top-level key stand under `layers`."""
    keys = {key for key in re.findall(r"^(\w+):", fragment, re.MULTILINE) if key in (*TOP_LEVEL, "imput")}
    if not keys:
        lines = [line if line.startswith((" ", "- ")) else f"- {line}" for line in fragment.splitlines()]
        fragment, keys = "layers:\n" + "\n".join(f"  {line}" for line in lines), {"layers"}
    defaults = {"name": "name: t", "input": "input: {C: 3, H: 32, W: 32}", "layers": "layers: conv 8 3x3"}
    if keys & {"inputs", "imput"}:
        del defaults["input"]
    missing = [line for key, line in defaults.items() if key not in keys]
    head, rest = (missing, []) if "archcalc" not in keys else ([], missing)
    return "\n".join([*(["archcalc: 1"] if "archcalc" not in keys else []), *head, fragment.rstrip("\n"), *rest]) + "\n"


def diagnostics(fragment: str) -> list[Diagnostic]:
    """All that is wrong with a spec or a piece of one, in all of its variants; used specs are the zoo's."""
    found: list[Diagnostic] = []
    try:
        spec = parse_spec(Source("t.yaml", complete(fragment) if fragment else "", ROOT / "specs"))
    except SpecError as error:
        return list(error.diagnostics)
    for variant in spec.variants or ("",):
        try:
            found += build(spec, variant).warnings
        except SpecError as error:
            found += error.diagnostics
    return found + claim_findings(spec, spec.variants or ("",))


def unlike(spec: str, network: str) -> list[Diagnostic]:
    """How a network isn't what a spec says, both of them pieces of specs."""
    said, found = (
        archcalc.Architecture(parse_spec(Source("t.yaml", complete(each), None)), "") for each in (spec, network)
    )
    return list(archcalc.check(found, against=said))


def unlike_weights(spec: str, shapes: str) -> list[Diagnostic]:
    """How a checkpoint with tensors of these shapes isn't a network's."""
    network = archcalc.Architecture(parse_spec(Source("t.yaml", complete(spec), None)), "")
    with TemporaryDirectory() as folder:
        file = Path(folder, "t.safetensors")
        write_safetensors(file, {name: ("F32", shape) for name, shape in json.loads(shapes).items()})
        return list(archcalc.check(network, weights=file))


ERRORS = {row[0]: row for row in table(DOCS["docs/errors.md"], "Code", "Meaning", "Example", "Message")}


def test_every_code_is_documented() -> None:
    """docs/errors.md lists exactly the codes that occur in the code, each once, in order."""
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "archcalc").rglob("*.py"))
    codes = sorted(set(re.findall(r'"([EW]\d{3})"', sources)))
    assert codes == list(ERRORS)
    assert len(codes) == len(re.findall(r"^\| [EW]\d{3} \|", DOCS["docs/errors.md"], re.MULTILINE))


@pytest.mark.parametrize("error", [code for code in ERRORS if code != "E000"])
def test_error_examples(error: str) -> None:
    """Every example in docs/errors.md gives its code, its message and its hint."""
    _, _, example, told = ERRORS[error]
    fragment = "" if example == "an empty file" else "\n".join(code(example))
    message, *hint = code(told)
    ask = {"E3": unlike, "E4": unlike_weights}.get(error[:2])
    told_of = ask(*code(example)) if ask else diagnostics(fragment)
    found = [(d.code, d.message, d.hint) for d in told_of]
    assert (error, message, "".join(hint)) in found, found


# ---------------------------------------------------------------- what is listed is what there is


def arguments_of(kind: str) -> str:
    """A kind's arguments as docs/language.md writes them."""
    words = []
    for argument in REGISTRY[kind].arguments().values():
        default = "" if argument.default is None else f"={argument.type.write(argument.default)}"
        words.append(argument.name if argument.required else f"[{argument.name}{default}]")
    return " ".join([kind, *words])


def test_every_layer_kind_is_documented() -> None:
    """The tables of kinds in docs/language.md have every kind with its arguments, in their order."""
    listed = [code(row[0])[0] for row in table(DOCS["docs/language.md"], "Kind", "Meaning")]
    assert len(set(listed)) == len(listed)
    assert set(map(arguments_of, REGISTRY)) == set(listed)


def test_argument_words_are_documented() -> None:
    """docs/language.md names every short form, and every word that an argument takes."""
    rows = table(DOCS["docs/language.md"], "Short", "Long")
    assert SHORTHANDS == {code(short)[0]: code(long)[0] for short, long, *_ in rows}
    words = {word for type_ in ARGUMENT_TYPES.values() for word in type_.words if len(word) > 1}
    listed = {word for row in table(DOCS["docs/language.md"], "Argument", "Takes") for word in code(row[1])}
    assert set() == words - listed


def test_keys_functions_and_operators_are_documented() -> None:
    """docs/language.md has every top-level key, every function, and every operator."""
    text = DOCS["docs/language.md"]
    assert list(TOP_LEVEL) == [key for row in table(text, "Key", "Value") for key in code(row[0])]
    assert list(arithmetic.FUNCTIONS) == [code(row[0])[0].partition("(")[0] for row in table(text, "Function", "Value")]
    operators = {piece for row in table(text, "Operators") for piece in code(row[0])}
    assert set() == {*arithmetic.OPERATIONS, "==", "!=", "and", "or", "not"} - operators


def test_quantities_are_documented() -> None:
    """docs/language.md says what can be claimed."""
    claims = DOCS["docs/language.md"].partition("## Claims")[2].partition("\n## ")[0]
    assert [] == [name for name in claimable() if f"`{name}`" not in claims and f"`{name}(" not in claims]


def test_limits_are_documented() -> None:
    """The limits in docs/language.md are those of the code."""
    limits = [
        tree.MAX_BYTES, tree.MAX_DEPTH, tree.MAX_NODES, parser.MAX_NESTING, parser.MAX_TERMS, parser.MAX_DIGITS,
        arithmetic.MAX_BITS, arithmetic.MAX_TERMS, MAX_PARTS, MAX_FUNCTIONS, arithmetic.MAX_RANGE, MAX_LAYERS, MAX_PASSES, MAX_DESCRIBED,
        MAX_CALL_DEPTH, MAX_PATH, MAX_CALLS, tree.MAX_DIAGNOSTICS, STEPS, LISTED,
    ]  # fmt: skip
    assert [f"{limit:,}" for limit in limits] == [row[1] for row in table(DOCS["docs/language.md"], "Limit", "Most")]


def test_every_number_is_documented() -> None:
    """docs/numbers.md describes every quantity as it's declared; README describes nothing else."""
    rows = [(code(row[0])[0], row[1]) for row in table(DOCS["docs/numbers.md"], "Number", "Meaning")]
    assert [*QUANTITIES, "aligned"] == [name for name, _ in rows]
    for name, meaning in rows[:-1]:
        assert meaning.startswith(QUANTITIES[name].meaning), name
    assert {name for row in table(README, "Number", "Meaning") for name in code(row[0])} <= QUANTITIES.keys()


def test_every_command_is_mentioned() -> None:
    """README or docs/ show every command, and no command or option that isn't there."""
    text = "\n".join(DOCS.values())
    assert [] == [command for command in COMMANDS if f"archcalc {command}" not in text]
    cli = ROOT / "archcalc" / "cli"
    for command, rest in re.findall(r"archcalc ([a-z][a-z-]*)((?: [^\n`|;>&]+)?)", "".join(pieces())):
        assert command in COMMANDS, f"archcalc {command}"
        budgets = "".join(f'"--{name.replace("_", "-")}"' for name in QUANTITIES) if command == "solve" else ""
        source = budgets + (cli / f"{module_name(command)}.py").read_text() + (cli / "options.py").read_text()
        for option in re.findall(r"(?<=\s)--([a-z-]+)", rest):
            assert f'"--{option}"' in source or f"    {option.replace('-', '_')}:" in source, (
                f"archcalc {command} --{option}"
            )


def pieces() -> Iterator[str]:
    """Every command in the documents: console and shell blocks, and inline code that starts with `archcalc`."""
    for text in DOCS.values():
        for fence in fences(text):
            if fence.language in ("console", "sh", "bash") or fence.label == "steps":
                yield from (f"{line}\n" for line in fence.text.splitlines() if "archcalc " in line)
        yield from (f"{piece}\n" for piece in re.findall(r"`(archcalc [^`\n]+)`", text))


def test_readme_has_the_two_lines_that_ci_runs() -> None:
    """README's only shell blocks are the two lines that .ci/run takes from it."""
    lines = [fence.text for fence in fences(README) if fence.language == "sh"]
    start = "python3 -m venv .venv && . .venv/bin/activate && pip install "
    assert [f"{start}. && archcalc table vgg16\n", f"{start}-e '.[dev]' -c constraints.txt && pytest\n"] == lines


def test_every_dependency_is_explained() -> None:
    """docs/architecture.md says of each dependency what it is for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    needed = [*project["project"]["dependencies"], *extras["dev"], *project["build-system"]["requires"]]
    names = {re.split(r"[<>=~!]", requirement)[0] for requirement in needed}
    assert names == {piece for row in table(DOCS["docs/architecture.md"], "Package", "Why") for piece in code(row[0])}


def test_generated_pages_follow_from_the_code() -> None:
    """docs/generate.py would write what stands in docs/api.md and docs/modules.md, which names every module."""
    pages = runpy.run_path(str(ROOT / "docs" / "generate.py"))["PAGES"]
    for name, written in pages.items():
        assert DOCS[f"docs/{name}"] == written(), f"docs/{name} is out of date: python docs/generate.py"
    folder = ROOT / "archcalc"
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*.py")}
    listed = [code(row[0])[0] for row in table(DOCS["docs/modules.md"], "Module", "What it's for")]
    assert sorted(there) == sorted(listed)


def test_public_functions_say_what_they_need_and_give() -> None:
    """Each has an example that runs and says what it raises, if it can; each public class and member a docstring."""
    for name in archcalc.__all__:
        thing = getattr(archcalc, name)
        if inspect.isfunction(thing):
            assert re.search(rf">>> .*archcalc\.{name}\(", inspect.getdoc(thing) or ""), name
            assert "Raises: " in (inspect.getdoc(thing) or ""), name
        elif not name.startswith("_"):
            assert inspect.getdoc(thing), name


def test_imports_go_one_way() -> None:
    """Nothing is imported from a part that docs/architecture.md lists further down, inside functions neither."""
    parts = [code(row[0])[0] for row in table(DOCS["docs/architecture.md"], "Part", "Job")]
    order = {part: number for number, part in enumerate(parts)}
    upward = set()
    for path in (ROOT / "archcalc").rglob("*.py"):
        part = part_of(path.relative_to(ROOT).with_suffix("").as_posix().replace("/", "."))
        assert part in order, f"{path} belongs to no part"
        found = imports(path.read_text(encoding="utf-8"))
        upward |= {
            (path.relative_to(ROOT / "archcalc").as_posix(), module)
            for module in found
            if order[part_of(module)] > order[part]
        }
    assert set() == upward


def test_no_modules_import_each_other() -> None:
    """There is an order in which each module comes after all that it imports, inside functions too."""
    files = {module_of(path): path for path in (ROOT / "archcalc").rglob("*.py")}
    needs = {
        module: set(imports(path.read_text(encoding="utf-8"), files, typing=False)) for module, path in files.items()
    }
    assert set(files) == set(TopologicalSorter(needs).static_order())  # a circle is a CycleError


def test_circles_of_imports_are_seen() -> None:
    """The question finds a circle if there is one; what only type checkers import makes none."""
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from archcalc.b import B\n"
    assert (["archcalc.b"], []) == (list(imports(text)), list(imports(text, typing=False)))
    with pytest.raises(CycleError):
        list(TopologicalSorter({"a": {"b"}, "b": {"a"}}).static_order())


def test_imports_inside_functions_are_seen() -> None:
    """The question finds imports of every form, wherever they stand."""
    text = "import archcalc.a\nif x:\n    from archcalc.b import c\ndef f():\n    from archcalc import d\n"
    assert ["archcalc.a", "archcalc.b", "archcalc.d"] == sorted(imports(text))


def part_of(module: str) -> str:
    """The part of the package that a module belongs to."""
    return module.removesuffix(".__init__").removeprefix("archcalc").removeprefix(".").partition(".")[0] or "__init__"


def module_of(path: Path) -> str:
    """The name under which a file is imported."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(text: str, modules: Iterable[str] = (), typing: bool = True) -> Iterator[str]:
    """The modules of archcalc that a module imports, at its top or inside functions; or for type checkers alone.

    `from archcalc.a import b` is about `archcalc.a.b` where that is one of `modules`.
    """
    for statement in ast.walk(ast.parse(text)) if typing else run_statements(ast.parse(text)):
        if isinstance(statement, ast.ImportFrom) and (statement.module or "").partition(".")[0] == "archcalc":
            for alias in statement.names:
                inner = f"{statement.module}.{alias.name}"
                yield inner if inner in modules or statement.module == "archcalc" else str(statement.module)
        elif isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names if alias.name.startswith("archcalc."))


def run_statements(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a syntax tree but those under `if TYPE_CHECKING:`."""
    for child in ast.iter_child_nodes(tree):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield child
            yield from run_statements(child)


@each_document
def test_every_block_of_code_says_what_it_is(name: str) -> None:
    """A block without a language is run by no test; a console block without a command shows nothing that is run."""
    for fence in fences(DOCS[name]):
        assert fence.language in ("bash", "console", "json", "python", "sh", "text", "yaml"), (
            f"{name}, line {fence.line}"
        )
        assert fence.language != "console" or fence.text.startswith("$ "), f"{name}, line {fence.line}"


@each_document
def test_links_lead_somewhere(name: str) -> None:
    """Every relative link names a file that is there, and a heading in it."""
    for target in re.findall(r"\]\(([^)\s]+)\)", DOCS[name]):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / name).parent / path if path else ROOT / name
        assert file.exists(), target
        headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE) if anchor else []
        slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
        assert not anchor or anchor in slugs, target
