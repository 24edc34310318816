# truth: hang
# end: gpu_idle
# budget: 60
# note: the same, looked at from outside
# harness: attach --out @O @N
# after: 12
# cmd: env PYTHONPATH=@B @P @F

from gpu_work import never_told, steps

steps(0, 12)
never_told()
