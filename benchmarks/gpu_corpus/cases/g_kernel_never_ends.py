# truth: hang
# end: gpu_works
# budget: 220
# note: a kernel that never ends, with a patience of 5 s
# opts: --patience 5
# cmd: env PYTHONPATH=@B:@R @P @F

import mlx.core as mx
from gpu_work import kernel, steps

steps(0, 12)
mx.eval(kernel(1 << 30))
