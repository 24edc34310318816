"""The published part of a run, field by field: what is not named here cannot be published at
all."""

from __future__ import annotations

from enum import Enum

from harness import model


class Rule(Enum):
    KEEP = "as it is: a number, a code, or a name that the user gave"
    TEXT = "redacted: free text, also as the keys and values of a mapping"
    SOURCE = "redacted as Python source, which does what it did"
    NAME = "redacted as a scenario's name, which a shipped one keeps"
    NESTED = "by the rules of its own fields"
    WORDS = "a command's words, redacted; what follows an option for a secret is left out"
    VARIABLES = "the values of the few variables that change how MLX runs; of others the names"
    HOST = "a number in place of its name"


K, T, N, NAME = Rule.KEEP, Rule.TEXT, Rule.NESTED, Rule.NAME

RULES: dict[type, dict[str, Rule]] = {
    model.RunResult: {
        "schema": K, "harness_version": K, "started": K, "finished": K, "command": Rule.WORDS,
        "environment": N, "settings": N, "scenarios": N, "results": N, "repeats": N,
        "left_out": N, "diagnosis": N, "ladder": N, "interrupted": K, "full": K, "continued": N,
    },
    model.Continuation: {"command": Rule.WORDS, "started": K, "interrupted": K},
    model.Environment: {
        "platform": K, "machine": K, "python": K, "cpu_count": K, "memory": K, "swap": K,
        "usable_memory": K, "usable_of": K,
        "versions": K, "device": T, "compiler": T, "variables": Rule.VARIABLES,
    },
    model.Settings: {
        "steps": K, "model": T, "train": K, "optimizer": K, "learning_rate": K, "dtype": K,
        "batch_size": K, "seq_len": K, "seed": K, "device": K, "ranks": K, "backend": K,
        "collective_beats": K,
    },
    model.ScenarioInfo: {
        "name": NAME, "path": T, "summary": T, "doc": T, "source": Rule.SOURCE,
        "expects": T, "settings": T,
        "verdict": N, "command": N, "variables": Rule.VARIABLES, "own": N,
    },
    model.OwnStep: {"path": T, "source": Rule.SOURCE},
    model.Command: {"argv": Rule.WORDS, "variables": Rule.VARIABLES, "pattern": T, "inject": K},
    model.Expected: {
        "outcome": K, "cause": T, "step": K, "findings": T, "culprit": K,
        "culprits": K, "says": T, "budget": K,
    },
    model.ScenarioResult: {
        "scenario": NAME, "outcome": K, "steps_requested": K, "steps_completed": K, "wall_s": K,
        "repeat": K, "rank": K, "reason": T, "place": T, "cause": N, "last_step": K,
        "last_phase": T, "stalled_at_s": K, "detected_at_s": K, "exit_code": K, "signal": K,
        "findings": N, "metrics": N, "doubts": N, "ranks": N, "known_issues": N,
        "origin": N,
    },
    model.KnownIssueMatch: {
        "id": K, "title": K, "url": K, "package": K, "same": K, "seen": T, "version": K,
        "fixed": K, "cure": K,
    },
    model.Origin: {
        "status": K, "summary": T, "step": K, "place": K, "operation": T, "site": T, "frames": T,
        "module": T, "about": T, "inputs": T, "cotangents": T, "output": T, "rows": K,
        "columns": K, "tokens": K, "batch": T, "checkpoint": K, "probed_step_s": K,
        "usual_step_s": K, "replay_s": K,
    },
    model.Doubt: {"said_s": K, "taken_back_s": K, "summary": T, "chain": T, "end": T},
    model.Cause: {"code": K, "summary": T, "proven": K, "evidence": T},
    model.Finding: {"code": K, "severity": K, "summary": T, "evidence": T, "expected": K},
    model.Metrics: {
        "step_s": N, "phase_s": T, "loss": N, "figures": N, "memory": N, "traces": K,
        "graph_nodes_last": K, "parameters_changed": K, "drain_s": K,
    },
    model.StepTimes: {"first": K, "median": K, "p99": K, "max": K, "second": K},
    model.LossSummary: {"first": K, "last": K, "min": K, "max": K, "finite": K},
    model.FigureSummary: {
        "name": T, "first": K, "last": K, "min": K, "max": K, "reads": K, "not_finite": K,
    },
    model.MemorySummary: {
        "active_peak": K, "peak": K, "cache_peak": K, "rss_peak": K, "parameter_bytes": K,
        "active_over_p": K, "peak_over_p": K, "p_per_step": K, "p_per_step_margin": K,
        "swap_growth": K, "major_faults": K, "footprint_peak": K, "swapped_peak": K,
        "compressed_peak": K, "pressure_peak": K, "pressure_level_peak": K, "unread": T,
    },
    model.RankResult: {
        "rank": K, "state": K, "reason": T, "culprit": K, "host": Rule.HOST,
        "steps_completed": K, "last_step": K, "last_phase": T, "phase_s": K, "collective": K,
        "collective_op": T, "collective_step": K, "exit_code": K, "signal": K, "wait_site": T,
        "wait": T, "python_frame": T,
    },
    model.RepeatSummary: {"scenario": NAME, "outcomes": N, "hangs": N, "figures": N},
    model.Share: {"count": K, "of": K, "low": K, "high": K},
    model.Hang: {
        "share": N, "fingerprint": K, "cause": T, "step": K, "phase": T, "wait_site": T,
        "repeats": K,
    },
    model.Spread: {"runs": K, "min": K, "median": K, "max": K},
    model.LeftOut: {"scenario": NAME, "repeat": K, "reason": T},
    model.EnvironmentLadder: {
        "plain": NAME, "symptom": T, "shown": K, "absent": K, "other": K, "certainty": K,
        "flips": N, "left_out": N,
    },
    model.FlipResult: {
        "name": K, "change": K, "why": K, "verdict": K, "shown": K, "absent": K, "other": K,
        "sure": K,
    },
    model.FlipLeftOut: {"name": K, "change": K, "reason": T},
    model.Diagnosis: {"hypotheses": N, "unexplained": T, "next_experiment": T, "no_experiment": T},
    model.Hypothesis: {"id": K, "title": K, "verdict": K, "because": T, "conflicts": T},
}  # fmt: skip
