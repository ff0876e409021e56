"""``python -m leuda_core`` is the command line, where no script is installed."""

import sys

from leuda_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
