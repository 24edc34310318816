"""The sections of the markdown report, each a pure function from the run to markdown.

A section that has nothing to say returns an empty string. `order` registers them and says in
which order they are left out.
"""
