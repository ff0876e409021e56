"""``python -m leuda_core``: the command line without an installed script."""

import sys

from leuda_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
