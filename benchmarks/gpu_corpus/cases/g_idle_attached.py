# truth: hang
# end: gpu_idle
# budget: 60
# note: the same, looked at from outside
# harness: attach --out @O @N
# after: 12
# cmd: env PYTHONPATH=@B:@R @P @F

from gpu_work import steps

from scenarios.controls._gpu import wait_for_nobody

steps(0, 12)
wait_for_nobody()
