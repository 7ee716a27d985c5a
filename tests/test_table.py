"""The table: which rows, which numbers, and the same text every time."""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import sympy
from rich.console import Console

import archcalc
from archcalc.__main__ import main
from archcalc.analyses.least import largest
from archcalc.errors import UsageError
from archcalc.quantities import PER_LAYER, QUANTITIES, TOTALLED, Total, fields, names
from archcalc.report.listing import TEXTS, Listing
from archcalc.symbolic import dim
from archcalc.tables import REPR_ROWS, html, plain
from archcalc.tables.numbers import decimal, exact, memory, short
from archcalc.tables.terminal import show
from archcalc.zoo import Architecture, load
from tests.helpers import HEAD, some_architectures, spec_of

ROOT = Path(__file__).parent.parent
ZOO = some_architectures()
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

SMALL = """\
archcalc: 1
name: small
title: A small net
input: {H: 8, W: 8, C: 3}
layers:
  - conv1: conv 4 3x3 p=1 -> relu
  - pool1: maxpool 2
  - conv2: conv 8 3x3 p=1 bias=false -> bn -> prelu 8
  - head: flatten -> fc 10 -> softmax
claims:
  - {source: derived, params: 1714}
  - {source: a paper, params: 3K, holds: false, note: 'It counts | by hand.'}
  - {source: derived, params(conv1): 112}
"""

MIXED = """\
archcalc: 1
name: mixed
input: {C: 4, H: 9, W: 9}
layers:
  - stem: conv 8 5x5 s=2 p=2 g=2 -> bn
  - block: {residual: dwconv 3x3 p=1 -> relu}
  - both: {concat: [conv 4 1x3 p=0x1, avgpool 3 s=1 p=1]}
  - up: tconv 2 2x2 s=2
  - again: {op: conv, out_channels: 2, kernel_size: 1}
"""


@pytest.fixture
def spec(tmp_path: Path) -> Callable[[str], str]:
    """Write a spec to a file and give its path."""

    def write(text: str) -> str:
        path = tmp_path / "net.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must succeed, and give what it prints on stdout."""

    def run(*arguments: str) -> str:
        assert main(list(arguments)) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    return run


def in_terminal(*arguments: str, columns: int = 100, **environment: str) -> str:
    """What a command prints in a terminal of a given width, escapes included."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    known = {
        key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "archcalc", *arguments],
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        env={**known, "TERM": "xterm-256color", **environment},
    )
    os.close(theirs)
    found = b""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:
            break
        if not data:
            break
        found += data
    assert process.wait() == 0
    os.close(ours)
    return found.decode().replace("\r\n", "\n")


# --- text ---------------------------------------------------------------------------------------------------------


def test_plain_text(spec: Callable[[str], str], printed: Callable[..., str]) -> None:
    """Plain text is aligned and exact, and below it stand totals, what is not counted, and the published figures."""
    expected = """\
small: A small net

name        layer                                  output  activations  params    MACs
----------  -------------------------------------  ------  -----------  ------  ------
input       input                                   8x8x3          192       0       0
conv1       conv 4 3x3 p=1 + relu                   8x8x4          256     112   6,912
pool1       maxpool 2x2                             4x4x4           64       0       0
conv2/conv  conv 8 3x3 p=1 bias=false               4x4x8          128     288   4,608
conv2/bn    bn + prelu num_parameters=8 + flatten   4x4x8          128      24       0
head        fc 10 + softmax                            10           10   1,290   1,280
----------  -------------------------------------  ------  -----------  ------  ------
total                                                              778   1,714  12,800

params       1,714 (1,692 weights, 22 biases), 6.86 kB (6.70 KiB)
buffers      16 stored but not learned, 64 bytes
MACs         12,800 (25,600 FLOPs)
memory       778 activations, 3.11 kB (3.04 KiB) as float32
training     4.20 kB (4.10 KiB) kept for the backward pass; params and all gradients come on top
inference    2.56 kB (2.50 KiB) held at once besides params, at pool1; the floor is 1.79 kB (1.75 KiB)
depth        3 weight layers on the longest path
not in MACs  relu (1 x comparisons), maxpool (1 x comparisons), bn (1 x normalisation), prelu (1 x elementwise), \
softmax (1 x exponentials and sums)

quantity  published  computed  verdict  source
params        1,714     1,714  holds    derived
params           3K     1,714  erratum  a paper
    It counts | by hand.
"""
    assert expected == printed("table", spec(SMALL))


def test_plain_text_does_not_depend_on_the_terminal(
    printed: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Piped output is the same whatever COLUMNS says."""
    wide = printed("table", "vgg16")
    monkeypatch.setenv("COLUMNS", "30")
    assert wide == printed("table", "vgg16")


