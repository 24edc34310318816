"""Advice, and the certainty of the answer: a sentence for each kind of end. Pure.

A sentence names the next thing that a person can do, and promises no cure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from harness.detect.ranks.phrases import are, named
from harness.model import Cause, Finding, Located, Origin, Outcome, ScenarioResult, Standing
from harness.stacks.wait_rules import ENDS, LOCKS

_OWNED = frozenset(("mutex", "gil"))
_GIVEN = frozenset(("lock", "queue", "future", "futex"))
_END: Mapping[str, str] = MappingProxyType(
    {
        "cycle": "let one of them take no part in the ring: neither can go on before the other",
        "dead": "find out why the one that is gone ended: nobody answers in its place",
        "outside": "find out who should bring about what it waits for; a time limit for the wait "
        "lets your program tell of it",
        "network": "check that the other side is up, and give this call a time limit",
        "program": "look at the program that it waits for: it does not answer",
        "file_system": "check the file system and its server: the read or write does not return",
        "person": "answer the prompt, or run it with its input from a file",
        "polls": "check what the loop asks for: the answer has not come",
        "spins": "check the condition of this loop: nothing that it looks at changes",
        "stopped": "find out who stopped it: Ctrl-Z, SIGSTOP, or a container that was frozen",
        "traced": "detach the debugger that holds it",
        "memory": "use a smaller batch or model, or end what else uses memory",
        "gpu_works": "look at the kernel of this line: its loop may have no end, or its input is "
        "far too large",
        "gpu_idle": "run it on the CPU too, to see if the device is to blame",
        "peers": "look at the rank to blame: the others wait for it in a collective",
        "idle": "check who should give this thread its work: nobody does",
    }
)
"""By the kind of the chain's end."""
_FINDING: Mapping[str, str] = MappingProxyType(
    {
        "memory_growth": "stop keeping what a step made: delete arrays after use, and keep a loss "
        "as a number, with .item()",
        "rss_growth": "stop keeping what a step made: lists, caches and open files are usual",
        "graph_growth": "evaluate the state in each step: mx.eval(model.parameters(), "
        "optimizer.state)",
        "loss_not_finite": "lower the learning rate, or check for float16, log(0) and 0 / 0 before "
        "this step",
        "gradients_not_finite": "check for sqrt(0), log(0) and 0 / 0: their gradients are nan",
        "validation_not_finite": "check the validation data and masks: a mean of nothing is nan",
        "loss_exploded": "lower the learning rate, or clip the gradients",
        "parameters_unchanged": "check that the step calls optimizer.update(model, gradients), "
        "and what is frozen",
        "parameters_partly_unchanged": "check that these parameters take part in the loss, and "
        "are not frozen",
        "frozen_parameters_changed": "check what writes to the frozen parameters",
        "model_not_watched": "call training.watch(model, optimizer) in make_step",
        "loss_flat": "check the learning rate, and that the loss depends on the parameters",
        "loss_zero": "check the labels and the mask: a loss of 0 teaches nothing",
        "loss_dead": "check the labels and the mask: this loss teaches nothing",
        "loss_left_best": "go back to the checkpoint before that step, with a lower learning rate",
        "ended_early": "check where the data ends, and the condition that ends the loop",
        "retrace_every_step": "give the compiled function the same shapes and types in each step",
        "double_trace": "call optimizer.init(model.trainable_parameters()) before the first step",
        "compile_disabled": "unset MLX_DISABLE_COMPILE",
        "check_failed": "compare the two values: the scenario computes the same thing in two ways",
        "rank_left_early": "let every rank make the same number of steps: one that has ended takes "
        "no part in the next collective",
        "collective_mismatch": "let every rank issue the same collectives in the same order",
        "kernel_panic": "read the finding kernel_panic: it says what the panic names",
        "memory_limit": "use a smaller batch or a shorter sequence (harness doctor --model "
        "says what fits), or raise --memory-limit",
        "memory_limit_near": "use a smaller batch or a shorter sequence (harness doctor --model "
        "says what fits), or raise --memory-limit",
        "oom_killer": "use a smaller batch or model, or end what else uses memory",
    }
)
"""By the code of a finding."""
_LEARNING: Mapping[str, str] = MappingProxyType(
    {
        "no_trainable_parameters": "unfreeze what is to learn, and call super().__init__() first "
        "in each module",
        "state_not_compiled": "give mx.compile inputs=state and outputs=state, with the model and "
        "the optimizer in state",
        "gradients_not_applied": "call optimizer.update(model, gradients), with the model that "
        "computes the loss",
        "updates_skipped": "turn off what skips the updates, such as a diagnostic mode",
        "learning_rate_zero": "check the optimizer's learning rate, and what its schedule returns",
        "labels_masked": "check the mask, the length of the prompts and the truncation",
        "gradients_erased": "check what is between value_and_grad and update, such as clipping",
        "gradients_zero": "look for stop_gradient, .item() and numpy before the loss",
        "updates_too_small": "keep the weights in float32, or let the optimizer update a float32 "
        "copy",
        "lora_b_zero": "check what is frozen of the adapters, and their scale",
        "submodules_unregistered": "hold layers as attributes or in lists of an nn.Module",
        "batch_repeats": "check the seed and the position of the loader",
        "labels_leak": "check that the targets are the inputs shifted by one",
    }
)
"""By the code of a reason for learning nothing."""


