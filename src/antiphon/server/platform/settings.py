"""All settings of `antiphon serve`. docs/serve.md describes each; `settings_sources` says where their values come from."""

from __future__ import annotations

import ipaddress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from ...store.address import DEFAULT as DEFAULT_STORE


class Role(StrEnum):
    """What a process of the platform does; see docs/serve.md."""

    API = "api"
    WORKER = "worker"
    DISPATCHER = "dispatcher"
    SUPERVISOR = "supervisor"


class Sensitive:
    """Marks a setting whose value is never shown."""


class Variable:
    """Names the environment variable of a setting, where it is not made of the setting's own name."""

    def __init__(self, name: str) -> None:
        self.name = name


class Section(BaseModel):
    """A table of the settings file: an unknown name is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)


def _check_networks(networks: tuple[str, ...]) -> tuple[str, ...]:
    for network in networks:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            raise ValueError(f"{error}; write networks as 10.20.0.0/16 or one address as 10.20.0.7") from None
    return networks


def _each_once(roles: tuple[Role, ...]) -> tuple[Role, ...]:
    return tuple(role for role in Role if role in roles)


Days = Annotated[float, Field(gt=0)]
Port = Annotated[int, Field(ge=0, le=65535)]


class LogSettings(Section):
    """Where log records go: standard error."""

    level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    format: Literal["text", "json"] = "text"


class HttpSettings(Section):
    """The HTTP server: REST interface, page, tokens and WebRTC offers."""

    host: str = "127.0.0.1"
    port: Port = 8080
    health_port: Port | None = None
    public_url: Annotated[str, Field(pattern=r"^(https?://[^\s/]+(/\S*)?)?$")] = ""
    tls: Literal["auto", "on", "off"] = "auto"
    tls_cert: Path | None = None
    tls_key: Path | None = None

    @model_validator(mode="after")
    def _certificate_and_key(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            missing = "tls_key" if self.tls_cert else "tls_cert"
            raise ValueError(f"{missing} is missing: a certificate and its private key go together")
        return self


class TokenSettings(Section):
    """Tokens for one call from a browser."""

    api_key: Annotated[str, Variable("ANTIPHON_API_KEY"), Field(min_length=1)] = "antiphon"
    api_secret: Annotated[str, Sensitive(), Variable("ANTIPHON_API_SECRET")] = ""
    lifetime_seconds: Annotated[float, Field(ge=10, le=86_400)] = 600.0
    per_minute: Annotated[float, Field(gt=0)] = 60.0
    burst: Annotated[int, Field(ge=1)] = 30


class WebSettings(Section):
    """Browsers."""

    ice_servers: Annotated[list[dict[str, Any]], Sensitive(), Variable("ANTIPHON_ICE_SERVERS")] = Field(
        default_factory=list
    )


class CallSettings(Section):
    """Calls that this process runs."""

    max_concurrent: Annotated[int, Field(ge=1)] = 100
    max_here: Annotated[int, Field(ge=1)] = 100
    lease_seconds: Annotated[float, Field(ge=3, le=600)] = 15.0
    sounds: Path | None = None
    turn_detector: Annotated[Path | None, Variable("ANTIPHON_TURN_DETECTOR")] = None


class SipSettings(Section):
    """Telephones: SIP and the audio of its calls."""

    enabled: bool = False
    optional: bool = False
    host: str = "127.0.0.1"
    port: Port = 5060
    transports: Annotated[tuple[Literal["udp", "tcp", "tls"], ...], Field(min_length=1)] = ("udp", "tcp")
    tls_port: Port = 5061
    tls_cert: Path | None = None
    tls_key: Path | None = None
    advertised_host: str = ""
    media_host: str = ""
    advertised_media_host: str = ""
    rtp_first: Annotated[int, Field(ge=1024, le=65534)] = 10000
    rtp_last: Annotated[int, Field(ge=1025, le=65535)] = 19999
    media_processes: Annotated[int, Field(ge=1, le=64)] = 1
    open_to: Annotated[tuple[str, ...], AfterValidator(_check_networks)] = ("127.0.0.0/8", "::1/128")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if "tls" in self.transports and (self.tls_cert is None or self.tls_key is None):
            raise ValueError("tls_cert and tls_key are needed for the transport tls")
        if self.rtp_first >= self.rtp_last:
            raise ValueError("rtp_last must be above rtp_first")
        return self


class RecordingSettings(Section):
    """Recordings of calls."""

    folder: Path | None = None
    url: str = ""
    options: Annotated[dict[str, Any], Sensitive()] = Field(default_factory=dict)


class WebhookSettings(Section):
    """Requests to addresses that assistants name: webhooks, webhook tools, context lookups."""

    allowed_networks: Annotated[tuple[str, ...], AfterValidator(_check_networks)] = ()


class RetentionSettings(Section):
    """For how many days what is over is kept; what is not given is kept for ever."""

    calls_days: Days | None = None
    recordings_days: Days | None = None
    webhook_deliveries_days: Days | None = 30.0


class TracingSettings(Section):
    """OpenTelemetry traces."""

    endpoint: str = ""


def without_password(address: str) -> str:
    """The address of a store as it may be shown."""
    scheme, separator, rest = address.partition("://")
    _, at, host = rest.rpartition("@")
    return f"{scheme}{separator}{'***@' if at else ''}{host}" if separator else address


class PlatformSettings(Section):
    """Settings of one process of the platform."""

    store: str = DEFAULT_STORE
    roles: Annotated[tuple[Role, ...], Field(min_length=1), AfterValidator(_each_once)] = tuple(Role)
    drain_seconds: Annotated[float, Field(ge=0, le=86_400)] = 30.0
    log: LogSettings = LogSettings()
    http: HttpSettings = HttpSettings()
    tokens: TokenSettings = TokenSettings()
    web: WebSettings = WebSettings()
    calls: CallSettings = CallSettings()
    sip: SipSettings = SipSettings()
    recordings: RecordingSettings = RecordingSettings()
    webhooks: WebhookSettings = WebhookSettings()
    retention: RetentionSettings = RetentionSettings()
    tracing: TracingSettings = TracingSettings()
