"""Where notifications go: URLs of the apprise library, from the environment.

URLs hold passwords and tokens. A target is therefore named by its scheme and a short hash, and
what apprise logs is kept to itself: a failure is told as an HTTP status or as no answer.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import apprise

from notification_texts import Message
from notifications import CHANNELS, RETRAINING

VARIABLE = "ML_MONITORING_NOTIFY"
VARIABLES = {channel: f"{VARIABLE}_{channel.upper()}" for channel in CHANNELS}
HOW_TO = f"""Say where to, as URLs of the apprise library, with spaces between them:

  {VARIABLE}             for everything
  {VARIABLE}_PAGE        for alerts of severity page; likewise _TICKET and _INFO
  {VARIABLE}_RETRAINING  for retraining triggers

For example: {VARIABLE}_PAGE='slack://TokenA/TokenB/TokenC/#alerts jsons://example.org/hook'
Without any, `--dry-run` prints what would be sent. docs/notifications.md has more."""

#: What it takes to connect, and until an answer begins; a URL may say otherwise (?cto= and ?rto=).
CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 10.0
JSON_SCHEMES = frozenset(["json", "jsons"])
FLAT_SCHEMES = frozenset(["form", "forms", "xml", "xmls"])
MAIL_SCHEMES = frozenset(["mailto", "mailtos"])
KEY_HEADER = "Idempotency-Key"

# Apprise warns of each failure, with hosts and sometimes more. Failures are told here.
logging.getLogger("apprise").addHandler(logging.NullHandler())
logging.getLogger("apprise").propagate = False


@dataclass
class Target:
    """One URL.

    Attributes
    ----------
    name : str
        Its scheme and a hash of the URL: what may be shown.
    url : str
        The URL itself, which may not.
    """

    name: str
    url: str = field(repr=False)
    _service: Any = field(default=None, repr=False)

    @classmethod
    def of(cls, url: str) -> Target:
        """Name a URL."""
        scheme = re.match(r"([a-zA-Z0-9+]{1,20})://", url)
        digest = hashlib.sha256(url.encode()).hexdigest()[:8]
        return cls(f"{scheme[1].lower() if scheme else 'unknown'}-{digest}", url)

    @property
    def scheme(self) -> str:
        """What is before ``://``."""
        return self.name.rpartition("-")[0]

    def send(self, message: Message) -> str | None:
        """Send a message once; return why it could not be, or None if it was accepted.

        Not to be called from two threads at once: each message has headers of its own.
        """
        try:
            if self._service is None:
                self._service = open_service(self.url)
            if self._service is None:
                return "apprise cannot read this URL: is the scheme right, and is all there?"
            dress(self._service, self.scheme, message)
            sender = apprise.Apprise(asset=self._service.asset)
            sender.add(self._service)
            result = sender.notify(
                title=message.title,
                body=message.body,
                notify_type=apprise.NotifyType(message.kind),
                body_format=apprise.NotifyFormat.TEXT,
            )
        except Exception as error:
            # The text of an error of somebody else's code may hold the URL.
            return f"apprise failed with {type(error).__name__}"
        return None if result else explain(result)


def open_service(url: str) -> Any:
    """Return what apprise makes of a URL: None if it is none."""
    asset = apprise.AppriseAsset(
        app_id="ml-monitoring",
        app_desc="ml-monitoring",
        app_url="",
        async_mode=False,
        storage_mode=apprise.PersistentStoreMode.MEMORY,
        # Tries are counted and limited here, not there.
        default_service_retry=0,
        service_timeout=0,
        # Names of models and slices stand as they are: no :smile:, no \n.
        interpret_emojis=False,
        interpret_escapes=False,
    )
    service = apprise.Apprise.instantiate(url, asset=asset)
    if service is not None:
        asked = service.url_parameters()
        if "cto" not in asked:
            service.socket_connect_timeout = CONNECT_SECONDS
        if "rto" not in asked:
            service.socket_read_timeout = ANSWER_SECONDS
    return service


def dress(service: Any, scheme: str, message: Message) -> None:
    """Give a message its key, and its event, in the way that a service has for it."""
    if scheme in JSON_SCHEMES | FLAT_SCHEMES | MAIL_SCHEMES:
        service.headers[KEY_HEADER] = message.key
    if scheme in JSON_SCHEMES:
        service.payload_extras |= {"idempotency_key": message.key, "event": message.event}
    elif scheme in FLAT_SCHEMES:
        event = json.dumps(message.event)
        service.payload_extras |= {"idempotency_key": message.key, "event": event}
    elif scheme == "pagerduty" and message.channel != RETRAINING:
        # One PagerDuty incident for each time that it fires; `success` closes it.
        service.action = "map"
        service.dedup = f"{message.subject}-{message.event['ordinal']}"
    elif scheme == "pagerduty":
        service.action, service.dedup = "trigger", message.key


def explain(result: Any) -> str:
    """Say why apprise could not send, in words that hold nothing of the URL."""
    logs = [
        entry.message
        # Before apprise 2 there is a mere boolean.
        for sent in (result if isinstance(result, Iterable) else ())
        for attempt in sent.attempts
        for entry in attempt
    ]
    status = re.search(r"\berror[ =:]+([1-5]\d\d)\b", "\n".join(logs))
    return f"HTTP {status[1]}" if status else "no answer, or no connection"


def read_targets(environment: Mapping[str, str]) -> dict[str, list[Target]]:
    """Return the targets of each channel that has some, in the order in which they are named.

    Parameters
    ----------
    environment : mapping
        Such as ``os.environ``.
    """
    found = {}
    for channel, variable in VARIABLES.items():
        urls = f"{environment.get(variable, '')} {environment.get(VARIABLE, '')}".split()
        if urls:
            found[channel] = [Target.of(url) for url in dict.fromkeys(urls)]
    return found
