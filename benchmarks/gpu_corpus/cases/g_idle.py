# truth: hang
# end: gpu_idle
# budget: 90
# note: the host waits for a GPU that has nothing to do, with a patience of 5 s
# opts: --patience 5
# cmd: env PYTHONPATH=@B:@R @P @F

from gpu_work import steps

from scenarios.controls._gpu import wait_for_nobody

steps(0, 12)
wait_for_nobody()
