"""The whole chain: runs and their diagnosis, the environment, the releases, one small file.

`judgment` decides what is still worth a try, purely. `stages` carries each stage out, `chain` all
of them, and `report` writes what they have shown.
"""
