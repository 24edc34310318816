"""Runs a command on a pseudo-terminal of 100 columns: `python on_terminal.py COMMAND... > LOG`."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

if __name__ == "__main__":
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    process = subprocess.Popen(sys.argv[1:], stdin=its, stdout=its, stderr=its, env=environment)
    os.close(its)
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:  # Linux' way to say that nobody holds the other end any more
            break
        if not data:
            break
        os.write(1, data)
    sys.exit(process.wait())
