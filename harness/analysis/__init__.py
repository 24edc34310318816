"""What a run that has ended shows: outcomes, findings, comparisons and the diagnosis. Pure."""
