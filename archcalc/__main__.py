"""The command `archcalc`, also as `python -m archcalc`."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
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
