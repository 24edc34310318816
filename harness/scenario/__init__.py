"""Scenarios: found, loaded, and made from functions, notebooks and test modules."""
