"""The memory that a training step holds, from its shapes alone: docs/internals/memory.md. Pure.

`law` is what others use; `trace` is what a step looks like, `unmerge` and `fuse` turn its export
into what is really evaluated, `replay` and `layout` follow the buffers through it.
"""
