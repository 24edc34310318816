"""MLX's launcher without its spinning, for each Python whose PYTHONPATH begins with this folder.

`mlx.launch` asks again and again if the pipe to a rank takes bytes, and if its own input has some.
The first is always so, the second too of /dev/null. So it burns a core as long as its ranks live,
which is most of what a test of ranks would cost. Nobody types in these tests: here it waits for
what its ranks print.
"""

import select
import sys


def _is_launcher(first="", second="", *_):
    return first.endswith("mlx.launch") or (first == "-c" and "name='mlx.launch'" in second)


def _of_outputs(reads, writes, errors, timeout, ask=select.select):
    return ask([one for one in reads if one != 0], [], errors, min(timeout, 0.05))


if _is_launcher(*sys.orig_argv[1:]):
    select.select = _of_outputs
