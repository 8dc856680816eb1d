"""Takes secrets out of log records, whoever wrote them.

What is taken for a secret: values beside a telling name (`api_key=…`, `"password": "…"`, `Authorization: …`), credentials in
addresses, keys of a known shape, long random words, and the values of this process's own secret environment variables. A
word too many is hidden rather than a key shown.
"""

from __future__ import annotations

import logging
import os
import re
import traceback
from collections.abc import Iterable, Mapping
from typing import Any

from ..models.errors import describe

HIDDEN = "[redacted]"

_NAMES = (
    r"api[-_ ]?keys?|apikey|x[-_]api[-_]key|access[-_]?keys?|account[-_]?keys?|secret[-_]?keys?|private[-_]?keys?|"
    r"signing[-_]?keys?|encryption[-_]?keys?|client[-_]?secret|secrets?|pass[-_]?words?|passwd|passphrase|pwd|"
    r"(?:access|refresh|auth|id|bearer|session|bot|api|csrf)?[-_]?token|authorization|proxy[-_]?authorization|"
    r"cookies?|set[-_]cookie|credentials?|webhook[-_]signature|signature|sig|sas|a1hash|nonce"
)
# The name of a field or variable that holds a secret: a word above, alone or at the end of a longer name. What a model or a
# stage calls a token is none.
_SECRET_NAME = re.compile(rf"(?:.*[^a-z0-9])?(?:{_NAMES})")
_HARMLESS_NAME = re.compile(r".*(?:first|last|max|min|per|prompt|completion|next|stop)[-_ ]tokens?")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
        ),
        HIDDEN,
    ),
    # user:password@ in an address; the second form has a password with unescaped slashes, which is no port.
    (re.compile(r"(?<=://)[^\s/?#\"'<>]*@"), HIDDEN + "@"),
    (re.compile(r"(?<=://)[^\s/:@\"'<>]+:(?!\d{1,5}(?:[/?#\s]|$))[^\s\"'<>]*@"), HIDDEN + "@"),
    (re.compile(r"(?i)\b(sips?:[^\s:@<>]+):[^\s@<>]+@"), rf"\1:{HIDDEN}@"),
    (
        re.compile(
            r"(?i)\b(bearer|basic|digest|token|apikey|negotiate)(\s+)(?!realm|error)[A-Za-z0-9._~+/=:-]{6,}"
        ),
        rf"\1\2{HIDDEN}",
    ),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)*"), HIDDEN),
    (
        re.compile(
            r"\b(?:(?:sk|pk|rk|ak|gsk|xai|pplx|hf|r8|dg|el|nvapi|csk|fw)[-_](?=[A-Za-z0-9_-]{8})|whsec_|xox[a-z]-|gh[pousr]_|github_pat_|"
            r"glpat-|AIza|ya29\.|AKIA|ASIA|SG\.|shpat_)[A-Za-z0-9._/+=-]{6,}"
        ),
        HIDDEN,
    ),
    # A random word: long, of small and capital letters and digits. Identifiers of ours have no capitals.
    (
        re.compile(
            r"(?<![A-Za-z0-9+=_-])(?=[A-Za-z0-9+_-]{0,80}[a-z])(?=[A-Za-z0-9+_-]{0,80}[A-Z])(?=[A-Za-z0-9+_-]{0,80}[0-9])"
            r"[A-Za-z0-9+_-]{40,}={0,2}"
        ),
        HIDDEN,
    ),
)

# name=value, name: value, "name": "value", 'name': b'value', and JSON within JSON. The value is quoted, or goes on to the
# next separator.
_NAME = re.compile(r"""(?<![A-Za-z0-9_.-])([A-Za-z0-9_.-]{1,80})\\?["']?\s{0,3}(?:=>?|:)\s{0,3}""")
_VALUE = re.compile(
    r"""\\"(?:[^"\\]|\\[^"])*(?:\\"|\Z)|b?(?:"(?:[^"\\]|\\.)*(?:"|\Z))+|b?(?:'(?:[^'\\]|\\.)*(?:'|\Z))+|[^\s,;&)\]}"'\\]+""",
    re.DOTALL,
)
_NO_SECRETS = {"bearer", "basic", "digest", "token", "none", "null", "true", "false"}
_SHORTEST_KNOWN = 8


