"""Files: the old one or the new one, never less; read only where they are plain, small and strict."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from archcalc import files
from archcalc.__main__ import main
from archcalc.errors import UsageError

OLD, NEW = b"old " * 50_000, b"new " * 60_000


def names(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_whole_and_keeps_its_rights(tmp_path: Path) -> None:
    """What was there is replaced, rights stay, and nothing else is left in the folder."""
    file = tmp_path / "x.bin"
    file.write_bytes(OLD)
    file.chmod(0o640)
    files.write_bytes(file, NEW)
    assert (NEW, 0o640, ["x.bin"]) == (file.read_bytes(), file.stat().st_mode & 0o777, names(tmp_path))


def test_a_new_file_has_the_rights_of_any_new_file(tmp_path: Path) -> None:
    """Beside a file that Python's `open` made, it looks the same."""
    (tmp_path / "a").write_text("a")
    files.write_text(tmp_path / "b", "b")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


@pytest.mark.parametrize("call", ["write", "fsync", "replace", "fchmod"])
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """Whichever call finds the disk full: an error, the old file, and nothing beside it."""
    file = tmp_path / "x.bin"
    file.write_bytes(OLD)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def write() -> None:
        with files.replacing(file) as out:
            out.write(NEW)
            if call == "write":
                full()

    with monkeypatch.context() as patch:
        if call != "write":
            patch.setattr(os, call, full)
        with pytest.raises(UsageError, match=r"can't write '.*x\.bin': no space left on device"):
            write()
    assert (OLD, ["x.bin"]) == (file.read_bytes(), names(tmp_path))


def test_a_limit_on_file_sizes_leaves_the_old_file(tmp_path: Path) -> None:
    """The same with the kernel's own refusal, in a process that may write 64 kB only."""
    file = tmp_path / "x.bin"
    file.write_bytes(OLD)
    program = (
        "import resource, signal, sys; from pathlib import Path; from archcalc import files\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n"
        "files.write_bytes(Path(sys.argv[1]), b'new ' * 60_000)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(file)], capture_output=True, text=True)
    assert "UsageError" in done.stderr
    assert "file too large" in done.stderr
    assert (OLD, ["x.bin"]) == (file.read_bytes(), names(tmp_path))


def test_an_interruption_leaves_the_old_file(tmp_path: Path) -> None:
    """Ctrl-C, or lines that can't be computed, in the middle of writing."""
    file = tmp_path / "x.txt"
    file.write_bytes(OLD)

    def write(error: type[BaseException]) -> None:
        with files.replacing_text(file) as out:
            out.write("new" * 100_000)
            raise error("in the middle")

    for error in (KeyboardInterrupt, UsageError, ZeroDivisionError, ValueError):
        with pytest.raises(error):
            write(error)
        assert (OLD, ["x.txt"]) == (file.read_bytes(), names(tmp_path))


WRITER = """
import sys
from pathlib import Path
from typing import Any
from archcalc import files
from archcalc.__main__ import main
print(flush=True)
while True:
    for text in (b"old " * 50_000, b"new " * 60_000):
        files.write_bytes(Path(sys.argv[1]), text)
"""


def test_a_killed_writer_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    """Processes that write all the time are killed at odd moments, two at once; the file is always whole."""
    file = tmp_path / "x.bin"
    file.write_bytes(OLD)
    seen = set()
    for moment in range(8):
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITER, str(file)], stdout=subprocess.PIPE) for _ in range(2)
        ]
        for writer in writers:
            assert writer.stdout is not None
            writer.stdout.readline()
        for _ in range(20):
            seen.add(file.read_bytes())
            time.sleep(0.0007 * (moment + 1))
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
            writer.communicate()
        seen.add(file.read_bytes())
    assert {OLD, NEW} == seen


def test_links_are_not_written_through(tmp_path: Path) -> None:
    """A symbolic link may lead to any file of the user's: it is refused, and the file stays as it was."""
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(OLD)
    for place in (target, tmp_path / "nothing"):
        link.unlink(missing_ok=True)
        link.symlink_to(place)
        with pytest.raises(UsageError, match="is a symbolic link"):
            files.write_bytes(link, NEW)
    assert (OLD, ["link", "target"]) == (target.read_bytes(), names(tmp_path))


