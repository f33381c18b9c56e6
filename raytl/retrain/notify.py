"""Who is told: a webhook, in the shape that Slack and its like take. Its address is a secret, read from the environment."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from typing import Any

from raytl.config.retrain import NotifyConfig
from raytl.events import Message, OnEvent
from raytl.retrain.ticks import Tick
from raytl.shown import redacted

_TIMEOUT_S = 15.0
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
    lines = "\n".join(f"• {_escaped(redacted(reason))}" for reason in tick.reasons)
    worse = tick.verdict.worse if tick.verdict is not None else ()
    more = f"\nworse: {_escaped('; '.join(worse[:3]))}" if worse else ""
    context = f"tick {tick.id} · {registry}"
    return {
        "text": f"{name}: {title}",
        "blocks": [
            {
                "type": "section",
                "text": {"type": "mrkdwn", "text": f"*{_escaped(name)}*: {title}\n{lines}{more}"[:3000]},
            },
            {"type": "context", "elements": [{"type": "mrkdwn", "text": _escaped(context)}]},
        ],
    }


def notify(tick: Tick, name: str, registry: str, config: NotifyConfig, on_event: OnEvent) -> bool:
    """Tell the webhook, if there is one and it is to be told of such an outcome; what goes wrong is a warning, no error."""
    if config.webhook_env is None or tick.outcome not in config.on:
        return False
    url = os.environ.get(config.webhook_env, "")
    if not url.startswith(("http://", "https://")):
        on_event(Message(f"nobody was told: {config.webhook_env} holds no http(s) URL", "warning"))
        return False
    body = json.dumps(told(tick, name, registry)).encode()
    try:
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method="POST")
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S):
            return True
    except urllib.error.HTTPError as error:
        on_event(Message(f"nobody was told: the webhook of {config.webhook_env} answered {error.code}", "warning"))
    except (OSError, ValueError) as error:  # its text may hold the address
        on_event(
            Message(f"nobody was told: the webhook of {config.webhook_env} failed ({type(error).__name__})", "warning")
        )
    return False


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
