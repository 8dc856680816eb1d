"""Trunks over TLS: whose certificate is taken, and calls in and out over it."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from antiphon.sip import events as sip
from antiphon.sip.offer_answer import Srtp
from antiphon.telephony import LegMediaReceived, LegRejected
from support.certificates import make_certificate
from support.phone_platform import platform, trunk_to
from support.telephone import telephone

pytestmark = pytest.mark.needs("cryptography", "pylibsrtp")


@pytest.mark.parametrize(
    ("names", "trunk", "trusted", "reached"),
    [
        (("trunk.example",), {"tls_verify": False}, False, True),
        (("trunk.example",), {}, False, False),
        (("127.0.0.1",), {}, True, True),
        (("trunk.example",), {}, True, False),
        (("trunk.example",), {"tls_server_name": "trunk.example"}, True, True),
        (("trunk.example",), {"tls_server_name": "other.example"}, True, False),
    ],
)
def test_the_certificate_of_a_trunk_is_checked_as_it_says(
    names: tuple[str, ...],
    trunk: dict[str, Any],
    trusted: bool,
    reached: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run_clean: Any,
) -> None:
    certificate = make_certificate(tmp_path, *names)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.certificate))

    async def main() -> None:
        async with telephone(transport="TLS", tls=certificate.server_context(), srtp=Srtp.REQUIRED) as phone:
            document = trunk_to(phone.port, transport="tls", srtp="required", **trunk)
            async with platform(trunks=(document,)) as ours:
                room, leg = await ours.dial(document)
                if not reached:
                    assert (await ours.logs[room].until(LegRejected)).code == 503
                    return
                call = await phone.ringing()
                call.answer()
                await ours.logs[room].until(LegMediaReceived)
                assert call.agreed is not None
                assert call.agreed.send_key is not None
                await leg.hang_up(None, "agent_hangup")
                await call.until(sip.Ended)

    run_clean(main())


def test_a_trunk_that_was_made_a_moment_ago_is_called_as_it_says(tmp_path: Path, run_clean: Any) -> None:
    certificate = make_certificate(tmp_path, "trunk.example")

    async def main() -> None:
        async with telephone(transport="TLS", tls=certificate.server_context()) as phone, platform() as ours:
            room, leg = await ours.dial(trunk_to(phone.port, transport="tls", tls_verify=False))
            (await phone.ringing()).answer()
            await ours.logs[room].until(LegMediaReceived)
            await leg.hang_up(None, "agent_hangup")

    run_clean(main())


def test_a_caller_over_tls_is_answered_and_hung_up_over_it(tmp_path: Path, run_clean: Any) -> None:
    certificate = make_certificate(tmp_path, "127.0.0.1")

    def trusting(_host: str) -> ssl.SSLContext:
        return certificate.client_context()

    async def main() -> None:
        files = {"tls_cert": str(certificate.certificate), "tls_key": str(certificate.key)}
        ours_options: dict[str, Any] = {"transports": ("TLS",), "tls_port": 0, **files}
        phone_options: dict[str, Any] = {"tls": certificate.server_context(), "tls_context": trusting}
        async with (
            platform(**ours_options) as ours,
            telephone(transport="TLS", srtp=Srtp.OPTIONAL, **phone_options) as phone,
        ):
            call = await phone.dial("bank", ours.address)
            await call.until(sip.Answered)
            incoming = await ours.took()
            await ours.logs["room1"].until(LegMediaReceived)
            await incoming.leg.hang_up(None, "agent_hangup")
            await call.until(sip.Ended)

    run_clean(main())
