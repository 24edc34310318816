# truth: healthy
# end: gpu_works
# budget: 120
# note: one evaluation of many kernels lasts for half a minute, with a patience of 5 s
# opts: --patience 5
# cmd: env PYTHONPATH=@B:@R @P @F

import mlx.core as mx
from gpu_work import kernel, steps

steps(0, 12)
total = mx.zeros((1,))
for _ in range(300):
    total = total + kernel(0.1)
mx.eval(total)
steps(12, 16)
