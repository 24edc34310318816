"""The diagnosis: the table of hypotheses, what runs show, how they compare, and the verdicts."""
