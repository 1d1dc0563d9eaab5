"""The command line, `discfg`: commands, formats and exit codes over the Python API.

Nothing here is needed by another surface: JSON shapes and the table from errors to exit codes
are `discfg_core.wire`, transactions as JSON are `discfg_core.requests`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; prints its result or its error, and never raises.

    Args:
        arguments: What follows the program's name; by default the process's own.

    Returns:
        The exit code: 0 done, 2 usage, 3 not found, 4 condition failed, 5 invalid input,
        6 store unreachable or outcome unknown, 1 anything else, 130 interrupted, 141 for a
        reader that closed the pipe.
    """
    try:
        from discfg_core.cli.app import run
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        print("discfg: the command line needs: pip install 'discfg[cli]'", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return run(arguments)
