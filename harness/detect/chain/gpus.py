"""Waits for a GPU: by a process alone, and by a rank, whose GPU may wait for those of others."""

from __future__ import annotations

from harness.detect.chain.facts import Facts
from harness.detect.chain.links import End, Ends, Node, Wait
from harness.stacks.wait_rules import Category
from harness.text import units


def waits(node: Node, facts: Facts) -> Wait | None:
    """The host waits for a GPU that its process has open."""
    observed = facts.observed
    if node.pid not in observed.on_gpu or facts.category(node) is not Category.STREAM_EVALUATION:
        return None
    use, shown = observed.gpu_use, "; ".join(observed.gpu)
    told = f" ({shown})" if shown else ""
    on: tuple[Node, ...] = ()
    if use is None and not shown:
        # Where waits are shown, the rest of what is seen may decide.
        kind = Ends.UNKNOWN if observed.shows_waits else Ends.UNSEEN
        end = End(kind=kind, detail="waits for a GPU, which cannot be asked", sure=False)
    elif works(facts):
        end = End(kind=Ends.GPU_WORKS, detail=_kernel(facts) or f"waits for a GPU that works{told}")
    else:
        end = End(kind=Ends.GPU_IDLE, detail=f"waits for a GPU that is idle{told}")
        # Its work may wait for an operation that MLX has on the CPU alone.
        busy = (one for one in facts.at_work(node.pid) if one != node)
        on = tuple(one for one in busy if facts.in_mlx(one))
    if end.kind is Ends.GPU_WORKS and (spins := _fence(facts)):
        end = End(kind=end.kind, detail=f"{end.detail}; {spins}")
    return Wait(code="gpu", detail=end.detail, on=on, known=not on, ends=(end,))


def _kernel(facts: Facts) -> str | None:
    """The kernel that the host waits for, where it has run for a while; None where it may be one of
    many."""
    observed = facts.observed
    use = observed.gpu_use
    if observed.kernel_s is None:
        return None
    share = None if use is None else use.busy if use.own is None else use.own
    at = "works" if share is None else f"is at {units.percent(share / 100)}"
    lasted = units.duration(observed.kernel_s)
    return f"waits for a kernel of this process, which has run for {lasted}; the GPU {at}"


def _fence(facts: Facts) -> str:
    """Say that a GPU of Apple's is busy and draws little, as one whose kernel waits for a fence."""
    use = facts.observed.gpu_use
    if facts.observed.shows_waits or use is None or use.power_w is None:
        return ""
    policy = facts.policy
    if (use.busy or 0) < policy.gpu_spins or use.power_w > policy.gpu_spins_w:
        return ""
    watts = units.number(use.power_w, 2)
    return f"it draws {watts} W only, as where a fence spins that nobody signals"


def shared(node: Node, facts: Facts) -> Wait | None:
    """A rank waits for its GPU, which a collective that waits for a peer keeps busy as well: only
    one that moves memory works for certain. Not on macOS, where ranks meet on the CPU alone."""
    observed = facts.observed
    if not observed.shows_waits:
        return None
    rank = len(observed.ranks) > 1 and node.pid in observed.ranks.values()
    evaluates = facts.category(node) is Category.STREAM_EVALUATION and node.pid in observed.on_gpu
    if not rank or not evaluates or not works(facts):
        return None
    use = observed.gpu_use
    told = f" ({shown})" if (shown := "; ".join(observed.gpu)) else ""
    if use is not None and (use.memory or 0) >= facts.policy.gpu_memory:
        end = End(kind=Ends.GPU_WORKS, detail=f"waits for a GPU that works{told}")
    else:
        detail = f"waits for its GPU, which computes or waits for the GPUs of other ranks{told}"
        end = End(kind=Ends.PEERS, detail=detail)
    return Wait(code="gpu", detail=end.detail, ends=(end,))


def works(facts: Facts) -> bool:
    """True if a GPU works for the processes, or, where that is not known, for anybody."""
    use = facts.observed.gpu_use
    if use is None:
        return any(_utilization(line) for line in facts.observed.gpu)
    if use.own or (use.own is None and not use.named):
        return bool(use.own or use.busy)
    return False


def _utilization(line: str) -> float:
    """Per cent, of `name, 87 %, 1024 MiB`."""
    part = line.split(",")[1:2]
    words = part[0].split() if part else []
    return float(words[0]) if words and words[0].replace(".", "").isdigit() else 0.0
