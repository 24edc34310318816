"""The parts of `harness.diagnose`: the table, what runs show, how they compare, the verdicts."""