def test_all_layers(spec: Callable[[str], str], printed: Callable[..., str]) -> None:
    """--all gives every layer its own row under its full name."""
    expected = "input conv1/conv conv1/relu pool1 conv2/conv conv2/bn conv2/prelu head/flatten head/fc head/softmax"
    text = printed("table", spec(SMALL), "--all", "--columns", "name", "--format", "csv")
    assert expected.split() == text.split()[1:]


def test_depth_gives_subtotals(spec: Callable[[str], str], printed: Callable[..., str]) -> None:
    """--depth 1 has one row for each scope: its output, its layers, its sums."""
    expected = [
        "name,kind,layer,output_shape,params",
        "input,input,input,8x8x3,0",
        "conv1,conv,conv 4 3x3 p=1 + relu,8x8x4,112",
        "pool1,maxpool,maxpool 2x2,4x4x4,0",
        'conv2,scope,"1 conv, 1 bn",4x4x8,312',
        "head,fc,flatten + fc 10 + softmax,10,1290",
    ]
    columns = "name,kind,layer,output_shape,params"
    text = printed("table", spec(SMALL), "--depth", "1", "--columns", columns, "--format", "csv")
    assert expected == text.splitlines()


def test_sort(printed: Callable[..., str]) -> None:
    """--sort puts the rows with the largest values first, and leaves the totals where they are."""
    rows = printed("table", "vgg16", "--sort", "params", "-q").splitlines()[4:]
    assert ["fc6", "fc7", "fc8"] == [row.split()[0] for row in rows[:3]]
    assert "138,357,544" in next(row for row in rows if row.startswith("total"))


def test_no_bias_counts_weights_and_says_so(printed: Callable[..., str]) -> None:
    """With --no-bias the params column is the slides', and its heading says so."""
    text = printed("table", "vgg16", "--no-bias")
    assert "params (weights only)" in text
    assert "138,344,128" in next(line for line in text.splitlines() if line.startswith("total"))
    assert " 1,728 " in text


def test_batch_and_dtype(printed: Callable[..., str]) -> None:
    """A batch multiplies volumes and MACs, not params; the dtype sets the bytes; both are told."""
    text = printed(
        "table", "vgg16", "--batch", "2", "--dtype", "float16", "--columns", "name,macs,activation_bytes,params"
    )
    assert "30,940,528,640        60,950,432  138,357,544" in next(
        t for t in text.splitlines() if t.startswith("total")
    )
    assert "60.95 MB (58.13 MiB) as float16" in text
    assert "batch        2;" in text
    assert "quantity" not in text  # published figures are about one image in float32


@pytest.mark.parametrize("column", [*TEXTS, *names(*PER_LAYER)])
def test_columns(column: str, printed: Callable[..., str]) -> None:
    """Every column that --columns knows can be shown."""
    name = "gpt2" if column in QUANTITIES and QUANTITIES[column].decoded else "lenet5"
    assert column == printed("table", name, "--columns", column, "--format", "csv").splitlines()[0]


@pytest.mark.parametrize("choice", [{}, {"all": True}, {"depth": 1}])
@pytest.mark.parametrize("name", ["resnet50", "googlenet", "gpt2_small", "unet"])
def test_shares_are_parts_of_the_total(name: str, choice: dict[str, Any]) -> None:
    """Of every sum: each row's value over the total, exact; together they are 1."""
    report = archcalc.analyze(load(name).build())
    for column in ("params", "macs", "activations", "saved_bytes"):
        table = report.table(["name", column, f"{column}_share"], **choice)
        rows = [(value, share) for _, value, share in table.records()]
        total = report.totals[column]
        assert total == sum(value for value, _ in rows)
        assert [value / total for value, _ in rows] == [share for _, share in rows]
        percents = [Decimal(100 * value) / Decimal(total) for value, _ in rows]
        tenths = [f"{percent.quantize(Decimal('0.1'), ROUND_HALF_UP)} %" for percent in percents]
        assert tenths == [row[2] for row in table.rows()]


def test_shares_stand_after_their_column(printed: Callable[..., str]) -> None:
    """--share adds them to the columns there are, or at the end."""
    out = printed("table", "vgg16", "--depth", "1", "--share", "params,connections", "--format", "csv")
    assert "name,layer,output_shape,activations,params,params_share,macs,connections_share" == out.splitlines()[0]
    header = printed("table", "vgg16", "--depth", "1", "--share", "params,connections", "--quiet").splitlines()[2]
    assert ["params", "share", "MACs", "connections", "share"] == header.split()[4:]


