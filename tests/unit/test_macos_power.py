"""What slows a Mac down: read as data, and harmless where it cannot be read."""

from __future__ import annotations

import pytest

from harness.model import Mac
from harness.observe.macos import kernel, power
from harness.observe.run_tool import Answer
from harness.text import mac

SETTINGS = """System-wide power settings:
Currently in use:
 standby              1
 Sleep On Power Button 1
 hibernatefile        /var/vm/sleepimage
 powernap             1
 sleep                1 (sleep prevented by sharingd, powerd)
 lowpowermode         {}
 womp                 1
"""
NOMINAL = """Note: No thermal warning level has been recorded
Note: No performance warning level has been recorded
Note: No CPU power status has been recorded
"""
INTEL = """Note: No thermal warning level has been recorded
2026-08-20 05:08:37 -0700 CPU Power notify
\tCPU_Scheduler_Limit \t= 100
\tCPU_Available_CPUs \t= 12
\tCPU_Speed_Limit \t= {}
"""


@pytest.mark.parametrize(
    ("text", "low"),
    [
        (SETTINGS.format(1), True),
        (SETTINGS.format(0), False),
        (SETTINGS.format(0).replace("lowpowermode", "powermode   "), False),
        (SETTINGS.format(2).replace("lowpowermode", "powermode   "), False),
        (SETTINGS.replace("lowpowermode", "other"), None),
        ("", None),
    ],
)
def test_low_power_mode_is_one_line_of_the_settings(text, low):
    assert power.low_power(text) is low


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (NOMINAL, "no limit"),
        (INTEL.format(100), "no limit"),
        (INTEL.format(62), "the CPU's speed is limited to 62 %"),
        ("Thermal Warning Level = 2\nPerformance Warning Level = 0\n", "thermal warning level 2"),
        ("Thermal Warning Level = 0\n", "no limit"),
        ("Error: no thermal warning level with error code 0xe00002c7\n", ""),
        ("", ""),
    ],
)
def test_heat_is_what_limits_the_cpu(text, told):
    assert power.heat_of(text) == told


@pytest.fixture
def tools(monkeypatch):
    """What the two tools answer."""
    answers = {power.SETTINGS: SETTINGS.format(1), power.HEAT: NOMINAL}

    def run(command, timeout):
        if isinstance(answers[command], OSError):
            raise answers[command]
        if isinstance(answers[command], Answer):
            return answers[command]
        return Answer(output=answers[command], errors="", code=0)

    monkeypatch.setattr(power.run_tool, "run", run)
    monkeypatch.setattr(kernel, "integer", {power.WIRED_LIMIT: 24_576}.get)
    return answers


def test_all_of_it_is_read_and_shown(tools):
    seen = power.read()
    assert seen == Mac(wired_limit=24 << 30, low_power=True, thermal="no limit")
    assert mac.lines(seen) == [
        ("GPU memory limit", "24 GiB (sysctl iogpu.wired_limit_mb)"),
        ("low power mode", "on: it slows the GPU"),
        ("heat", "no limit"),
    ]
    assert mac.lines(Mac(wired_limit=0, low_power=False, thermal="no limit"))[:2] == [
        ("GPU memory limit", "macOS chooses"),
        ("low power mode", "off"),
    ]


def test_what_a_tool_does_not_tell_is_said_and_harms_nobody(tools, monkeypatch):
    tools[power.SETTINGS] = FileNotFoundError(2, "No such file or directory", "pmset")
    tools[power.HEAT] = Answer(output="", errors="", code=None, problem="no answer in 5 s")
    monkeypatch.setattr(kernel, "integer", lambda name: None)
    seen = power.read()
    assert (seen.wired_limit, seen.low_power, seen.thermal) == (None, None, "")
    assert [value for _, value in mac.lines(seen)] == [
        "not known: there is no sysctl iogpu.wired_limit_mb",
        "not known: pmset -g: No such file or directory",
        "not known: pmset -g therm: no answer in 5 s",
    ]
    tools[power.SETTINGS] = tools[power.HEAT] = "nothing of the kind"
    assert set(power.read().unread.values()) >= {
        "pmset -g does not tell", "pmset -g therm does not tell"
    }  # fmt: skip
    tools[power.HEAT] = Answer(output=NOMINAL, errors="", code=1)
    assert power.read().unread["thermal"] == "pmset -g therm: exit code 1"
