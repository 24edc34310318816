"""Stacks of live processes: the tools that take them, their parsers, and the wait sites."""