@pytest.mark.parametrize("width", [80, 100, 160])
def test_shares_have_bars_in_a_terminal(width: int) -> None:
    """The largest has ten cells, the others as many eighths as their part of it; a pipe has none."""
    table = archcalc.analyze(load("resnet50").build()).table(
        ["name", "layer", "params", "params_share", "macs"], depth=1
    )
    console = Console(width=width, file=io.StringIO(), color_system=None)
    show(table, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    bars = {line.split()[0]: line.count("█") for line in text.splitlines() if line[:4] == "conv"}
    assert {"conv1": 0, "conv2": 0, "conv3": 0, "conv4": 4, "conv5": 10} == bars
    assert width >= max(map(len, text.splitlines()))
    assert "█" not in "\n".join(plain.lines(table))


def test_shares_of_nothing_and_of_symbols() -> None:
    """A network without params has no shares of them; a share that depends on a symbol is refused."""
    table = archcalc.analyze(archcalc.build(spec_of(HEAD + "layers: relu\n"))).table(["name", "params_share"])
    assert [""] == [row[1] for row in table.rows()]
    assert [None] == [row[1] for row in table.records()]
    report = archcalc.analyze(load("vgg16").build(fcn=True, size=dim("H")))
    assert "74.3 %" in [row[1] for row in report.table(["name", "params_share"]).rows()]
    with pytest.raises(UsageError, match="shares of macs depend on a symbol"):
        list(report.table(["name", "macs_share"]).rows())
    with pytest.raises(UsageError, match="unknown column 'depth_share'"):
        report.table(["name", "depth_share"])


def test_help_names_every_column(printed: Callable[..., str]) -> None:
    """The help of table lists exactly the columns there are."""
    listed = re.sub(r"\s+", "", printed("table", "--help")).partition("Columns:")[2].partition(".")[0]
    assert [*TEXTS, *names(*PER_LAYER)] == listed.split(",")


def test_field_columns(printed: Callable[..., str]) -> None:
    """Receptive field, stride and padding stand per axis in the spec's order, once if all are equal."""
    columns = "name,receptive_field,effective_stride,effective_padding"
    rows = printed("table", "alexnet", "--columns", columns, "--format", "csv").splitlines()
    assert "conv2/conv,51,8,16" in rows
    assert "fc8,227,0,0" in rows


def test_csv(spec: Callable[[str], str], printed: Callable[..., str]) -> None:
    """CSV has plain integers, quotes where they are needed, and no totals."""
    text = printed("table", spec(MIXED), "--format", "csv", "--columns", "name,layer,output_shape,params,macs")
    rows = list(csv.reader(io.StringIO(text)))
    assert ["name", "layer", "output_shape", "params", "macs"] == rows[0]
    assert ["stem/conv", "conv 8 5x5 s=2 p=2 g=2", "8x5x5", "408", "10000"] == rows[2]
    assert ["708", "17000"] == [str(sum(int(row[column]) for row in rows[1:])) for column in (3, 4)]
    assert "total" not in text


def test_markdown(spec: Callable[[str], str], printed: Callable[..., str]) -> None:
    """Markdown has the table with its totals, the facts as a list, and the published figures."""
    expected = r"""**small: A small net**

| name | output | params |
| :-- | --: | --: |
| input | 8x8x3 | 0 |
| conv1 | 8x8x4 | 112 |
| pool1 | 4x4x4 | 0 |
| conv2/conv | 4x4x8 | 288 |
| conv2/bn | 4x4x8 | 24 |
| head | 10 | 1,290 |
| **total** |  | **1,714** |

- params: 1,714 (1,692 weights, 22 biases), 6.86 kB (6.70 KiB)
- buffers: 16 stored but not learned, 64 bytes
- MACs: 12,800 (25,600 FLOPs)
- memory: 778 activations, 3.11 kB (3.04 KiB) as float32
- training: 4.20 kB (4.10 KiB) kept for the backward pass; params and all gradients come on top
- inference: 2.56 kB (2.50 KiB) held at once besides params, at pool1; the floor is 1.79 kB (1.75 KiB)
- depth: 3 weight layers on the longest path
- not in MACs: relu (1 x comparisons), maxpool (1 x comparisons), bn (1 x normalisation), prelu (1 x elementwise), \
softmax (1 x exponentials and sums)

| quantity | published | computed | verdict | source |
| :-- | --: | --: | :-- | :-- |
| params | 1,714 | 1,714 | holds | derived |
| params | 3K | 1,714 | erratum | a paper. It counts \| by hand. |
""".replace("\\\n", "")
    assert expected == printed("table", spec(SMALL), "--format", "markdown", "--columns", "name,output_shape,params")


class Tags(HTMLParser):
    """Counts a document's tags, and checks that they are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.counts: dict[str, int] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002  # the base's signature
        self.open.append(tag)
        self.counts[tag] = self.counts.get(tag, 0) + 1

    def handle_endtag(self, tag: str) -> None:
        assert tag == self.open.pop()


def test_html(spec: Callable[[str], str], printed: Callable[..., str]) -> None:
    """HTML is balanced and escaped, with one row for each volume, a head and a foot."""
    text = printed("table", spec(SMALL.replace("A small net", "a < b & c")), "--format", "html", "-q")
    tags = Tags(text)
    assert not tags.open
    assert 6 + 2 == tags.counts["tr"]
    assert "a &lt; b &amp; c" in text


def test_report_in_a_repl_and_a_notebook() -> None:
    """A report prints as its table; a long one is shortened, and says by how much."""
    report = archcalc.analyze(archcalc.load("vgg16").build())
    assert "conv5/pool" in repr(report)
    assert repr(report) == "\n".join(plain.lines(report.table()))
    assert "138,357,544" in report._repr_html_()
    long = archcalc.analyze(archcalc.load("resnet152").build())
    assert "... 304 more rows ..." in repr(long)
    assert REPR_ROWS + 20 > len(repr(long).splitlines())
    assert "64 more rows" in long._repr_html_()
    assert "<html" not in long._repr_html_()
    assert not Tags("".join(html.fragment(long.table(), 3))).open


# --- the lecture's lines ------------------------------------------------------------------------------------------


def test_slides_print_the_lecture(printed: Callable[..., str]) -> None:
    """Every line of the lecture's table of VGG-16, in its form, and its totals, computed."""
    expected = """\
INPUT: [224x224x3]  memory: 224*224*3=150K  params: 0  (not counting biases)
CONV3-64: [224x224x64]  memory: 224*224*64=3.2M  params: (3*3*3)*64 = 1,728
CONV3-64: [224x224x64]  memory: 224*224*64=3.2M  params: (3*3*64)*64 = 36,864
POOL2: [112x112x64]  memory: 112*112*64=800K  params: 0
CONV3-128: [112x112x128]  memory: 112*112*128=1.6M  params: (3*3*64)*128 = 73,728
CONV3-128: [112x112x128]  memory: 112*112*128=1.6M  params: (3*3*128)*128 = 147,456
POOL2: [56x56x128]  memory: 56*56*128=400K  params: 0
CONV3-256: [56x56x256]  memory: 56*56*256=800K  params: (3*3*128)*256 = 294,912
CONV3-256: [56x56x256]  memory: 56*56*256=800K  params: (3*3*256)*256 = 589,824
CONV3-256: [56x56x256]  memory: 56*56*256=800K  params: (3*3*256)*256 = 589,824
POOL2: [28x28x256]  memory: 28*28*256=200K  params: 0
CONV3-512: [28x28x512]  memory: 28*28*512=400K  params: (3*3*256)*512 = 1,179,648
CONV3-512: [28x28x512]  memory: 28*28*512=400K  params: (3*3*512)*512 = 2,359,296
CONV3-512: [28x28x512]  memory: 28*28*512=400K  params: (3*3*512)*512 = 2,359,296
POOL2: [14x14x512]  memory: 14*14*512=100K  params: 0
CONV3-512: [14x14x512]  memory: 14*14*512=100K  params: (3*3*512)*512 = 2,359,296
CONV3-512: [14x14x512]  memory: 14*14*512=100K  params: (3*3*512)*512 = 2,359,296
CONV3-512: [14x14x512]  memory: 14*14*512=100K  params: (3*3*512)*512 = 2,359,296
POOL2: [7x7x512]  memory: 7*7*512=25K  params: 0
FC: [1x1x4096]  memory: 4096  params: 7*7*512*4096 = 102,760,448
FC: [1x1x4096]  memory: 4096  params: 4096*4096 = 16,777,216
FC: [1x1x1000]  memory: 1000  params: 4096*1000 = 4,096,000

TOTAL memory: 15,237,608 * 4 bytes = 60.95 MB (58.13 MiB) / image  (only forward, ~*2 for bwd)
TOTAL params: 138M parameters  (138,344,128 weights, not counting biases; 138,357,544 with them)
"""
    assert expected == printed("table", "vgg16", "--style", "slides", "--quiet")


def test_slides_of_other_layers(spec: Callable[[str], str], printed: Callable[..., str]) -> None:
    """Groups, strides, uneven kernels, normalisation and merges make sensible lines too."""
    expected = """\
INPUT: [9x9x4]  memory: 9*9*4=324  params: 0  (not counting biases)
CONV5-8/2: [5x5x8]  memory: 5*5*8=200  params: (5*5*2)*8 = 400
BN: [5x5x8]  memory: 5*5*8=200  params: 8
DWCONV3: [5x5x8]  memory: 5*5*8=200  params: (3*3*1)*8 = 72
ADD: [5x5x8]  memory: 5*5*8=200  params: 0
CONV1x3-4: [5x5x4]  memory: 5*5*4=100  params: (1*3*8)*4 = 96
AVGPOOL3/1: [5x5x8]  memory: 5*5*8=200  params: 0
CONCAT: [5x5x12]  memory: 5*5*12=300  params: 0
TCONV2-2/2: [10x10x2]  memory: 10*10*2=200  params: (2*2*2)*12 = 96
CONV1-2: [10x10x2]  memory: 10*10*2=200  params: (1*1*2)*2 = 4

TOTAL memory: 2,124 * 1 bytes = 2.12 kB (2.07 KiB) / image  (only forward)
TOTAL params: 676 parameters  (676 weights, not counting biases; 708 with them)
"""
    assert expected == printed("table", spec(MIXED), "--style", "slides", "--dtype", "int8")


def test_slides_are_about_one_image(spec: Callable[[str], str], capsys: pytest.CaptureFixture[str]) -> None:
    """Rows for one image beside totals for several would mix two questions, so a batch is refused."""
    for batch in (["--batch", "3"], ["--symbolic", "N"]):
        assert 2 == main(["table", spec(MIXED), "--style", "slides", *batch])
        assert "the slides' table is about one example" in capsys.readouterr().err


def test_columns_that_no_batch_multiplies_say_so(printed: Callable[..., str]) -> None:
    """Neurons and connections are the network's, whatever the batch; beside the batch's MACs their heads say it."""
    columns = ("--columns", "name,macs,neurons,connections", "--quiet")
    assert "per example" not in printed("table", "lenet5", *columns)
    for form in ("plain", "markdown", "html"):
        text = printed("table", "lenet5", *columns, "--batch", "2", "--format", form)
        assert "neurons per example" in text
        assert "connections per example" in text


def test_buffers_stand_below_the_table(printed: Callable[..., str]) -> None:
    """What is stored beside the parameters is said: LeNet-5's fixed codes, running statistics of ResNet-18."""
    assert "buffers      840 stored but not learned, 3.36 kB (3.28 KiB)" in printed("table", "lenet5")
    assert "buffers      9,600 stored" in printed("table", "resnet18")  # torchvision: 4,800 channels of norms
    assert "buffers" not in printed("table", "vgg16")


def test_slides_of_symbols_tables_and_ties(printed: Callable[..., str]) -> None:
    """Symbols stay factors, a connection table counts its pairs, shared weights are not counted again."""
    text = printed("table", "vgg16", "--set", "fcn=true", "--input", "3xHxW", "--style", "slides")
    assert "POOL2: [floor(H/2)xfloor(W/2)x64]  memory: floor(H/2)*floor(W/2)*64  params: 0" in text
    assert "CONV7-4096: [(floor(H/32) - 6)x(floor(W/32) - 6)x4096]" in text
    assert "params: (5*5)*60 = 1,500" in printed("table", "lenet5", "--style", "slides")
    text = printed("table", "gpt2_small", "--style", "slides")
    assert "EMBED: [1024x768]  memory: 1024*768=790K  params: 50257*768 = 38,597,376" in text
    assert "FC: [1024x50257]  memory: 1024*50257=51M  params: 0 (tied to wte)" in text


# --- published figures --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["table", "slides"])
def test_the_slides_total_is_put_right(style: str, printed: Callable[..., str]) -> None:
    """Who looks for the slides' 93MB finds 60.95 MB (58.13 MiB) beside it, and why they differ."""
    text = printed("table", "vgg16", "--style", style)
    line, why = next(
        pair for pair in zip(*[text.splitlines()[i:] for i in (0, 1)], strict=False) if "~ 93MB" in pair[0]
    )
    assert re.match(r"activation_bytes +93MB  60\.95 MB \(58\.13 MiB\)  erratum  slides, TOTAL memory", line)
    assert "does not even follow from itself" in why


def test_published_figures_are_about_the_spec_as_it_stands(printed: Callable[..., str]) -> None:
    """With --set, --input, --batch, --dtype or --quiet there are no published figures to compare with."""
    assert "quantity" in printed("table", "vgg16")
    for options in (["--set", "size=256"], ["--input", "H=256"], ["--batch", "2"], ["--dtype", "int8"], ["-q"]):
        assert "quantity" not in printed("table", "vgg16", *options)


# --- numbers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ZOO, ids=lambda architecture: architecture.name)
def test_columns_add_up_to_the_totals(architecture: Architecture) -> None:
    """Every way of making rows shares out all layers: each column adds up to its total."""
    report = archcalc.analyze(architecture.build())
    for view in (Listing(report), Listing(report, every=True), Listing(report, depth=1), Listing(report, depth=2)):
        rows = list(view.entries())
        assert list(range(len(report.graph.nodes))) == sorted(index for entry in rows for index in entry.nodes)
        for column in filter(report.has, names(Total.SUM)):
            assert 0 == sympy.expand(report.totals[column] - sum(view.value(entry, column) for entry in rows))
        for column in names(Total.LARGEST):
            assert report.totals[column] == largest(view.value(entry, column) for entry in rows)


@pytest.mark.parametrize("architecture", ZOO, ids=lambda architecture: architecture.name)
def test_a_row_has_its_scopes_name(architecture: Architecture) -> None:
    """A row is named after the largest scope that makes only this volume, so names are unique and can be looked up."""
    report = archcalc.analyze(architecture.build())
    rows = list(Listing(report).entries())
    assert len(rows) == len({entry.name for entry in rows})
    for entry in rows:
        assert entry.first == entry.nodes[0] == entry.output(report.graph)
        assert report.graph.places[entry.name] in entry.nodes


def test_figures() -> None:
    """Numbers are exact, or rounded half up with their unit named."""
    assert "1,234,567" == exact(1234567)
    assert ["150K", "3.2M", "800K", "25K", "1M", "999", "1.3M"] == [
        short(value) for value in (150528, 3211264, 802816, 25088, 999_999, 999, 1_250_000)
    ]
    assert "138M" == short(138344128, digits=3)
    assert "1.235" == decimal(12345, 10_000, 3)
    assert ["980 bytes", "42.78 kB (41.77 KiB)", "60.95 MB (58.13 MiB)"] == [memory(n) for n in (980, 42776, 60950432)]


# --- JSON ---------------------------------------------------------------------------------------------------------

AXES = {
    "type": "object",
    "patternProperties": {"^[RTCDHW]$": {"type": ["integer", "string"]}},
    "additionalProperties": False,
}
COUNT = {"type": ["integer", "string"]}
DECODED = {each.name: {"type": ["integer", "string", "null"]} for each in QUANTITIES.values() if each.decoded}
LAYER = {
    **{key: {"type": "string"} for key in ("name", "kind")},
    "inputs": {"type": "array", "items": {"type": "string"}},
    "input_shapes": {"type": "array", "items": AXES},
    "output_shape": AXES,
    **dict.fromkeys(names(Total.SUM), COUNT),
    **DECODED,
    **{key: {"type": "boolean"} for key in ("in_place", "aligned")},
    **dict.fromkeys(fields(), AXES),
}
OWNERS = {key: {"type": "string"} for key in ("tied", "shares")}
"""Whose matrix, or whose parameters, a layer has."""
CONTRACT = {
    "type": "object",
    "required": ["archcalc", "name", "input", "batch", "dtype", "conditions", "layers", "totals"],
    "additionalProperties": False,
    "properties": {
        "archcalc": {"const": 1},
        "name": {"type": "string"},
        "input": AXES,
        "batch": {"type": "integer"},
        "dtype": {"type": "string"},
        "conditions": {"type": "array", "items": {"type": "string"}},
        "layers": {
            "type": "array",
            "items": {
                "type": "object",
                "required": list(LAYER),
                "properties": LAYER | OWNERS,
                "additionalProperties": False,
            },
        },
        "totals": {
            "type": "object",
            "required": list(names(*TOTALLED)),
            "properties": DECODED,
            "additionalProperties": COUNT,
        },
    },
}


@pytest.mark.parametrize("name", ["vgg16", "faster_rcnn", "gpt2_small", "unet", "c3d", "lenet5"])
def test_json_keeps_its_contract(name: str, printed: Callable[..., str]) -> None:
    """The object has exactly the fields that scripts rely on, the input first, inputs by name."""
    found = json.loads(printed("table", name, "--format", "json", "-q"))
    jsonschema.validate(found, CONTRACT)
    assert "input" == found["layers"][0]["kind"]
    names = [layer["name"] for layer in found["layers"]]
    for number, layer in enumerate(found["layers"]):
        assert set(layer["inputs"]) <= set(names[:number])
        assert len(layer["inputs"]) == len(layer["input_shapes"])


def test_json_of_vgg16(printed: Callable[..., str]) -> None:
    """The figures of DESIGN.md's contract."""
    found = json.loads(printed("table", "vgg16", "--format", "json"))
    totals = {"params": 138357544, "weights": 138344128, "macs": 15470264320, "flops": 30940528640}
    totals |= {"activations": 15237608, "activation_bytes": 60950432, "depth": 16}
    totals |= {
        "saved_bytes": 73234336,
        "peak_bytes": 26292224,
        "least_bytes": 25690112,
    }  # as PyTorch finds them: archcalc verify vgg16 --batch 1
    assert totals == {key: found["totals"][key] for key in totals}
    assert {"C": 3, "H": 224, "W": 224} == found["input"]
    expected = {
        "name": "conv1/1/conv", "kind": "conv", "inputs": ["input"], "input_shapes": [{"C": 3, "H": 224, "W": 224}],
        "output_shape": {"C": 64, "H": 224, "W": 224}, "params": 1792, "weights": 1728, "biases": 64, "buffers": 0,
        "macs": 86704128, "flops": 173408256, "activations": 3211264, "activation_bytes": 12845056, "in_place": False,
        "receptive_field": {"H": 3, "W": 3}, "effective_stride": {"H": 1, "W": 1}, "effective_padding": {"H": 1, "W": 1},
        "aligned": True,
    }  # fmt: skip
    assert expected == {key: found["layers"][1][key] for key in expected}


def test_json_of_symbols_and_fractions(printed: Callable[..., str]) -> None:
    """A symbolic value is a text that SymPy reads, a fraction one like 1/2; a layer that sees everything has stride 0."""
    found = json.loads(printed("table", "vgg16", "--set", "fcn=true", "--input", "3xHxW", "--format", "json"))
    assert {"C": 3, "H": "H", "W": "W"} == found["input"]
    macs = sympy.sympify(found["totals"]["macs"])
    assert 15470264320 == macs.subs({"H": 224, "W": 224})
    generator = json.loads(printed("table", "dcgan_generator", "--format", "json"))
    assert "1/2" in {layer["effective_stride"]["H"] for layer in generator["layers"]}
    whole = next(
        layer for layer in json.loads(printed("table", "vgg16", "-f", "json"))["layers"] if layer["kind"] == "fc"
    )
    assert [{"H": 224, "W": 224}, {"H": 0, "W": 0}] == [whole["receptive_field"], whole["effective_stride"]]


# --- sizes and values ---------------------------------------------------------------------------------------------


def test_input_sizes(printed: Callable[..., str]) -> None:
    """--input takes sizes in the spec's order of axes, or some by name; names make symbols."""
    assert "256x256x3" in printed("table", "alexnet", "--input", "256x256x3", "--format", "csv")
    assert "3x256x224" in printed("table", "vgg16", "--input", "H=256", "--set", "fcn=true", "--format", "csv")
    assert "64*H*W" in printed("table", "vgg16", "--input", "3xHxW", "--set", "fcn=true", "--format", "csv")
    assert "valid if     H >= 224; W >= 224" in printed("table", "vgg16", "--input", "3xHxW", "--set", "fcn=true")


def test_set_reads_the_spec_language(printed: Callable[..., str]) -> None:
    """--set takes any expression of the spec language, and is repeatable."""
    assert (
        printed("table", "resnet:cifar", "--set", "n=18", "-q").split("\n", 1)[1]
        == (printed("table", "resnet110", "-q").split("\n", 1)[1])
    )
    text = printed("table", "alphago_policy", "--set", "k=2*64", "--columns", "params")
    assert f"{99 * 128**2 + 1213 * 128 + 361:,}" in text
    assert "1.728" not in text


def test_an_hparam_may_be_called_sizes(spec: Callable[[str], str], printed: Callable[..., str]) -> None:
    """The names of our own arguments are free for hparams."""
    text = "archcalc: 1\nname: t\ninput: {C: sizes}\nhparams: {sizes: 3, name: 2}\nlayers:\n  - fc name\n"
    assert "input,5" in printed("table", spec(text), "--set", "sizes=5", "-f", "csv", "--columns", "name,output_shape")


def test_listing_refuses_what_it_does_not_know() -> None:
    """Unknown columns are errors with a suggestion."""
    report = archcalc.analyze(archcalc.load("lenet5").build())
    with pytest.raises(UsageError, match=r"unknown column 'mac'.*\n.*did you mean 'macs'"):
        Listing(report, ("mac",))
    with pytest.raises(UsageError, match="can't sort by 'name'"):
        Listing(report, sort="name")
    with pytest.raises(UsageError, match="once only"):
        Listing(report, ("macs", "macs"))


def test_a_value_that_nothing_reads_is_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    """--set of an hparam that belongs to another variant would change nothing and say nothing."""
    assert 0 == main(["table", "resnet50", "--set", "n=7", "--format", "csv"])
    assert "1 warning; archcalc check resnet50 --set n=7 shows it" in capsys.readouterr().err
    assert 0 == main(["check", "resnet50", "--set", "n=7"])
    assert "W406 nothing reads hparam 'n' in variant resnet50" in capsys.readouterr().out
    assert 0 == main(["table", "resnet:cifar", "--set", "n=7", "--format", "csv"])
    assert "" == capsys.readouterr().err


# --- terminals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("name", ["vgg16", "resnet50"])
def test_numbers_are_never_cut(name: str, columns: int) -> None:
    """However narrow the terminal, every number that is shown is whole, and what is left out is named."""
    text = ESCAPE.sub("", in_terminal("table", name, columns=columns))
    total = next(line for line in text.splitlines() if line.startswith("total")).split()
    totals = archcalc.analyze(archcalc.load(name).build()).totals
    assert (
        {f"{totals['params']:,}"}
        <= set(total)
        <= {"total", *(f"{value:,}" for value in totals.values() if value is not None)}
    )
    assert columns >= 80 or "not shown, the terminal is too narrow" in " ".join(text.split())
    assert name != "vgg16" or "93MB 60.95 MB (58.13 MiB) erratum" in " ".join(text.split())
    lines = text.partition("total")[0].splitlines()
    assert columns < 60 or max(map(len, lines)) <= columns


def test_chosen_columns_are_shown_even_if_the_terminal_is_narrow() -> None:
    """Columns that were asked for are not left out: only names and layers are shortened."""
    columns = "name,layer,output_shape,activations,params,macs,receptive_field"
    text = ESCAPE.sub("", in_terminal("table", "vgg16", "--columns", columns, columns=60))
    assert "not shown" not in text
    row = next(line for line in text.splitlines() if line.startswith("conv2/2"))
    assert ["128x112x112", "1,605,632", "147,584", "1,849,688,064", "14"] == row.split()[-5:]
    assert "…" in row


def test_long_names_are_folded_in_the_middle() -> None:
    """A long name keeps its beginning and its end."""
    from archcalc.tables.terminal import folded

    assert "conv2/1/re…/body/conv" == folded("conv2/1/residual_unit/body/conv", 21)
    assert "conv1" == folded("conv1", 5)


def test_colour_only_where_it_is_wanted() -> None:
    """A terminal gets colour; with NO_COLOR, in a pipe or in a dumb terminal there is not one escape."""
    assert "\x1b[36m" in in_terminal("table", "lenet5")
    assert "\x1b" not in in_terminal("table", "lenet5", NO_COLOR="1")
    assert "\x1b[3" not in in_terminal("table", "lenet5", TERM="dumb")
    piped = subprocess.run(
        [sys.executable, "-m", "archcalc", "table", "lenet5"], cwd=ROOT, capture_output=True, check=True
    )
    assert b"\x1b" not in piped.stdout


def test_a_very_long_table_is_plain_text_in_a_terminal_too() -> None:
    """Rich takes seconds for thousands of rows, so they come as plain text."""
    text = in_terminal("table", "resnet1202", "--unfold", columns=200)
    assert "\x1b" not in text
    assert 3000 < len(text.splitlines())


# --- files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "start"),
    [
        ("t.csv", "name,"),
        ("t.json", "{"),
        ("t.md", "**vgg16"),
        ("t.html", "<!DOCTYPE html>"),
        ("t.txt", "vgg16: "),
        ("t", "vgg16: "),
    ],
)
def test_output_file(file: str, start: str, tmp_path: Path, printed: Callable[..., str]) -> None:
    """-o writes to a file, in the format that its name says, and nothing to stdout."""
    assert not printed("table", "vgg16", "-o", str(tmp_path / file))
    assert (tmp_path / file).read_text(encoding="utf-8").startswith(start)


def test_format_beats_the_name_of_the_file(tmp_path: Path, printed: Callable[..., str]) -> None:
    """--format says what is written, whatever the file is called; a table in a file is plain text."""
    printed("table", "vgg16", "-o", str(tmp_path / "t.csv"), "--format", "json")
    assert "vgg16" == json.loads((tmp_path / "t.csv").read_text(encoding="utf-8"))["name"]
    printed("table", "vgg16", "-o", str(tmp_path / "t"), "--format", "table")
    assert printed("table", "vgg16") == (tmp_path / "t").read_text(encoding="utf-8")
    assert printed("table", "vgg16") == printed("table", "vgg16", "-o", "-")
