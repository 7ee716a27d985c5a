"""Bad specs: the exact text of what is said, and that everything wrong is said at once."""

from pathlib import Path

import pytest

from archcalc.errors import Diagnostic, SpecError
from archcalc.expand import build
from archcalc.language.reader import load_spec
from tests.helpers import HEAD, graph_of, spec_of


def refused(text: str) -> list[Diagnostic]:
    """The diagnostics with which a spec is refused."""
    with pytest.raises(SpecError) as error:
        build(spec_of(text))
    return [found for found in error.value.diagnostics if found.severity == "error"]


def first_line(found: Diagnostic) -> str:
    """A diagnostic without the source line and the hint."""
    return f"{found.mark}: {found.code} {found.message}"


CATALOGUE = [
    (
        "archcalc: 1\nname: t\nimput: {C: 3}\nlayers: [relu]\n",
        "t.yaml:3:1: E011 unknown top-level key 'imput'",
        "did you mean 'input'?",
    ),
    (f"{HEAD}layers: [relu]\nname: u\n", "t.yaml:5:1: E007 duplicate key 'name'", ""),
    (
        f"{HEAD}layers:\n  - !!python/object/apply:os.system ls\n",
        "t.yaml:5:5: E004 YAML tag 'tag:yaml.org,2002:python/object/apply:os.system' is not allowed",
        "",
    ),
    (
        f"{HEAD}layers: &a [relu, *a]\n",
        "t.yaml:4:9: E003 YAML aliases and anchors are not allowed",
        "use hparams or blocks",
    ),
    (
        f"{HEAD}layers: [conv(64,1), relu]\n",
        "t.yaml:4:17: E101 ')' missing at end of text",
        "inside a YAML [ ] list a comma ends the item",
    ),
    (
        f"{HEAD}layers: conv 64 3x3 s=2 -> bn -> rellu\n",
        "t.yaml:4:34: E080 unknown layer kind 'rellu'",
        "did you mean 'relu'?",
    ),
    (
        f"{HEAD}layers:\n  - conv1: conv 64 3x3 stide=2\n",
        "t.yaml:5:24: E084 conv has no argument 'stide'",
        "did you mean 'stride'?",
    ),
    (
        f"{HEAD}hparams: {{width: 3}}\nlayers:\n  - conv widht 3x3\n  - conv width 1x1\n",
        "t.yaml:6:10: E090 unknown name 'widht'",
        "did you mean 'width'?",
    ),
    (
        f"{HEAD}layers:\n  - conv 33 1x1\n  - conv x.C/2 1x1\n",
        "t.yaml:6:10: E088 conv: C = 33/2 is not an integer",
        "use // or ceil(...)",
    ),
    (f"{HEAD}layers:\n  - times 1-1 2\n", "t.yaml:5:11: E088 times: factor = 0 leaves nothing", ""),
    (
        f"{HEAD}layers:\n  - maxpool 8\n  - conv 64 7x7\n",
        "t.yaml:6:5: E204 conv: kernel 7 is larger than the padded input 4",
        "",
    ),
    (
        f"{HEAD}layers:\n  - fc 10\n",
        "t.yaml:5:5: E209 fc: input has spatial axes H, W",
        "write 'flatten -> fc ...' (one vector of 3072)",
    ),
    (
        f"{HEAD}layers:\n  - a: relu\n  - b: from c -> relu\n",
        "t.yaml:6:13: E071 no layer named 'c' before this point",
        "known: a, input",
    ),
    (
        f"{HEAD}layers:\n  - for: {{i: 1..4, c: [1,2,3]}}\n    do: conv c 1x1\n",
        "t.yaml:5:5: E061 'for' lists differ in length: i has 4, c has 3",
        "",
    ),
    (
        f"{HEAD}blocks:\n  a(): b\n  b(): a\nlayers: [a]\n",
        "t.yaml:5:3: E082 blocks call each other in a circle: a -> b -> a",
        "",
    ),
    (
        f"{HEAD}hparams: {{k: sym}}\nlayers:\n  - conv k 1x1\n  - relu if k > 64\n",
        "t.yaml:7:13: E106 condition 'k > 64' depends on a symbolic value",
        "give the symbol a value",
    ),
    (
        f"{HEAD}hparams: {{n: 1}}\nlayers:\n  - conv n 1x1\nvariants:\n  big: {{m: 3}}\n",
        "t.yaml:8:9: E043 variant 'big' sets 'm', which is not a declared hparam",
        "known: as, extends, n, title",
    ),
    (
        f"{HEAD}layers: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
        "t.yaml:4:48: E001 nested deeper than 40 levels",
        "",
    ),
    (f"{HEAD}layers: conv 9**9**9 3x3\n", "t.yaml:4:14: E108 a number of more than 256 bits", ""),
    (
        f"{HEAD}layers:\n  - for: {{i: 1..10**13}}\n    do: relu\n",
        "t.yaml:5:14: E108 a range of 10,000,000,000,000 numbers; at most 1,000,000,000,000 are allowed",
        "",
    ),
    (
        f"{HEAD}layers:\n  - for: {{i: 1..1000}}\n    do: {{for: {{j: 1..1000}}, do: conv i+j 1x1}}\n",
        "t.yaml:5:5: E108 expands to more than 500,000 layers",
        "",
    ),
    (f"{HEAD}layers:\n\t- relu\n", "t.yaml:5:1: E002 broken YAML: found character that cannot start any token", "*"),
    (f"{HEAD}layers: relu\n---\nlayers: relu\n", "t.yaml:5:1: E005 a second YAML document is not allowed", ""),
    (
        f"{HEAD}layers:\n  - a: relu\n  - a: relu\n",
        "t.yaml:6:5: E072 two siblings are called 'a'",
        "names must be unique",
    ),
    (f"{HEAD}layers: conv 64\n", "t.yaml:4:9: E083 conv: kernel_size is missing", "*"),
    (f"{HEAD}layers: relu 3\n", "t.yaml:4:14: E085 relu takes no arguments", ""),
    (f"{HEAD}layers: conv 64 3 k=5\n", "t.yaml:4:19: E087 conv: argument 'kernel_size' is given twice", ""),
    (
        f"{HEAD}defaults: {{conv: {{p: 1, padding: 2}}}}\nlayers: conv 4 3\n",
        "t.yaml:4:34: E087 conv: argument 'padding' is given twice",
        "",
    ),
    *(
        (
            f"{HEAD}hparams: {{{name}: 1}}\nlayers: relu\n",
            f"t.yaml:4:11: E014 '{name}' can't be the name of an hparam",
            f"under 'variants', '{name}' is a key of its own",
        )
        for name in ("as", "extends", "title")
    ),
    (f"{HEAD}variants: {{a: {{title: [b]}}}}\nlayers: relu\n", "t.yaml:4:23: E012 'title' takes text", ""),
    (f"{HEAD}layers: conv 64 3 bias=maybe\n", "t.yaml:4:24: E090 unknown name 'maybe'", "*"),
    (f"{HEAD}layers: conv 10 3 g=3\n", "t.yaml:4:9: E205 conv: out_channels=10 is not divisible by groups=3", ""),
    (f"{HEAD}hparams: {{a: b, b: a}}\nlayers: conv a 3\n", "t.yaml:4:20: E044 hparam 'a' depends on itself", "*"),
    (
        f"{HEAD}hparams: {{relu: 1}}\nlayers: conv relu 3\n",
        "t.yaml:4:17: E093 hparam 'relu' has the name of a layer kind",
        "",
    ),
    (
        f"{HEAD}hparams: {{n: {{value: 3, min: 4}}}}\nlayers: conv n 3\n",
        "t.yaml:4:22: E046 n = 3 is less than its min, 4",
        "",
    ),
    (
        f"{HEAD}layers:\n  - for: {{i: 3}}\n    do: relu\n",
        "t.yaml:5:14: E062 'for' needs a list for i",
        "count with 1..n",
    ),
    (f"{HEAD}layers: conv 64 3 p=@input\n", "t.yaml:4:19: E086 conv: padding takes no tensor", ""),
    (f"{HEAD}hparams: {{w: sym}}\nlayers: conv 5%(w-w) 3\n", "t.yaml:5:14: E088 division by zero", ""),
    (f"{HEAD}layers: [a/b: relu]\n", "t.yaml:4:10: E014 'a/b' can't be the name of a layer", "*"),
    (f"{HEAD}layers: [{{residual: relu, from: [a]}}]\n", "t.yaml:4:33: E012 'from' takes a path", ""),
    (f"{HEAD.replace('name: t', 'name: ../t')}layers: relu\n", "t.yaml:2:7: E014 *", "*"),
    (f"{HEAD}layers:\n  conv 8 3x3 ->\n  rellu\n", "t.yaml:5:3: E080 unknown layer kind 'rellu'", "*"),
    (f'{HEAD}layers: {{"re\\e[31mlu": relu}}\n', "t.yaml:4:10: E101 expected the end, found '\\x1b'", "*"),
    (f"{HEAD}layers: conv 64 3x3x3\n", "t.yaml:4:9: E202 *", "*"),
]


