"""Who is told: a webhook, in the shape that Slack and its like take. Its address is a secret, read from the environment."""

from __future__ import annotations

import json
import os
from http.client import HTTPException
from typing import Any

from raytl.config.retrain import NotifyConfig
from raytl.events import Message, OnEvent
from raytl.retrain.ticks import Tick
from raytl.retrain.webhook import DEADLINE_S, post, unfit
from raytl.run.plain import for_people

_TITLES = {
    "promote": ":tada: version {version} is the new champion",
    "keep": "version {version} is not shown to be better; version {champion} stays",
    "reject": ":no_entry: version {version} is rejected; version {champion} stays",
    "attention": ":eyes: somebody should look; the champion stays",
    "failure": ":rotating_light: the tick failed; the champion is as it was",
}
_STOPPED = ":rotating_light: the tick was stopped; the next one goes on from here"


def told(tick: Tick, name: str, registry: str) -> dict[str, Any]:
    """The message about a tick: `text` for the notification, `blocks` for the channel."""
    title = _TITLES[tick.outcome].format(version=tick.version, champion=tick.champion) if tick.over else _STOPPED
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


def notify(
    tick: Tick, name: str, registry: str, config: NotifyConfig, on_event: OnEvent, deadline_s: float = DEADLINE_S
) -> bool:
    """Tell the webhook, if there is one and it is to be told of such an outcome; what goes wrong is a warning, no error.

    Returns within `deadline_s`, whatever the other side does.
    """
    if config.webhook_env is None or tick.outcome not in config.on:
        return False
    fault = _fault(config.webhook_env, json.dumps(told(tick, name, registry)).encode(), deadline_s)
    if fault:
        on_event(Message(f"no message was sent: {fault}", "warning"))
    return not fault


def _fault(variable: str, body: bytes, deadline_s: float) -> str:
    """Send `body` to the address that `variable` holds; return what went wrong, without the address."""
    url = os.environ.get(variable, "")
    try:
        if fault := unfit(url):
            return f"{variable} {fault}"
        status = post(url, body, deadline_s)
    except TimeoutError:
        return f"the webhook of {variable} was not done within {deadline_s:g} s"
    except (OSError, ValueError, HTTPException) as error:  # its text may hold the address
        return f"the webhook of {variable} failed ({type(error).__name__})"
    return "" if 200 <= status < 300 else f"the webhook of {variable} answered {status}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
