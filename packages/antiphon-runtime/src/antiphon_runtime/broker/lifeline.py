"""Run as a script: become another programme that ends when its parent ends.

`python -I -S lifeline.py PARENT_PID PROGRAMME [ARGUMENT ...]`

On Linux the kernel then sends SIGTERM when the parent dies, also when it is killed with SIGKILL
(prctl(2), PR_SET_PDEATHSIG; it outlives execve(2)). Elsewhere the programme is just run. This is a
script of its own, and not a `preexec_fn`, because that is unsafe in a process with threads; and
not setpriv(1), because BusyBox's knows no `--pdeathsig`. It imports the standard library alone
and costs about 20 ms.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Tie this process to its parent, then become the programme.

    Args:
        arguments: the parent's process id, then the programme's path and its arguments.
    """
    parent_pid, *command = arguments
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0) != 0:
            sys.exit(f"prctl failed: {os.strerror(ctypes.get_errno())}")
        # The parent may have died before the tie was made: then no signal will ever come.
        if os.getppid() != int(parent_pid):
            sys.exit("the parent is gone")
    os.execv(command[0], command)  # noqa: S606  (the point of this script; there is no shell)


if __name__ == "__main__":
    main(sys.argv[1:])
