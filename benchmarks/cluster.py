"""A standalone cluster on this machine: a master, workers, and a server of Spark Connect.

For the benchmark, and for tests/spark.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pyspark

HOME = Path(pyspark.__file__).parent
HOST = "127.0.0.1"
CONNECT = "org.apache.spark.sql.connect.service.SparkConnectServer"


def free_port() -> int:
    """Give a port that nobody listens at."""
    with socket.socket() as found:
        found.bind((HOST, 0))
        return found.getsockname()[1]


def wait_for(port: int, process: subprocess.Popen, log: Path, seconds: int = 120) -> None:
    """Wait until a process listens; raise with its log if it does not."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        with socket.socket() as found:
            if found.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.2)
    raise RuntimeError(f"Spark did not come up:\n{log.read_text()[-3000:]}")


@contextmanager
def standalone_cluster(folder: Path, workers: int = 2):
    """Give the address of Spark Connect on a cluster of workers with one core each."""
    environment = os.environ | {
        "SPARK_HOME": str(HOME),
        "SPARK_LOCAL_IP": HOST,
        "SPARK_NO_DAEMONIZE": "1",
        "PYSPARK_PYTHON": sys.executable,
    }
    master, connect = free_port(), free_port()
    started = []

    def start(name: str, *command: str) -> tuple[subprocess.Popen, Path]:
        log = folder / f"{name}.log"
        process = subprocess.Popen(
            [str(HOME / "bin" / command[0]), *command[1:]],
            env=environment, stdout=log.open("w"), stderr=subprocess.STDOUT, cwd=folder,
        )  # fmt: skip
        started.append(process)
        return process, log

    try:
        of_master = start(
            "master", "spark-class", "org.apache.spark.deploy.master.Master",
            "--host", HOST, "--port", str(master), "--webui-port", str(free_port()),
        )  # fmt: skip
        wait_for(master, *of_master)
        for number in range(workers):
            start(
                f"worker-{number}", "spark-class", "org.apache.spark.deploy.worker.Worker",
                "--host", HOST, "--cores", "1", "--memory", "1g", "--webui-port",
                str(free_port()), "--work-dir", str(folder / f"worker-{number}"),
                f"spark://{HOST}:{master}",
            )  # fmt: skip
        of_server = start(
            "connect", "spark-submit", "--class", CONNECT, "--master", f"spark://{HOST}:{master}",
            "--conf", f"spark.connect.grpc.binding.address={HOST}",
            "--conf", f"spark.connect.grpc.binding.port={connect}",
            "--conf", f"spark.driver.host={HOST}", "--conf", "spark.executor.memory=800m",
            "--conf", "spark.ui.enabled=false", "spark-internal",
        )  # fmt: skip
        wait_for(connect, *of_server)
        yield f"sc://{HOST}:{connect}"
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