_NOT_STARTED: Mapping[str, str] = MappingProxyType(
    {
        " was not found": "check its name, and that its folder is on the PATH",
        " cannot be executed": "put the program before it that runs it, such as python; or make it "
        "executable, with chmod +x",
    }
)
"""By the reason why there never was a program."""


def located(result: ScenarioResult) -> Origin | None:
    """The origin of NaN, where a replay has found it."""
    found = result.origin
    return found if found is not None and found.status is Located.LOCATED else None


def hang(result: ScenarioResult, cause: Cause) -> str:
    """The next thing to do about a hang."""
    evidence = cause.evidence
    kind = str((evidence.get("end") or {}).get("kind") or "")
    if cause.code == "stopped" and "answer" in evidence:
        return f"let it go on with: kill -CONT {evidence.get('pid')}"
    if finding := next((f for f in result.findings if f.code in _FINDING and result.ranks), None):
        return _FINDING[finding.code]
    if culprits := [rank.rank for rank in result.ranks if rank.culprit]:
        does, it = are(culprits, "does", "do"), are(culprits, "it", "them")
        waited_for = any(rank.state is Standing.WAITING for rank in result.ranks)
        others = f": the others wait for {it}" if waited_for else ""
        return f"look at what {named(culprits)} {does} there{others}"
    if _forked(evidence):
        return "start the child with the spawn method: MLX does not work after a fork"
    if kind == "cycle" and (advice := _ring(evidence.get("chain") or ())):
        return advice
    if kind in ("cycle", "dead") and any(map(ended_badly, evidence.get("ended_children") or ())):
        return _END["dead"]
    if kind == "dead" and _to_itself(evidence):
        if _by_a_loop(evidence):
            return "look what its tasks await: nothing is left that would wake their loop of events"
        return "look who should wake it: its process alone has the other end of what it waits for"
    if kind == "dead" and _nobody(evidence):
        return "look who should give that lock back or end that wait: no thread is seen that would"
    if (end := kind or cause.code) in _END:
        return _END[end]
    return "look at the stacks: the first line of your own is where it stands"


def ended_badly(child: Mapping[str, Any]) -> bool:
    """True of an ended child, as evidence has it, that a signal killed or that failed."""
    return bool(child.get("signal") or child.get("exit_code"))


def _ring(chain: Sequence[Mapping[str, Any]]) -> str:
    """The advice on threads that wait for one another, by how they wait; empty where it says
    nothing."""
    if any(str(link.get("detail")).startswith("waits for room in ") for link in chain):
        return "read what is written while it is written, as communicate() does: a pipe is small"
    if chain and all(_is_lock(link) for link in chain):
        if len(chain) == 1:
            return (
                "do not take this lock again while it is held, or use a recursive one, such as "
                "threading.RLock"
            )
        return "take these locks in the same order everywhere"
    if chain and all(link.get("wait") in _GIVEN and not _is_held(link) for link in chain):
        return "look who should wake one of them: all that could do it wait themselves"
    return ""


def _is_lock(link: Mapping[str, Any]) -> bool:
    """True if it waits for what one thread or process has, and will give back."""
    detail = str(link.get("detail"))
    return link.get("wait") in _OWNED or detail in LOCKS or "a lock that is held by" in detail


def _is_held(link: Mapping[str, Any]) -> bool:
    """True if one thread alone can end the wait."""
    return _is_lock(link) or link.get("detail") == ENDS


