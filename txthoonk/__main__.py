"""``python -m txthoonk`` is ``thoonk``."""

import sys

from txthoonk.cli import main

if __name__ == "__main__":
    sys.exit(main())
