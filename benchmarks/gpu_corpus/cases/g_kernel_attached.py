# truth: healthy
# end: gpu_works
# budget: 60
# note: one kernel runs for 40 s, looked at from outside
# harness: attach --out @O @N
# after: 12
# cmd: env PYTHONPATH=@B:@R @P @F

import mlx.core as mx
from gpu_work import kernel, steps

steps(0, 12)
mx.eval(kernel(40))
steps(12, 16)