def _forked(evidence: Mapping[str, Any]) -> bool:
    """True if a stream is waited for in a process that has no thread which could work for it."""
    waits = [link.get("wait") for link in evidence.get("chain") or ()]
    alone = "its process has no other thread" in str((evidence.get("end") or {}).get("detail"))
    return alone and waits[-1:] == ["stream_evaluation"]


def _to_itself(evidence: Mapping[str, Any]) -> bool:
    """True if it waits for what none but its own process has open, as a loop of events does in
    which nothing is to come, and nobody is known who had it open and has ended."""
    alone = "which nobody else has open" in str((evidence.get("end") or {}).get("detail"))
    return alone and not evidence.get("ended_children")


def _by_a_loop(evidence: Mapping[str, Any]) -> bool:
    """True if several files are waited for, of which a local socket is its own, as by asyncio."""
    waits = [link.get("wait") for link in evidence.get("chain") or ()]
    return waits[-1:] == ["local_socket"] and "(epoll_wait" in str(evidence.get("wait_site"))


def _nobody(evidence: Mapping[str, Any]) -> bool:
    """True if no thread is known that has ended: there may never have been one."""
    detail = str((evidence.get("end") or {}).get("detail"))
    return "nobody is seen" in detail or "no other thread" in detail


_BORN: tuple[tuple[str, str], ...] = (
    ("the slope of", "make the input safe before this operation: its slope is not finite there"),
    ("0/0", "leave out batches whose mask is all 0, or divide by at least 1"),
    ("exp of", "subtract the maximum first, or use mx.softmax or mx.logsumexp"),
    ("softmax of a row", "keep one place of each row of the mask"),
    ("log", "add an epsilon, or take a maximum, before this operation"),
    ("sqrt of", "add an epsilon, or take a maximum, before this operation"),
    ("rsqrt of", "add an epsilon, or take a maximum, before this operation"),
    ("1/0", "add an epsilon, or take a maximum, before this operation"),
)
"""By the first words of an origin."""


def _born(found: Origin) -> str:
    """The next thing to do where it is known at which operation NaN was born."""
    if found.place == "data":
        return "look at the data: they bring it"
    if found.place == "update":
        return "keep the state of the optimizer in float32, or use a larger eps"
    if " overflow: " in found.summary:
        return "use bfloat16 or float32 there, or a smaller scale"
    for words, told in _BORN:
        if found.summary.startswith(words):
            return told
    return "look at the inputs of this operation: the report has their ranges"


def ended(result: ScenarioResult, fault: Finding | None) -> str:
    """The next thing to do about a run that ended."""
    if (found := located(result)) is not None:
        return _born(found)
    code = fault.code if fault is not None else ""
    if advice := _FINDING.get(code) or _LEARNING.get(code):
        return advice
    if result.outcome is Outcome.UNFINISHED:
        over = (result.reason or "").startswith("stopped by --budget")
        return "give it more time with --budget, or fewer steps with --steps" if over else ""
    if result.outcome is not Outcome.CRASHED:
        return f"read what {fault.code} means: docs/reference/verdicts" if fault else ""
    if culprits := [rank.rank for rank in result.ranks if rank.culprit]:
        return f"read the end of the output of {named(culprits)}: the others followed"
    if result.signal == "SIGKILL":
        return "check who sent it: the log of the kernel names a lack of memory"
    if result.signal is not None:
        return "look at the end of its output, and at the stacks if there are any"
    for words, advice in _NOT_STARTED.items():
        if (result.reason or "").startswith("the program ") and words in str(result.reason):
            return advice
    if result.place is not None:
        return "mend this line: the end of the output has the whole traceback"
    return "read the end of its output: it is in this report"


def sure(result: ScenarioResult, fault: Finding | None) -> str:
    """The certainty of the answer on a run that ended."""
    if fault is not None and fault.code == "kernel_panic":
        if fault.evidence.get("own_process"):
            return "certain: the panic names the process of this run"
        return "likely: the times of the panic and of the last beat agree"
    if result.outcome is Outcome.CRASHED:
        if result.ranks:
            return "certain of the rank: it is read from what each rank wrote down"
        return "certain: the process ended so"
    if result.outcome is Outcome.UNFINISHED:
        # What was attached to goes on.
        alive = any(finding.code == "attached" for finding in result.findings)
        by_user = (result.reason or "").startswith("interrupted")
        return "" if alive or by_user else "certain: it was ended while it went on"
    if located(result) is not None:
        return "certain: a replay from the same seed found the operation"
    if fault is not None:
        return "certain that it happened: it was measured; the cause is not proven"
    return ""
