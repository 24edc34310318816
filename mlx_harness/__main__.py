"""`python -m mlx_harness` is the command `harness`, also beside another `harness`."""

import sys

from mlx_harness import main

sys.exit(main())
