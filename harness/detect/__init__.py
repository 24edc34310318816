"""The rules that say whether a process goes on, from observations alone. Pure."""
