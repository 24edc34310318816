"""Processes, machines and GPUs as seen from outside: the one package that asks for the platform."""
