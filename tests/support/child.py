"""A server as a child process."""

from __future__ import annotations

import signal
import subprocess


def end(child: subprocess.Popen[bytes], how: signal.Signals, patience_s: float) -> None:
    """Send it a signal and wait for its end; SIGKILL when it takes longer than that."""
    child.send_signal(how)
    try:
        child.wait(patience_s)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
