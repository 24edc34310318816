"""A record that a Mac user can send: macOS's answers about a known child, redacted.

child.py     the child: a program that says of itself what it is
tape.py      the calls of libproc, sysctl and Mach with their answers: recorded, and played back
ioreg.py     the registry of drivers without what names programs
known.py     the child, as its parent has it
told.py      what tools tell of it
folder.py    how the folder is made
guesses.py   what the folder says of each guess of docs/internals/macos.md
"""
