# truth: healthy
# end: gpu_works
# budget: 120
# note: one kernel runs for 40 s, with a patience of 5 s
# opts: --patience 5
# cmd: env PYTHONPATH=@B:@R @P @F

import mlx.core as mx
from gpu_work import kernel, steps

steps(0, 12)
mx.eval(kernel(40))
steps(12, 16)
