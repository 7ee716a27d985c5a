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
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import pytest
import sympy

import archcalc
from archcalc.__main__ import main
from archcalc.errors import UsageError
from archcalc.render.figures import clean, decimal, exact, memory, short
from archcalc.render.html import html_lines, html_table
from archcalc.render.listing import FIELDS, KNOWN, Listing
from archcalc.render.plain import REPR_ROWS, plain_text
from archcalc.report import COLUMNS
from archcalc.zoo import Architecture, architectures

ROOT = Path(__file__).parent.parent
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
  - {source: derived, params: 1730}
  - {source: a paper, params: 2K, holds: false, note: 'It counts | by hand.'}
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
    """Plain text is aligned, exact, and the same every time."""
    expected = """\
small: A small net

name        layer                                  output  activations  params    MACs
----------  -----------------------------------  --------  -----------  ------  ------
input       input                                   8x8x3          192       0       0
conv1       conv 4 3x3 p=1 + relu                   8x8x4          256     112   6,912
pool1       maxpool 2x2                             4x4x4           64       0       0
conv2/conv  conv 8 3x3 p=1 bias=false               4x4x8          128     288   4,608
conv2/bn    bn + prelu num_parameters=8 + flatten   4x4x8          128      24       0
head        fc 10 + softmax                            10           10   1,290   1,280
----------  -----------------------------------  --------  -----------  ------  ------
total                                                              778   1,714  12,800
"""
    text = printed(
        "table", spec(SMALL.replace("1730", "1714")), "--columns", "name,layer,output_shape,activations,params,macs"
    )
    assert expected.replace("8x8x3", "8x8x3") == text[: len(expected)]


def test_plain_text_below_the_table(spec: Callable[[str], str], printed: Callable[..., str]) -> None:
    """Below the rows stand totals, what is not counted, and the published figures with the reason of an erratum."""
    expected = """\
params       1,714 (1,692 weights, 22 biases)
MACs         12,800 (25,600 FLOPs)
memory       778 activations, 3.11 kB (3.04 KiB) as float32
depth        3 weight layers on the longest path
not in MACs  relu (1 x comparisons), maxpool (1 x comparisons), bn (1 x normalisation), prelu (1 x elementwise), \
softmax (1 x exponentials and sums)

quantity  published  computed  verdict  source
params        1,714     1,714  holds    derived
params           2K     1,714  erratum  a paper
    It counts | by hand.
"""
    assert expected == printed("table", spec(SMALL.replace("1730", "1714"))).split("\n\n", 2)[2]
