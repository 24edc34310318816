"""`python -m harness` is the command `harness`."""

import sys

try:
    from harness.cli import main

    code = main()
except KeyboardInterrupt:
    code = 130  # while it was read: nothing has begun
sys.exit(code)
