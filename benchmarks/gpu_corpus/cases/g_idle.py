# truth: hang
# end: gpu_idle
# budget: 90
# note: the host waits for a GPU that has nothing to do, with a patience of 5 s
# opts: --patience 5
# cmd: env PYTHONPATH=@B @P @F

from gpu_work import never_told, steps

steps(0, 12)
never_told()
