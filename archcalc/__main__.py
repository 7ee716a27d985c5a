"""The command `archcalc`, also as `python -m archcalc`."""

from __future__ import annotations

import os
import sys

if __name__ == "__main__" and sys.path[:1] == [os.getcwd()] and not sys.flags.safe_path:
    # python -m looks for modules in the current folder first: a typer.py in a stranger's repository would be run.
    # Nothing is to be imported from there; and from a checkout's root nothing but archcalc itself
    folder = sys.path.pop(0)
    if folder == os.path.dirname(os.path.dirname(os.path.abspath(__file__))):
        sys.path.append(folder)


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


if __name__ == "__main__":
    sys.exit(main())
