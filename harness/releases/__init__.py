"""Environments of other releases: a matrix of them, and the search for the release that matters."""
