"""``franking``, and ``python -m franking_cli``: says which packages are missing, else runs ``app.py``.

Whoever breaks off before that has begun gets the same exit code as later, and no trace.
"""

from __future__ import annotations

import gc
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit with its code; 2 where it is not installed whole."""
    gc.disable()  # nothing of what is imported is garbage: a start need not look through it
    try:
        from franking_cli.app import main as act
    except KeyboardInterrupt:
        sys.exit(130)
    except ModuleNotFoundError as missing:
        if missing.name != "typer":
            raise
        sys.stderr.write('franking: the command line needs more packages; run: pip install "franking[all]"\n')
        sys.exit(2)
    act()


if __name__ == "__main__":
    main()