def test_streams_are_written_as_they_are(tmp_path: Path) -> None:
    """/dev/null, a FIFO and /dev/stdout can't be replaced by a file, and aren't."""
    files.write_bytes(Path("/dev/null"), NEW)
    assert not Path("/dev/null").is_file()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    program = (
        "import sys; from pathlib import Path; from archcalc import files; files.write_bytes(Path(sys.argv[1]), b'new')"
    )
    writer = subprocess.Popen([sys.executable, "-c", program, str(fifo)])
    assert b"new" == fifo.read_bytes()
    assert 0 == writer.wait()
    done = subprocess.run([sys.executable, "-c", program, "/dev/stdout"], capture_output=True)
    assert b"new" == done.stdout
    log = tmp_path / "log"
    for mode, expected in (("wb", b"new"), ("ab", b"newnew")):
        with log.open(mode) as stream:
            subprocess.run([sys.executable, "-c", program, "/dev/stdout"], stdout=stream, check=True)
        assert expected == log.read_bytes()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: folder / "none" / "x", "no such file or directory"),
        (lambda folder: folder, "is a directory"),
        (lambda folder: folder / ("x" * 300), "file name too long"),
        (lambda folder: folder / "a\0b", "a file's name can't hold a null character"),
    ],
)
def test_what_can_not_be_written_is_said(tmp_path: Path, spoil: Callable[[Path], Path], message: str) -> None:
    """No traceback, and nothing left behind."""
    with pytest.raises(UsageError, match=message):
        files.write_bytes(spoil(tmp_path), NEW)
    assert [] == names(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "a": 1}', "a key appears twice"),
        ('{"a": {"b": 1, "b": 2}}', "a key appears twice"),
        ('{"a": NaN}', "NaN is not an integer"),
        ('{"a": -Infinity}', "-Infinity is not an integer"),
        ('{"a": 112.0}', "112.0 is not an integer"),
        ('{"a": 1e2}', "1e2 is not an integer"),
        ("[" * 200_000, "nested too deep"),
        ("{", "expecting property name"),
        ("", "expecting value"),
        ('\ufeff{"a": 1}', "bom"),
        (b'{"a": "\xff"}', "not UTF-8"),
        ("9" * 5000, "a number has 5,000 digits"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_json_is_read_strictly(tmp_path: Path, text: str | bytes, message: str) -> None:
    """What a program of ours would never write is refused, with what is wrong."""
    file = tmp_path / "x.json"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(UsageError, match=f"(?i)can't read '.*x.json': .*{message}"):
        files.read_json(file)


def test_floats_are_read_where_they_are_expected(tmp_path: Path) -> None:
    """Seconds are floats; not endless ones."""
    file = tmp_path / "x.json"
    file.write_text('{"a": 0.25, "b": [1, true]}')
    assert {"a": 0.25, "b": [1, True]} == files.read_json(file, floats=True)
    file.write_text('{"a": 1e999}')
    with pytest.raises(UsageError, match="1e999 is too large"):
        files.read_json(file, floats=True)


def test_only_plain_files_are_read(tmp_path: Path) -> None:
    """A device, a FIFO, a folder and a symbolic link are refused at once, and a large file after its limit."""
    secret, link, fifo = tmp_path / "secret.json", tmp_path / "link.json", tmp_path / "fifo.json"
    secret.write_text(json.dumps("token"))
    link.symlink_to(secret)
    os.mkfifo(fifo)
    for file in (Path("/dev/zero"), tmp_path, fifo, link):
        with pytest.raises(UsageError, match="can't read") as told:
            files.read_json(file)
        assert "token" not in str(told.value)
    assert b"abcd" == files.read_bytes(_written(tmp_path / "x", "abcdef"), 3)


def _written(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


def test_a_folder_is_listed_without_leaving_it(tmp_path: Path) -> None:
    """Links inside the folder are fine; those that lead out of it, devices and FIFOs are errors."""
    folder = tmp_path / "specs"
    folder.mkdir()
    for name in ("b.yml", "a.yaml", "c.txt"):
        (folder / name).write_text("x")
    (folder / "d.yaml").symlink_to("a.yaml")
    assert ["a.yaml", "b.yml", "d.yaml"] == [file.name for file in files.listed(folder, ".yaml", ".yml")]
    (tmp_path / "outside").write_text("token")
    for target in (tmp_path / "outside", Path("/dev/zero"), folder / "none"):
        (folder / "e.yaml").symlink_to(target)
        with pytest.raises(UsageError, match=r"e\.yaml"):
            files.listed(folder, ".yaml")
        (folder / "e.yaml").unlink()
    os.mkfifo(folder / "f.yaml")
    with pytest.raises(UsageError, match="not a regular file"):
        files.listed(folder, ".yaml")
    assert [] == files.listed(tmp_path / "nothing", ".yaml")


# --- every command that writes ------------------------------------------------------------------------------------

COMMANDS = [
    "table vgg16 -o {}.md", "table vgg16 -o {}.csv", "table vgg16 -o {}.json", "table vgg16 -o {}.html",
    "render lenet5 -o {}.svg", "render lenet5 -o {}.dot", "render lenet5 -o {}.png", "render lenet5 -o {}.pdf",
    "receptive-field vgg16 -o {}.svg", "receptive-field vgg16 -o {}.png", "receptive-field vgg16 -o {}.csv",
    "formula vgg16 conv1 -o {}.txt", "explain alexnet conv1 -o {}.txt",
    "schema -o {}.json", "export lenet5_modern -o {}.py", "golden update lenet5 --golden {}",
    "sweep alphago_policy --set k=1..300 -o {}.csv", "sweep alphago_policy --set k=1..300 -o {}.json",
    "sweep alphago_policy --set k=1..300 -o {}.parquet", "sweep alphago_policy --set k=1..300 --plot {}.svg",
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_loses_a_file(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a full disk every command leaves what was there, byte for byte, and nothing else; without, it replaces it."""
    if "export" in command:
        pytest.importorskip("torch")
    if "parquet" in command:
        pytest.importorskip("pyarrow")
    arguments = command.format(tmp_path / "x").split()
    place = tmp_path / "x" / "lenet5.json" if "golden" in arguments else Path(arguments[-1])
    place.parent.mkdir(exist_ok=True)
    old = '{"archcalc": 0}'
    place.write_text(old)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for call in ("fsync", "replace"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, call, full)
            assert 2 == main(arguments)
        assert f"can't write '{place}': no space left on device" in capsys.readouterr().err
        assert (old, [place.name]) == (place.read_text(), names(place.parent))
    assert 0 == main(arguments)
    assert old.encode() != place.read_bytes()
    assert [place.name] == names(place.parent)
    link = place.with_name("link" + place.suffix)
    if "golden" not in arguments:
        link.symlink_to(place)
        before = place.read_bytes()
        assert 2 == main([*arguments[:-1], str(link)])
        assert before == place.read_bytes()


def test_killed_commands_leave_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    """A sweep that takes a while is killed at three moments; its file is always whole."""
    file = tmp_path / "x.csv"
    command = [sys.executable, "-m", "archcalc", "sweep", "alphago_policy", "-q", "-o", str(file), "--set"]
    sizes = set()
    for upper in (5_000, 9_000):
        subprocess.run([*command, f"k=1..{upper}"], check=True)
        sizes.add(file.stat().st_size)
    started = time.perf_counter()
    subprocess.run([*command, "k=1..5000"], check=True)
    whole = time.perf_counter() - started
    for moment in range(3):
        upper = (5_000, 9_000)[moment % 2]
        running = subprocess.Popen([*command, f"k=1..{upper}"])
        time.sleep(whole * (0.6 + 0.15 * moment))
        running.kill()
        running.wait()
        assert file.stat().st_size in sizes


SPEC = "archcalc: 1\ninput: {C: 3, H: 8, W: 8}\nhparams: {n: 1}\nlayers: [conv n 3]\n"
WRITERS = [
    "table {spec} -o {out}", "formula {spec} conv -o {out}", "explain {spec} conv -o {out}", "check {spec} -o {out}",
    "compare {spec} {spec}:plain -o {out}", "receptive-field {spec} -o {out}", "claims {spec} -o {out}",
    "export {spec} -o {out}", "verify {spec} -o {out}", "solve {spec} --params 5M --set n=1..3 -o {out}",
    "sweep {spec} --set n=1..3 -o {out} -f csv", "render {spec} -o {out} -f dot", "list --specs {folder} -o {out}",
    "golden check {spec} -o {out}", "schema -o {out}", "sweep {spec} --set n=1..3 --plot {out}",
    "verify {spec} --record {out}",
]  # fmt: skip


@pytest.mark.parametrize("command", WRITERS)
def test_no_output_has_the_name_of_a_spec(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every option that names a file to write refuses a spec's suffix, before anything is computed."""
    spec = _written(tmp_path / "n.yaml", SPEC)
    for out in (spec, tmp_path / "other.YML"):
        assert 2 == main(command.format(spec=spec, out=out, folder=tmp_path).split())
        assert f"'{out}' has the name of a spec" in capsys.readouterr().err
        assert (SPEC, ["n.yaml"]) == (spec.read_text(), names(tmp_path))


def test_every_output_option_knows_specs() -> None:
    """The commands above are all that there are: whatever takes a file to write refuses the name of a spec."""
    written = {
        (name, option.opts[-1])
        for name, command in _commands()
        for option in command.params
        if option.metavar == "FILE" and option.opts != ["--against"]
    }
    assert all(any(command.startswith(name) and f" {option} " in command for command in WRITERS) or name == "diff"
               for name, option in written)  # fmt: skip


def _commands() -> Iterator[tuple[str, Any]]:
    from typer.main import get_command

    from archcalc.cli.app import app

    group: Any = get_command(app)
    for name, command in group.commands.items():
        inner = getattr(command, "commands", {"": command})
        yield from ((f"{name} {each}".strip(), found) for each, found in inner.items())


READERS = [
    "table {spec} -o {out} -f csv", "formula {spec} conv -o {out} -f latex", "check {spec} -o {out} -f csv",
    "export {spec} -o {out}", "render {spec} -o {out} -f dot", "sweep {spec} --set n=1..3 -o {out} -f csv",
    "sweep {spec} --set n=1..30000 -o {out} -f parquet", "claims {spec} -o {out} -f csv",
    "list --specs {folder} -o {out} -f csv", "solve {spec} --params 5M --set n=1..3 -o {out} -f csv",
]  # fmt: skip


@pytest.mark.parametrize("command", READERS)
def test_what_was_read_is_not_overwritten(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By no path: a hard link, a link to its folder, dots; a symbolic link is refused anyway."""
    if "export" in command:
        pytest.importorskip("torch")
    if "parquet" in command:
        pytest.importorskip("pyarrow")
    folder = tmp_path / "specs"
    folder.mkdir()
    spec = _written(folder / "n.yaml", SPEC)
    (folder / "hard.svg").hardlink_to(spec)
    (folder / "soft.svg").symlink_to(spec)
    (tmp_path / "aside").symlink_to(folder)
    there = names(folder)
    for out in ("specs/hard.svg", "specs/soft.svg", "aside/hard.svg", "specs/../aside/./hard.svg"):
        assert 2 == main(command.format(spec=spec, out=tmp_path / out, folder=folder).split())
        assert re.search("is a file that this command has read|is a symbolic link", capsys.readouterr().err)
        assert (SPEC, there) == (spec.read_text(), names(folder))
        assert spec.samefile(folder / "hard.svg")
    other = tmp_path / "other.svg"
    for _ in range(2):  # what was written by another command before may be replaced
        assert 0 == main(command.format(spec=spec, out=other, folder=folder).split())


def test_json_that_was_read_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A golden file that a check compares with stays; an update revises it."""
    golden = ["--golden", str(tmp_path)]
    assert 0 == main(["golden", "update", "lenet5", *golden])
    before = (tmp_path / "lenet5.json").read_bytes()
    assert 2 == main(["golden", "check", "lenet5", *golden, "-o", str(tmp_path / "lenet5.json")])
    assert "is a file that this command has read" in capsys.readouterr().err
    assert before == (tmp_path / "lenet5.json").read_bytes()
    (tmp_path / "lenet5.json").write_bytes(before.replace(b'"params": ', b'"params": 1', 1))
    assert 0 == main(["golden", "update", "lenet5", *golden])
    assert before == (tmp_path / "lenet5.json").read_bytes()


def test_two_outputs_are_two_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A plot doesn't take the place of the table that the same command writes, or the other way round."""
    out = str(tmp_path / "x.svg")
    assert 2 == main(["sweep", "lenet5", "--set", "N=1..3", "-f", "csv", "-o", out, "--plot", out])
    assert "is a file that this command has read or written" in capsys.readouterr().err
