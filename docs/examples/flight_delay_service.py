"""A prediction service that logs for ml-monitoring: a live model, a shadow, and labels.

Run it from the root of the repository::

    PYTHONPATH=python_udfs python docs/examples/flight_delay_service.py data/landing

and ask it::

    curl localhost:8080/predict -d '{"carrier": "UA", "hour": 17, "origin_delay_minutes": 12}'
    curl localhost:8080/labels -d '{"request_id": "<from the answer>", "label": 1}'

The server is the standard library's, to keep the example short; the four steps of `predict`
are the same in any framework: answer, measure, log the live model, then run and log the shadow.
"""

import json
import math
import signal
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from inference_logger import InferenceLogger

MODEL = "flight_delay"
DECISION_THRESHOLD = 0.5
MAX_BODY_BYTES = 100_000


@dataclass(frozen=True)
class DelayModel:
    """A logistic regression: how likely is the flight to arrive 15 or more minutes late."""

    version: str
    intercept: float
    per_hour: float
    per_delay_minute: float
    carriers: dict[str, float]

    def predict(self, features: dict[str, Any]) -> float:
        """Return the probability for features that are complete."""
        log_odds = (
            self.intercept
            + self.per_hour * features["hour"]
            + self.per_delay_minute * features["origin_delay_minutes"]
            + self.carriers.get(features["carrier"], 0.0)
        )
        return (1 + math.tanh(log_odds / 2)) / 2  # the logistic function, without overflow


LIVE = DelayModel("v1", -2.4, 0.07, 0.025, {"EV": 0.4, "HA": -0.6})
SHADOW = DelayModel("v2", -2.7, 0.09, 0.031, {"EV": 0.5, "HA": -0.8, "F9": 0.5})


