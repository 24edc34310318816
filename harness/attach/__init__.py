"""A process that was not started here: is it dead, and if not, what does it do? docs/ATTACH.md."""
