"""A webhook that starts a training pipeline: each retraining trigger once, also if it comes twice.

    python docs/examples/retraining_webhook.py 8080 runs.sqlite python train.py

    ML_MONITORING_NOTIFY_RETRAINING='json://127.0.0.1:8080/?rto=30' make notify

The command gets the event as JSON on its standard input. It should hand the work on (to Airflow,
Argo, a queue) and end: while it runs the notifier waits for an answer.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


def make_server(port: int, runs: str, command: list[str]) -> HTTPServer:
    """Return a server that starts the command for each key that is not in the file ``runs``."""
    database = sqlite3.connect(runs, isolation_level=None, check_same_thread=False)
    database.execute("create table if not exists runs (key text primary key, event text)")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Start, or say that it could not be: then the notifier comes again."""
            body = self.rfile.read(int(self.headers["Content-Length"]))
            event = json.loads(body)["event"]
            if event["event"] != "retraining_trigger":
                return self.answer(200, "nothing to train")
            database.execute("begin immediate")
            try:
                if not database.execute(
                    "insert or ignore into runs values (?, ?)",
                    [self.headers["Idempotency-Key"], json.dumps(event)],
                ).rowcount:
                    return self.answer(200, "has been started before")
                subprocess.run(command, input=json.dumps(event), text=True, check=True)
                database.execute("commit")
            except (OSError, subprocess.CalledProcessError) as error:
                return self.answer(500, f"could not be started: {error}")
            finally:
                if database.in_transaction:
                    database.execute("rollback")
            return self.answer(200, "started")

        def answer(self, status: int, text: str) -> None:
            """End the request."""
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

    return HTTPServer(("127.0.0.1", port), Handler)


if __name__ == "__main__":
    make_server(int(sys.argv[1]), sys.argv[2], sys.argv[3:]).serve_forever()
