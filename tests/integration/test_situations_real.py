"""A corpus of programs of known end is set up, run and judged by `benchmarks/situations.py`."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from trial import ROOT

pytestmark = [
    pytest.mark.waits,
    pytest.mark.skipif(sys.platform != "linux", reason="proves a deadlock, which takes /proc"),
]

STEPS = "for i in range(3): print(f'step {i} loss {2 - i / 9}', flush=True)\n"
CASES = {
    "asks.py": "# truth: healthy\n# pty: 1\n# answer: 3\n# text: yes\n"
    f"{STEPS}assert input('go on? ') == 'yes'\n",
    "is_looked_at.py": "# truth: healthy\n# harness: attach @N --out @O\n# after: 1\n"
    f"import time\n{STEPS}time.sleep(60)\n",
    "is_made.txt": "# truth: healthy\n# cmd: bash @B/made/it.sh\n",
    "lacks.py": "# truth: healthy\nimport no_such_module_at_all\n",
    "locks.py": "# truth: hang\n# end: cycle dead\n# budget: 60\n"
    f"import threading\n{STEPS}lock = threading.Lock()\nlock.acquire()\nlock.acquire()\n",
    "serves.py": "# truth: hang\n"
    "import socket\nport = int(open('../port').read())\n"
    f"assert socket.create_connection(('127.0.0.1', port)).recv(9) == b'served'\n{STEPS}",
    "waits.py": "# truth: healthy\n# side: sleep 2; touch @B/work/there\n"
    f"import os, time\n{STEPS}while not os.path.exists('there'): time.sleep(0.1)\n",
}
SERVER = """
import socket
listening = socket.create_server(("127.0.0.1", 0))
open("port", "w").write(str(listening.getsockname()[1]))
print("ready", flush=True)
while True:
    one, _ = listening.accept()
    one.sendall(b"served")
    one.close()
"""


@pytest.fixture
def folder(tmp_path):
    source = tmp_path / "corpus"
    (source / "cases").mkdir(parents=True)
    for name, text in CASES.items():
        (source / "cases" / name).write_text(text)
    (source / "srv.py").write_text(SERVER)
    (source / "setup.sh").write_text(
        "mkdir -p made\necho 'for i in 1 2 3; do echo step $i loss 2.$i; done' > made/it.sh\n"
    )
    return source


def test_a_corpus_is_judged_and_goes_on_where_it_was(folder, tmp_path):
    out = tmp_path / "result.json"
    command = [
        *(sys.executable, ROOT / "benchmarks" / "situations.py", folder, "--jobs", "3"),
        *("--work", tmp_path / "work", "--out", out),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first = out.read_text()
    result = json.loads(first)["result"]
    got = {one["program"]: (one["got"], one["right"]) for one in result["programs"]}
    assert got == {
        "asks": ({"completed": 1}, 1),
        "is_looked_at": ({"unfinished": 1}, 1),
        "is_made": ({"completed": 1}, 1),
        "locks": ({"hung/deadlock, proven": 1}, 1),
        "serves": ({"completed": 1}, 0),  # its label is wrong
        "waits": ({"completed": 1}, 1),
    }, done.stdout
    assert result["skipped"] == {"lacks": "no Python module no_such_module_at_all"}
    assert sum(one["left"] for one in result["programs"]) == 0
    assert "serves: hung is right, not completed" in done.stdout
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert "right  asks" not in again.stdout, "what had run ran again"
    assert json.loads(out.read_text())["result"] == result
