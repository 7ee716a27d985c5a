"""The command `archcalc`, also as `python -m archcalc`."""

from __future__ import annotations

import atexit
import gc
import os
import sys


def _leave_folder() -> None:
    """Import nothing from the current folder, and from the root of a checkout nothing but archcalc itself.

    `python -m` looks there first: a typer.py in a stranger's repository would be run.
    """
    try:
        here = os.getcwd()
    except OSError:  # the folder is gone
        here = ""
    if sys.flags.safe_path or sys.path[:1] not in ([here], [""]):
        return
    sys.path.pop(0)
    if here == os.path.dirname(os.path.dirname(os.path.abspath(__file__))):
        sys.path.append(here)


if __name__ == "__main__":
    _leave_folder()


def main(arguments: list[str] | None = None) -> int:
    """Run a command; whatever happens, there is an exit code and no traceback.

    Returns: 0 fine; 1 the spec, the check or the verification is wrong, or archcalc has a bug; 2 wrong usage;
    130 interrupted.
    """
    try:
        from archcalc.cli.run import run

        return run(list(sys.argv[1:] if arguments is None else arguments))
    except KeyboardInterrupt:
        return 130


def command() -> int:
    """What a shell calls. The process is the command's own, and nearly all that it makes it needs to its end.

    So garbage is looked for after 50,000 objects, not after 700, and not at the end: that took a tenth of the time of
    a network whose layers all differ, and a fifth of a short command's. Whoever calls `main` has a collector of their
    own.
    """
    gc.set_threshold(50_000)
    atexit.register(gc.freeze)
    return main()


if __name__ == "__main__":
    sys.exit(command())
