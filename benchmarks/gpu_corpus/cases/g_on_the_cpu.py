# truth: healthy
# end: works
# budget: 120
# note: the GPU waits for an operation that MLX has on the CPU alone, with a patience of 5 s
# opts: --patience 5
# cmd: env PYTHONPATH=@B:@R @P @F

import mlx.core as mx
from gpu_work import on_the_cpu, steps

steps(0, 12)
mx.eval(mx.zeros((1,)) + on_the_cpu(30))
steps(12, 16)
