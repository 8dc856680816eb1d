"""The pieces that every header field is made of: tokens, quoted strings, lists and parameters.

Source: RFC 3261 section 25.1. Text is what the octets decode to as UTF-8 with `surrogateescape`, so that nothing is lost on
the way in and out. Everything here takes linear time.
"""

from __future__ import annotations

import re

from .errors import FieldError, UnsafeValue

Params = dict[str, str | None]

_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+\Z")
_HOSTNAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_\-]*)(?:\.[A-Za-z0-9_\-]+)*\.?\Z")
_IPV6 = re.compile(r"\[[0-9A-Fa-f:.]{2,45}(?:%[A-Za-z0-9]+)?\]\Z")
_SPECIAL = re.compile(r'["<>\\]')
_UNSAFE = re.compile("[\r\n\0]")
_QUOTE = re.compile(r'(["\\])')
_UNQUOTE = re.compile(r"\\(.)", re.DOTALL)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"\Z', re.DOTALL)
LWS = " \t"


def is_token(text: str) -> bool:
    """Whether `text` is a token."""
    return _TOKEN.match(text) is not None


def is_host(text: str) -> bool:
    """Whether `text` is a host name, an IPv4 address or a bracketed IPv6 reference; `_` is let through."""
    return len(text) <= 255 and (_HOSTNAME.match(text) is not None or _IPV6.match(text) is not None)


def check_safe(text: str, what: str) -> str:
    """Return `text`.

    Raises:
        UnsafeValue: it contains CR, LF or NUL, which would let whoever supplied it write header fields of their own.
    """
    if _UNSAFE.search(text):
        raise UnsafeValue(f"{what} contains a line break or NUL: {text!r}. Remove it.")
    return text


def parse_number(text: str, what: str, limit: int) -> int:
    """A decimal number from 0 to `limit`.

    Raises:
        FieldError: anything else.
    """
    text = text.strip(LWS)
    if not (text.isascii() and text.isdigit()) or len(text) > 32:
        raise FieldError(f"{what} is not a number")
    number = int(text)
    if number > limit:
        raise FieldError(f"{what} is larger than {limit}")
    return number


def quote(text: str) -> str:
    """`text` as a quoted string."""
    return '"' + _QUOTE.sub(r"\\\1", text) + '"'


def unquote(text: str) -> str:
    """The text of a quoted string; of anything else, itself."""
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return _UNQUOTE.sub(r"\1", text[1:-1])
    return text


def is_quoted(text: str) -> bool:
    """Whether `text` is one quoted string from end to end."""
    return _QUOTED.match(text) is not None


def split(text: str, separator: str) -> list[str]:
    """Split at each `separator` that stands outside quoted strings and angle brackets; parts are stripped.

    Raises:
        FieldError: a quote or bracket is not closed.
    """
    if _SPECIAL.search(text) is None:
        return [part.strip(LWS) for part in text.split(separator)]
    parts: list[str] = []
    start, quoted, bracketed, position = 0, False, False, 0
    while position < len(text):
        char = text[position]
        if quoted:
            if char == "\\":
                position += 1
            elif char == '"':
                quoted = False
        elif char == '"' and not bracketed:
            quoted = True
        elif char == "<" and not bracketed:
            bracketed = True
        elif char == ">" and bracketed:
            bracketed = False
        elif char == separator and not bracketed:
            parts.append(text[start:position].strip(LWS))
            start = position + 1
        position += 1
    if quoted or bracketed:
        raise FieldError("a quoted string or angle bracket is not closed")
    parts.append(text[start:].strip(LWS))
    return parts


def parse_params(parts: list[str], what: str) -> Params:
    """Parameters `name`, `name=value` or `name="value"`, already split; names in lower case, values as written.

    Raises:
        FieldError: a parameter has no name or is no name and value.
    """
    params: Params = {}
    for part in parts:
        name, equals, value = part.partition("=")
        name, value = name.rstrip(LWS), value.lstrip(LWS)
        if not is_token(name):
            raise FieldError(f"{what} has a parameter without a proper name")
        if equals and not value:
            raise FieldError(f"{what} has a parameter without a value")
        if "\0" in value or (any(char in value for char in ' \t"<>') and not is_quoted(value)):
            raise FieldError(f"{what} has a parameter whose value is malformed")
        params.setdefault(name.lower(), value if equals else None)
    return params


def format_params(params: Params) -> str:
    """`;name=value` for each."""
    return "".join(f";{name}" if value is None else f";{name}={value}" for name, value in params.items())


def parse_host_port(text: str, what: str) -> tuple[str, int | None]:
    """A host with an optional port.

    Raises:
        FieldError: either is malformed.
    """
    text = text.strip(LWS)
    if text.startswith("["):
        host, bracket, rest = text.partition("]")
        host += bracket
    else:
        host, colon, port_text = text.partition(":")
        rest = colon + port_text
    host, rest = host.rstrip(LWS), rest.strip(LWS)
    if not is_host(host):
        raise FieldError(f"{what} has a malformed host")
    if not rest:
        return host, None
    if rest[0] != ":":
        raise FieldError(f"{what} has a malformed host")
    return host, parse_number(rest[1:], f"the port of {what}", 65535)
