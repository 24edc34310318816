"""Analysis of ended runs: outcomes, findings, comparisons and the diagnosis. Pure."""
