"""The code that runs in the command's own Python: the standard library alone, Python 3.9 or
later.

The program belongs to somebody else, and so do its objects: any of them may raise anything. So each
`except Exception` here gives up what it wanted to say. It never lets the program feel that.
"""
