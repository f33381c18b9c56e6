"""The webhook message about a tick, as Slack-compatible JSON. The URL is a secret, read from the environment."""

from __future__ import annotations

import json
import os
from http.client import HTTPException
from typing import Any

from raytl.config.retrain import NotifyConfig
from raytl.events import Message, OnEvent
from raytl.retraining.ticks import Tick
from raytl.retraining.webhook import DEADLINE_S, post, url_error
from raytl.run.plain import for_people

_TITLES = {
    "promote": ":tada: version {version} is the new champion",
    "keep": "version {version} is not significantly better; version {champion} stays",
    "reject": ":no_entry: version {version} is rejected; version {champion} stays",
    "attention": ":eyes: needs your decision; the champion stays",
    "failure": ":rotating_light: the tick failed; the champion is unchanged",
}
_INTERRUPTED = ":rotating_light: the tick was interrupted; the next one resumes it"
_NOT_BEGUN = ":rotating_light: the tick could not begin; the next one tries again"


def webhook_payload(tick: Tick, name: str, registry: str) -> dict[str, Any]:
    """Return the message about a tick: `text` for the notification, `blocks` for the channel."""
    title = _title(tick)
    lines = "\n".join(f"• {_escaped(reason)}" for reason in tick.reasons)
    worse = tick.verdict.worse if tick.verdict is not None else ()
    more = f"\nworse: {_escaped('; '.join(worse[:3]))}" if worse else ""
    context = f"tick {tick.id} · {registry}"
    message = {
        "text": f"{name}: {title}",
        "blocks": [
            {
                "type": "section",
                "text": {"type": "mrkdwn", "text": f"*{_escaped(name)}*: {title}\n{lines}{more}"[:3000]},
            },
            {"type": "context", "elements": [{"type": "mrkdwn", "text": _escaped(context)}]},
        ],
    }
    masked: dict[str, Any] = for_people(message)
    return masked


def _title(tick: Tick) -> str:
    if tick.over:
        return _TITLES[tick.outcome].format(version=tick.version, champion=tick.champion)
    return _NOT_BEGUN if tick.decision is None else _INTERRUPTED


def notify(
    tick: Tick, name: str, registry: str, config: NotifyConfig, on_event: OnEvent, deadline_s: float = DEADLINE_S
) -> bool:
    """Send the webhook message, if one is configured for this outcome, and return whether it was sent; a failure is a warning.

    Returns within `deadline_s`, whatever the server does.
    """
    if config.webhook_env is None or tick.outcome not in config.on:
        return False
    error = _send(config.webhook_env, json.dumps(webhook_payload(tick, name, registry)).encode(), deadline_s)
    if error:
        on_event(Message(f"webhook message not sent: {error}", "warning"))
    return not error


def _send(variable: str, body: bytes, deadline_s: float) -> str:
    """Send `body` to the URL in `variable`; return the error without the URL, empty on success."""
    url = os.environ.get(variable, "")
    try:
        if reason := url_error(url):
            return f"{variable} {reason}"
        status = post(url, body, deadline_s)
    except TimeoutError:
        return f"the webhook of {variable} did not respond within {deadline_s:g} s"
    except (OSError, ValueError, HTTPException) as error:  # its text may contain the URL
        return f"the webhook of {variable} failed ({type(error).__name__})"
    return "" if 200 <= status < 300 else f"the webhook of {variable} returned status {status}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
