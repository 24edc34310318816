"""A process that was not started here: is it dead, or what does it do? docs/guide/attach.md."""
