"""`python -m serving`."""

import sys

from serving.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(main())
