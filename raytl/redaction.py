"""Detect secrets in text by their shape: in URLs, in key=value pairs, and in the paths of webhooks.

Each rule yields spans of the text, which `masked` replaces by `***`. Overlapping spans are merged: masking too much is a
nuisance, masking too little is a leak.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from urllib.parse import quote, unquote

MASK = "***"
_MIN_LENGTH = 8
"""Shorter environment values are not masked: `true` and `1` are everywhere."""
Span = tuple[int, int]

_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SECRET = re.compile(
    r"\w*(token|secret|password|passwd|passphrase|signature|credential)s?|passw\w*"
    r"|(\w*[a-z])?pwd|(db|my|pg|ssh|user|admin|root|mail|smtp|redis|proxy)?pass"
    r"|(api|access|secret|private|account|auth|client|shared|master|service|signing|encryption|webhook)+keys?"
)
_SECRET_IN_A_QUERY = re.compile(r"keys?|sig|sign|hmac|[ox]?auth|authorization|bearer|jwt|sas|(web)?hooks?")
_HARMLESS_BEFORE_KEY = {
    "bucket", "cache", "foreign", "gpg", "max", "object", "partition", "primary", "public", "sort", "ssl", "tls",
}  # fmt: skip
"""`public_key`, `partition_key`, `ssl_key` (a file) and similar names hold no secret."""
_HARMLESS_SUFFIXES = {
    "algorithm", "count", "dir", "directory", "endpoint", "expires", "expiry", "file", "host", "length", "limit", "mechanism",
    "method", "mode", "path", "plugin", "size", "sock", "source", "ttl", "type", "version",
}  # fmt: skip
"""`password_file`, `auth_mechanism` and similar names describe a secret without holding it."""

_SHELL_DIRECTORIES = {"PWD", "OLDPWD"}
"""Every shell exports them, and the directories may no longer exist; in a URL, `PWD=` is a password."""

_SCHEME = re.compile(
    r"([a-z][\w.+-]{0,63})://|(?:^|(?<=[\s'\"=(\[,]))//"
    r"|(?<![\w.+-])(s3|gs|https?|ftps?|wss?|ray|redis|mongodb|mysql|postgresql):[/\\]{1,8}",
    re.IGNORECASE,
)
"""Some schemes also with one slash or with backslashes: path joins collapse slashes, and people mistype them."""
_HARD_END = re.compile(r"[\s'\"<>`]")
_PORTED = re.compile(r"[^:\[\]]*(:\d{0,5})?|\[[^\]]*\](:\d{0,5})?")
_HOST_BEHIND = re.compile(r"(\[[\da-f:.]+\]|[\w.-]+):\d+([/?#]|$)|localhost\b|(\d{1,3}\.){3}\d{1,3}\b", re.IGNORECASE)
_PORT_SCHEMES = {"http", "https", "ws", "wss", "ftp", "ftps", "ray"}
_ROLE_SCHEMES = {
    "abfs", "abfss", "cockroachdb", "git", "hdfs", "mariadb", "mssql", "mysql", "oracle", "postgres", "postgresql", "rsync",
    "scp", "sftp", "ssh", "wasb", "wasbs",
}  # fmt: skip
"""Schemes whose name before the `@` is a role or a container; in others it may be a token."""
_ROLE = re.compile(r"[a-z][\w.$-]{0,31}", re.IGNORECASE)
_NAME = re.compile(r"[a-z][a-z.-]{0,15}", re.IGNORECASE)
_WITHOUT_SCHEME = re.compile(
    r"(?<![\w/@:.+-])(?!models:)[\w.+-]{1,64}:(?!//)(\S{1,512})@(?!sha\d+:)(?=([\w.-]+|\[[\da-fA-F:.]+\]):\d)"
)
_MAX_USERINFO = 2048
"""The maximum search length for the end of a userinfo, so that time is linear in the length of the text."""

_KEY = r"(?P<key>[\w.%\[\]-]{1,64})"
_VALUE = (
    r"""(?:\\?(?P<quote>["'])(?P<quoted>.{0,1024}?)\\?(?P=quote)"""
    r"""|(?P<plain>(?:(?![;&#][\w.%-]{1,64}=|[;&#]?['"`)\]},:]{0,8}(?:[\s<>"]|$)|[;&#]$).)+))"""
)
_QUERY = re.compile(r"(?:[?&;#]|\\u0026)" + _KEY + "=" + _VALUE)
_PAIR = re.compile(r"(?:^|(?<=[\s'\"`(\[{,;|]))-{0,2}" + _KEY + r"\s{0,8}=\s{0,8}(?!=)" + _VALUE)
_MEMBER = re.compile(r"(['\"])" + _KEY + r"\1\s{0,8}:\s{0,8}b?" + _VALUE)
_PLACEHOLDER = re.compile(r"%s|\$\{\w+\}?|\{+[\w. ]*\}*")
"""Template placeholders."""
_HEADER = re.compile(
    r"(?i:authorization)['\"]?\s{0,8}[:=]\s{0,8}['\"]?(?:\w+\s+)?([^\s'\"]+)|(?i:bearer)\s+(?=\D{0,512}\d)([\w.~+/=-]{8,})"
)

_TOKEN = re.compile(
    r"(?<![A-Za-z0-9-])(?:gh[opsur]_[A-Za-z0-9]{36,255}|github_pat_\w{36,255}|glpat-[\w-]{20,255}|hf_[A-Za-z0-9]{30,255}"
    r"|xox[a-z]-[\w-]{20,255}|sk-(?:ant-|proj-)[\w-]{20,512}|AIza[\w-]{35}(?![\w-])"
    r"|eyJ[\w-]{8,4096}\.eyJ[\w-]{8,4096}\.[\w-]{8,4096})"
    r"|(?<=PRIVATE KEY-----)(?s:.+?)(?=-----END|\Z)"
)
"""Tokens with a recognizable prefix, JSON web tokens, and private keys."""

_ID = r"([^\s'\"<>?#&)\]},]+)"
_WEBHOOK = re.compile(
    r"(?:\b(?:"
    r"hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/"
    r"|discord(?:app)?\.com/api/(?:v\d+/)?webhooks/"
    r"|webhook\.office(?:365)?\.com/(?:webhookb?\d*/)?"
    r"|outlook\.office(?:365)?\.com/webhookb?\d*/"
    r"|logic\.azure\.com(?::\d+)?/workflows/"
    r"|api\.telegram\.org/(?:file/)?bot"
    r"|maker\.ifttt\.com/trigger/\S{1,256}?/with/key/"
    r"|open\.(?:feishu\.cn|larksuite\.com)/open-apis/bot/(?:v2/)?hook/"
    r"|events\.pagerduty\.com/integration/"
    r"|https?://[^\s/?#]{1,256}/(?:[^\s?#]{0,256}?/)??(?:incoming-?)?(?:web)?hooks?(?:b2)?/"
    r")|/services/(?=(?-i:T[A-Z\d]{1,64}/B[A-Z\d]{1,64}/\w))|/bot(?=\d{5,20}:[\w-]{16}))" + _ID,
    re.IGNORECASE,
)
"""Webhooks, whose path is the secret: those of known services, and paths of the same form."""
_MAY_BE_WEBHOOK = re.compile(r"hook|/services/|/workflows/|/bot|/with/|/integration/", re.IGNORECASE)
"""A fast pre-check: most texts without a webhook lack these words."""


def masked(text: str, values: Iterable[str] = ()) -> str:
    """Return `text` with every secret replaced by `***`: those detected by shape, and `values`."""
    result, last = [], 0
    for start, end in _merged([*_spans(text), *_occurrences(text, tuple(values))]):
        result += [text[last:start], MASK]
        last = end
    return "".join([*result, text[last:]])


def is_secret_name(name: str, in_a_query: bool = True) -> bool:
    """Return True if a query key, variable or setting of this name holds a secret: `X-Goog-Signature`, `access_token`.

    Ambiguous words such as `key` count only with `in_a_query`.
    """
    words = [word.lower() for word in _PARTS.findall(unquote(name))]
    if not words or words[-1] in _HARMLESS_SUFFIXES:
        return False
    if any(_SECRET.fullmatch(word) or _SECRET.fullmatch(pair) for word, pair in _with_next(words)):
        return True
    harmless_key = any(word in _HARMLESS_BEFORE_KEY for word in words)
    secret_words = {word for word in words if _SECRET_IN_A_QUERY.fullmatch(word)}
    return in_a_query and bool(secret_words - ({"key", "keys"} if harmless_key else set()))


def is_secret_variable(name: str, value: str) -> bool:
    """Return True if an environment variable holds a secret; the path of an existing file does not."""
    if not value or name in _SHELL_DIRECTORIES:
        return False
    return is_secret_name(name) and not os.path.lexists(value)


def secret_values(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the texts to mask of an environment: the values of its secret variables, and the secrets in others."""
    secrets: set[str] = set()
    for name, value in environment.items():
        secrets |= {value} if is_secret_variable(name, value) else {value[start:end] for start, end in _spans(value)}
    long = [part for value in secrets for part in (value, *value.splitlines()) if len(part.strip()) >= _MIN_LENGTH]
    return tuple({spelling for part in long for spelling in _spellings(part)})


def _spellings(value: str) -> Iterator[str]:
    yield from (value, value.strip(), unquote(value), quote(value, safe=""), repr(value)[1:-1])


def _with_next(words: list[str]) -> Iterator[tuple[str, str]]:
    """Return each word, alone and joined with the next one: `api`, `apikey`."""
    return ((word, word + after) for word, after in zip(words, [*words[1:], ""], strict=True))


def _merged(spans: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if start >= end:
            continue
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _occurrences(text: str, values: tuple[str, ...]) -> Iterator[Span]:
    return (match.span() for match in _any_of(values).finditer(text)) if values else iter(())


@lru_cache(maxsize=8)
def _any_of(values: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, sorted(filter(None, values), key=len, reverse=True))))


def _spans(text: str, nested: bool = True) -> Iterator[Span]:
    """Yield the spans of `text` that have the shape of a secret."""
    if "//" in text or ":/" in text or ":\\" in text:
        for match in _SCHEME.finditer(text):
            yield from _userinfo((match[1] or match[2] or "").lower(), text, match.end())
    if "@" in text:
        yield from (match.span(1) for match in _WITHOUT_SCHEME.finditer(text))
    if "=" in text or ":" in text:
        yield from _pairs(text, nested)
    yield from (match.span() for match in _TOKEN.finditer(text))
    if _MAY_BE_WEBHOOK.search(text):
        yield from (match.span(1) for match in _WEBHOOK.finditer(text))


def _pairs(text: str, nested: bool) -> Iterator[Span]:
    for pattern, in_a_query in ((_QUERY, True), (_PAIR, False), (_MEMBER, False)):
        for match in pattern.finditer(text):
            group = "quoted" if match["quoted"] is not None else "plain"
            if _PLACEHOLDER.fullmatch(match[group]):
                continue
            inside = unquote(match[group])
            holds_one = nested and in_a_query and inside != match[group] and any(_spans(inside, nested=False))
            if holds_one or is_secret_name(match["key"], in_a_query):
                yield match.span(group)
    for match in _HEADER.finditer(text):
        if not _PLACEHOLDER.fullmatch(match[match.lastindex or 0]):
            yield match.span(match.lastindex or 0)


def _userinfo(scheme: str, text: str, start: int) -> Iterator[Span]:
    """Yield the secret parts of the userinfo of the URI whose authority begins at `start`."""
    line = text[start : start + _MAX_USERINFO].split("\n", maxsplit=1)[0]
    word = _HARD_END.split(line, maxsplit=1)[0]
    head = re.split(r"[/?#]", word, maxsplit=1)[0]
    if "@" in head:
        user, colon, password = head.rpartition("@")[0].partition(":")
        length = word.rfind("@") if password else len(user)
    else:
        user, colon, _ = head.partition(":")
        length = _length_of_odd_userinfo(scheme, head, word, line)
        password = "" if length < 0 else word
    if password:
        yield start + len(user + colon), start + length
    elif length < 0 or not scheme or (_takes_roles(scheme) and _ROLE.fullmatch(user)):
        return
    public = _ROLE if _takes_roles(scheme) else _NAME
    if not password or not public.fullmatch(user):
        yield start, start + len(user)


def _length_of_odd_userinfo(scheme: str, head: str, word: str, line: str) -> int:
    """Return the length of a userinfo whose password holds unescaped `/`, `?`, `#`, quotes or spaces; -1 if there is none.

    Such an authority, cut at the first `/`, is not a host: no port follows its colon.
    """
    if ":" not in head:
        return -1
    if not _PORTED.fullmatch(head):
        run = line.split(maxsplit=1)[0] if line[:1].strip() else ""
        return next((place for part in (word, run, line) if (place := part.rfind("@")) >= 0), -1)
    place = word.rfind("@")
    is_path = scheme == "file" or (
        scheme in _PORT_SCHEMES and not head.endswith(":") and not _HOST_BEHIND.match(word[place + 1 :])
    )
    return -1 if is_path else place


def _takes_roles(scheme: str) -> bool:
    return scheme.endswith("+ssh") or (
        scheme.partition("+")[0] in _ROLE_SCHEMES and not scheme.endswith(("http", "https"))
    )
