"""The code that runs in the command's own Python: the standard library alone, Python 3.9 or
later."""
