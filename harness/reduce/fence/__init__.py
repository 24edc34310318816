"""What keeps a candidate of `harness reduce` within its folder: it is code that nobody wrote."""