class _KnownSecrets:
    """The values of the environment variables that are named like secrets."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        values = {
            part
            for name, value in environment.items()
            if is_secret_name(name) or name.upper().endswith("_KEY")
            for part in (value, *value.split(","))
            if len(part) >= _SHORTEST_KNOWN
        }
        words = "|".join(re.escape(value) for value in sorted(values, key=len, reverse=True))
        self._pattern = re.compile(words) if words else None

    def hide(self, text: str) -> str:
        return self._pattern.sub(HIDDEN, text) if self._pattern else text


def is_secret_name(name: str) -> bool:
    """Whether a field or variable of this name holds a secret."""
    name = _CAMEL.sub("_", name).lower()
    return bool(_SECRET_NAME.fullmatch(name)) and not _HARMLESS_NAME.fullmatch(name)


def redact(text: str) -> str:
    """`text` without what looks like a secret."""
    text = _without_named(text)
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def _without_named(text: str) -> str:
    """`text` without the values that stand beside the name of a secret."""
    parts, done = [], 0
    for found in _NAME.finditer(text):
        if found.start() < done or not is_secret_name(found[1]):
            continue
        value = _VALUE.match(text, found.end())
        # What follows a scheme is hidden by a rule of its own.
        if value is None or value[0].lower() in _NO_SECRETS:
            continue
        parts += [text[done : found.end()], HIDDEN]
        done = value.end()
    return "".join((*parts, text[done:]))


def redacted_value(value: Any, depth: int = 0) -> Any:
    """A field's value without secrets, in dicts and lists too."""
    match value:
        case None | bool() | int() | float():
            return value
        case Mapping() if depth < 8:
            return {
                str(key): HIDDEN if is_secret_name(str(key)) and item else redacted_value(item, depth + 1)
                for key, item in value.items()
            }
        case list() | tuple() | set() | frozenset() if depth < 8:
            return [redacted_value(item, depth + 1) for item in value]
        case bytes():
            return redact(value.decode("utf-8", "replace"))
        case _:
            return redact(str(value))


class Redaction(logging.Filter):
    """Rewrites records: message, fields and exception lose what looks like a secret.

    An exception's own words may quote what a caller said, since code that handles words fails with words. So records of a
    call show them above level DEBUG for our own errors and the system's only; where others were raised is always shown.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        super().__init__()
        self._known = _KnownSecrets(environment)

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self._clean(_message_of(record)), None
        fields: Mapping[str, Any] = getattr(record, "fields", {})
        record.fields = {
            name: HIDDEN if is_secret_name(name) and value else self._clean_value(redacted_value(value))
            for name, value in fields.items()
        }
        if record.exc_info and record.exc_info[1] is not None:
            quoting = not ({"call_id", "job"} & fields.keys()) or logging.getLogger(record.name).isEnabledFor(
                logging.DEBUG
            )
            record.exc_text = self._clean("\n".join(_exception_lines(record.exc_info[1], quoting)))
        elif record.exc_text:
            record.exc_text = self._clean(record.exc_text)
        if record.stack_info:
            record.stack_info = self._clean(record.stack_info)
        return True

    def _clean(self, text: str) -> str:
        return redact(self._known.hide(text))

    def _clean_value(self, value: Any) -> Any:
        match value:
            case str():
                return self._known.hide(value)
            case dict():
                return {key: self._clean_value(item) for key, item in value.items()}
            case list():
                return [self._clean_value(item) for item in value]
            case _:
                return value


def _message_of(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:
        # The writer's mistake must not cost the record.
        return f"{record.msg} (with arguments that do not fit it: {type(error).__name__})"


def _exception_lines(
    error: BaseException, quoting: bool, seen: frozenset[int] = frozenset()
) -> Iterable[str]:
    """A traceback with all its causes; `quoting` includes every error's own words."""
    if quoting:
        yield "".join(traceback.format_exception(error)).rstrip()
        return
    seen |= {id(error)}
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and id(cause) not in seen:
        yield from _exception_lines(cause, quoting, seen)
        yield "\nwhich led to:\n"
    if error.__traceback__ is not None:
        yield "Traceback (most recent call last):"
        yield "".join(traceback.format_tb(error.__traceback__)).rstrip()
    kind = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    if (words := describe(error)) != kind:
        yield f"{kind}: {words}"
    else:
        yield f"{kind} (its words are shown at level debug, as they may quote the conversation)"
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _exception_lines(part, quoting, seen)
