"""Run dbt in processes that are forked from one that has imported it.

Importing dbt and what it works with takes some three seconds, and the tests run it a hundred
times. Each run still has a process of its own, with its own environment, which a test may kill.
"""

import atexit
import multiprocessing
import os
import signal
from dataclasses import dataclass
from multiprocessing.reduction import DupFd
from pathlib import Path

from tests.integration.parsed import ignore_places

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["tests.integration.dbt_imports"])


@dataclass
class Build:
    """What a dbt command returned and printed."""

    exit_code: int
    output: str

    @property
    def end(self) -> str:
        """The last lines, which say what failed."""
        return "\n".join(self.output.splitlines()[-40:])


class DbtProcess:
    """A running dbt command: the part of ``subprocess.Popen`` that tests need.

    Attributes
    ----------
    stdout : text file
        What it prints, errors included.
    """

    def __init__(self, arguments: list[str], folder: Path, environment: dict[str, str]):
        reader, writer = os.pipe()
        self._process = context.Process(
            target=run, args=(arguments, folder, environment, DupFd(writer))
        )
        self._process.start()
        os.close(writer)
        self.stdout = os.fdopen(reader, encoding="utf-8", errors="replace")
        self.pid = self._process.pid

    def wait(self) -> int:
        """Wait for its end and return the exit code; below 0 is the signal that ended it."""
        self._process.join()
        return self._process.exitcode

    def finish(self) -> Build:
        """Read all that it prints, and wait for its end."""
        output = self.stdout.read()
        self.stdout.close()
        return Build(self.wait(), output)

    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.is_alive()

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        os.kill(self.pid, signal.SIGKILL)
        self.stdout.read()
        self.wait()


def run(arguments: list[str], folder: Path, environment: dict[str, str], output: DupFd) -> None:
    """Do what the console script ``dbt`` does (in the forked process)."""
    from dbt.cli.main import cli

    ignore_places()
    descriptor = output.detach()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    try:
        cli(arguments, prog_name="dbt")
    finally:
        # A forked process ends without it, and dbt-duckdb closes its database there.
        atexit._run_exitfuncs()