def read_features(body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Take the model's inputs from a request.

    Returns
    -------
    features : dict
        Exactly what the models get: monitoring judges the inputs as the model saw them.
    preprocessing : dict
        What had to be made up.

    Raises
    ------
    ValueError
        If an input is missing or of the wrong type.
    """
    features = {name: body.get(name) for name in ("carrier", "hour", "origin_delay_minutes")}
    preprocessing = {}
    if features["origin_delay_minutes"] is None:
        features["origin_delay_minutes"] = 0.0
        preprocessing["origin_delay_imputed"] = True
    if not isinstance(features["carrier"], str):
        raise ValueError("carrier must be a string")
    for name in ("hour", "origin_delay_minutes"):
        if type(features[name]) not in (int, float) or not math.isfinite(features[name]):
            raise ValueError(f"{name} must be a number")
    return features, preprocessing


class DelayService:
    """Answers requests, and logs each of them once per model.

    Parameters
    ----------
    log : InferenceLogger
        Where to log.
    max_waiting : int
        Shadow requests that may wait. More are left out: a slow shadow must not eat the memory
        of the live service.
    """

    def __init__(self, log: InferenceLogger, max_waiting: int = 100) -> None:
        self._log = log
        self._shadows = ThreadPoolExecutor(max_workers=1, thread_name_prefix="shadow")
        self._places = threading.BoundedSemaphore(max_waiting)

    def close(self) -> None:
        """Let the shadows finish, then close the log."""
        self._shadows.shutdown()
        self._log.close()

    def predict(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer a request for a prediction, log it, and hand it to the shadow."""
        arrived_at, start = datetime.now(UTC), time.perf_counter()
        # Made here, not taken from the client: a retry with the same id would be a duplicate.
        request_id = str(uuid.uuid4())
        # What is logged is gathered as it becomes known, so that errors are logged like answers.
        event: dict[str, Any] = {
            "request_id": request_id,
            "model": MODEL,
            "model_version": LIVE.version,
            "ts": arrived_at,
            "trace_id": handler.headers.get("X-Trace-Id"),
        }
        try:
            body = read_json(handler)
            event["attributes"] = {"country": body.get("country")}
            event["features"], event["preprocessing"] = read_features(body)
            model_start = time.perf_counter()
            event["score"] = LIVE.predict(event["features"])
            event["inference_time_ms"] = milliseconds_since(model_start)
            event["prediction"] = int(event["score"] >= DECISION_THRESHOLD)
            status, answer = 200, {"probability": event["score"], "is_late": event["prediction"]}
        except ValueError as error:
            status, answer = 400, {"error": str(error)}
        except Exception:
            status, answer = 500, {"error": "internal error"}
        try:
            send_json(handler, status, {"request_id": request_id} | answer)
        finally:  # also for a client that hung up
            self._log.inference(**event, status=status, latency_ms=milliseconds_since(start))
        if status == 200 and self._places.acquire(blocking=False):
            self._shadows.submit(self._shadow, event)

    def _shadow(self, live: dict[str, Any]) -> None:
        """Run the shadow on what the live model saw, under the same request_id."""
        start = time.perf_counter()
        event = {
            name: live[name] for name in ("request_id", "model", "ts", "features", "attributes")
        }
        try:
            event["score"] = SHADOW.predict(event["features"])
            event["prediction"] = int(event["score"] >= DECISION_THRESHOLD)
            status = 200
        except Exception:
            status = 500  # a shadow that fails is worth knowing before it is promoted
        finally:
            self._places.release()
        self._log.inference(
            **event,
            model_version=SHADOW.version,
            role="shadow",
            status=status,
            latency_ms=milliseconds_since(start),
        )

    def label(self, handler: BaseHTTPRequestHandler) -> None:
        """Log the truth about an earlier request."""
        try:
            body = read_json(handler)
        except ValueError as error:
            send_json(handler, 400, {"error": str(error)})
            return
        logged = self._log.label(
            request_id=body.get("request_id"),
            label=body.get("label"),
            labeled_at=body.get("labeled_at"),
            model=MODEL,
        )
        answer = {} if logged else {"error": "request_id and label are required; see the log"}
        send_json(handler, 202 if logged else 400, answer)


def milliseconds_since(start: float) -> float:
    """Return the time since a reading of the performance counter."""
    return (time.perf_counter() - start) * 1000


def read_json(handler: BaseHTTPRequestHandler) -> dict[str, Any]:
    """Read the JSON object that a request carries; ValueError if there is none."""
    length = int(handler.headers.get("Content-Length") or 0)
    if not 0 <= length <= MAX_BODY_BYTES:
        raise ValueError(f"the body must have at most {MAX_BODY_BYTES} bytes")
    body = json.loads(handler.rfile.read(length))
    if not isinstance(body, dict):
        raise ValueError("the body must be a JSON object")
    return body


def send_json(handler: BaseHTTPRequestHandler, status: int, answer: dict[str, Any]) -> None:
    """Answer a request."""
    content = json.dumps(answer).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def make_server(service: DelayService, host: str, port: int) -> ThreadingHTTPServer:
    """Bind a server; port 0 takes any free one."""
    routes = {"/predict": service.predict, "/labels": service.label}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answer = routes.get(self.path)
            if answer is None:
                self.send_error(404)
            else:
                answer(self)

        def log_message(self, *_: object) -> None:
            """Leave the access log out: the inference log says more."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = False  # server_close() waits for the requests under way
    return server


def main() -> None:
    """Serve until interrupted or terminated."""
    landing_path = Path(sys.argv[1] if len(sys.argv) > 1 else "data/landing")
    service = DelayService(InferenceLogger(landing_path))
    server = make_server(service, "127.0.0.1", 8080)
    # As an orchestrator stops it: shutdown() waits for serve_forever, hence the thread.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"POST http://127.0.0.1:8080/predict and /labels; logging to {landing_path}")
    server.serve_forever()
    server.server_close()
    service.close()


if __name__ == "__main__":
    main()