@pytest.mark.parametrize(("text", "line", "hint"), CATALOGUE, ids=[line.split()[1] for _, line, _ in CATALOGUE])
def test_the_catalogue_of_errors(text: str, line: str, hint: str) -> None:
    """Each error says its place, its code, what is wrong, and how to mend it."""
    found = refused(text)[0]
    if line.endswith("*"):
        assert line[:-1] == first_line(found)[: len(line) - 1]
    else:
        assert line == first_line(found)
    if hint != "*":
        assert hint == found.hint


def test_unequal_branches_are_all_shown() -> None:
    """A merge that does not fit shows every branch, its shape in the spec's order of axes, and its line."""
    text = f"{HEAD}layers:\n  - res:\n      add:\n        - conv 64 3x3 s=2 p=1\n        - identity\n"
    found = refused(text)[0]
    assert "t.yaml:6:7: E201 add: branches have different shapes" == first_line(found)
    detail = "a: 64x16x16 (C,H,W) (line 7);  b: 3x32x32 (C,H,W) (line 8);  at 'res'"
    assert (detail,) == found.details


def test_the_trace_tells_loops_blocks_and_variant() -> None:
    """An error inside loops and blocks says through which of them it came, innermost first."""
    text = (
        f"{HEAD}hparams: {{k: 3}}\nblocks:\n  narrow(c): conv c k -> conv c k\n"
        "layers:\n  for: {i: 1..3, c: [8, 16, 32]}\n  do: {for: {j: 1..9}, do: narrow c}\nvariants: {big: {k: 5}}\n"
    )
    found = refused(text)[0]
    assert "E204" == found.code
    assert "narrow, i=1 c=8 j=4, variant big" == found.trace


