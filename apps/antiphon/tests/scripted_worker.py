"""A worker process for tests of the supervisor: does what SCRIPT says, a line each life.

`exit N`, `kill` (itself by SIGKILL), `run` (until SIGTERM), `deaf` (SIGTERM does nothing), `parent`
(deaf, with a child of its own). The last line is for all further lives. Each life is noted in
LIVES: when it begins, and when it ends in good order.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

LIVES = Path(os.environ["LIVES"])


def note(word: str) -> None:
    with LIVES.open("a") as file:
        file.write(f"{word} {os.getpid()}\n")


def on_term(*_: object) -> None:
    note("drained")
    sys.exit(0)


def main() -> None:
    script = os.environ["SCRIPT"].splitlines()
    life = LIVES.read_text().count("begun") if LIVES.exists() else 0
    order, _, argument = script[min(life, len(script) - 1)].partition(" ")
    deaf = order in {"deaf", "parent"}
    signal.signal(signal.SIGTERM, signal.SIG_IGN if deaf else on_term)
    if order == "parent":
        child = subprocess.Popen(["/bin/sleep", "600"])
        LIVES.with_suffix(".child").write_text(str(child.pid))
    note("begun")
    sys.stderr.write(f"last words of life {life}\n")
    if order == "exit":
        sys.exit(int(argument))
    if order == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
