"""The environment ladder: a training with one setting of its environment flipped at a time.

`table` has the flips as data. `plan` chooses those that this machine can try. `certainty` says how
sure it is that a flip cured a symptom, and `judge` asks for the runs that this takes. All of it is
pure, but for `judge`, which reads what the hook has left in the folders of the runs.
"""