def test_independent_errors_are_told_together() -> None:
    """One run shows every error that does not follow from another one."""
    text = f"{HEAD}layers:\n  - a: conv 64 99x99\n  - b: fc 10 -> relu\n  - c: from input -> fc 10\n  - d: from nothing -> relu\n"
    assert [found.code for found in refused(text)] == ["E204", "E209", "E071"]
    text = f"{HEAD}imput: 3\nlayers:\n  - rellu\n  - conv widht 3\n  - conv(3)\n"
    assert {"E011", "E080", "E090", "E101"} == {found.code for found in refused(text)}


def test_an_error_in_a_loop_is_told_once() -> None:
    """A thousand passes with the same error give one error."""
    assert 1 == len(refused(f"{HEAD}layers:\n  for: {{i: 1..1000}}\n  do: {{add: [conv 4 3x3, identity]}}\n"))


def test_a_whole_message_shows_the_line_and_the_column() -> None:
    """The text of a SpecError is what compilers print: place, code, message, source line, caret, hint."""
    with pytest.raises(SpecError) as error:
        spec_of(f"{HEAD}layers:\n  - conv 64 3x3 -> rellu\n")
    expected = (
        "t.yaml:5:20: E080 unknown layer kind 'rellu'\n"
        "      - conv 64 3x3 -> rellu\n"
        "                       ^\n"
        "    hint: did you mean 'relu'?"
    )
    assert expected == str(error.value)


def test_stops_after_a_hundred() -> None:
    """A file with thousands of errors shows a hundred, and says so."""
    found = refused(HEAD + "layers:\n" + "".join(f"  - rellu{i}\n" for i in range(5000)))
    assert 101 == len(found)
    assert "stopped after 100 errors" == found[-1].message


WARNINGS = [
    (
        "layers:\n  - conv1: conv 96 11x11 s=4\n",
        "t.yaml:5:12: W401 conv: (224 + 2*0 - 11)/4 + 1 = 54.25 is not an integer; rounded down to 54",
    ),
    ("hparams: {a: 1}\nlayers: relu\n", "t.yaml:4:14: W402 hparam 'a' is never used"),
    ("layers:\n  - a: relu\n  - b: from input -> tanh\n", "t.yaml:5:8: W403 the output of 'a' is never used"),
    (
        "hparams: {c: 8}\nblocks:\n  b(c): conv c 3\nlayers: b c\n",
        "t.yaml:6:3: W404 formal 'c' of 'b' hides the hparam of that name",
    ),
]


@pytest.mark.parametrize(("layers", "line"), WARNINGS, ids=["W401", "W402", "W403", "W404"])
def test_warnings(layers: str, line: str) -> None:
    """What is suspicious but not wrong is a warning of the graph."""
    graph = graph_of(layers, "archcalc: 1\nname: t\ninput: {C: 3, H: 224, W: 224}\n")
    assert [line] == [first_line(found) for found in graph.warnings]


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"", "1:1: E002 the file is empty"),
        (b"# nothing\n", "E002 the file is empty"),
        (b"\x00\x01\x02", "1:1: E002 not YAML text"),
        (b"archcalc: 1\nname: \xff\n", "2:7: E002 invalid UTF-8: byte 0xff"),
        (b"a" * 1_000_001, "1:1: E001 the file is larger than 1,000,000 bytes"),
        (b"- 1\n", "1:1: E012 a spec is a mapping"),
        (b"layers: relu\n", "1:1: E010 'archcalc: 1' must come first"),
        (b"archcalc: 2\nname: t\ninput: {C: 1}\nlayers: relu\n", "1:11: E013 unknown language version '2'"),
    ],
)
def test_files_that_are_no_specs(tmp_path: Path, data: bytes, line: str) -> None:
    """Whatever a file holds, it's refused with its place."""
    path = tmp_path / "t.yaml"
    path.write_bytes(data)
    with pytest.raises(SpecError) as error:
        load_spec(path)
    assert any(line in first_line(found) for found in error.value.diagnostics)


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    """A missing file and a directory are refused; so is a device, which is never opened."""
    for path, told in (
        (tmp_path / "none.yaml", "no such file or directory"),
        (tmp_path, "is a directory"),
        (Path("/dev/zero"), "is not a regular file"),
    ):
        with pytest.raises(SpecError, match=told):
            load_spec(path)
