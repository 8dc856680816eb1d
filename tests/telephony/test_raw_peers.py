"""Peers that write their messages themselves, against the whole service: what carriers, telephones and testers send."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiphon.sip.message import Request, Response, parse_message
from antiphon.telephony import LegAnswered, LegEnded, LegRejected
from support.phone_platform import Platform, eventually, platform, ring_only, trunk_to
from support.raw_peer import HOST, RawPeer, raw_peer
from support.sip_wire import Caller, Wire, respond

HANG_UP = (None, "agent_hangup")


async def hung_up(peer: RawPeer) -> None:
    peer.send("BYE")
    assert (await peer.response()).status == 200


def finals(peer: RawPeer) -> list[tuple[int, str]]:
    """The final responses that came, each once, and what they answer."""
    found = [(m.status, str(m.cseq)) for m in peer.received if isinstance(m, Response) and m.status >= 200]
    return list(dict.fromkeys(found))


async def dialled(ours: Platform, peer: RawPeer) -> tuple[str, Any, Request]:
    """A call of ours to the peer, and its INVITE."""
    room, leg = await ours.dial(trunk_to(peer.port))
    peer.to = ours.address
    return room, leg, await peer.request("INVITE")


# -- calls that come in ---------------------------------------------------------------------------------------------------------


def test_a_telephone_that_writes_in_every_way_the_grammar_allows(run_clean: Any) -> None:
    """RFC 3261 sections 7.3.1 and 7.3.3: folded lines, compact names, odd case and spaces."""

    async def main() -> None:
        async with platform() as ours, raw_peer(ours.address) as peer:
            body = peer.sdp()
            head = (
                f"INVITE sip:bank@{HOST} SIP/2.0\r\nv: SIP/2.0/UDP\r\n {peer.address}\r\n ;branch=z9hG4bKfold ;\r\n\trport\r\n"
                'f: "A\r\n  B" <sip:peer@example.com>\r\n ;tag=q\r\n'
                f"t: <sip:bank@{HOST}>\r\ni: folded\r\nCSeq: 1\r\n INVITE\r\nm: <sip:peer@{peer.address}>\r\n"
                "max-forwards:70\r\nk: timer,\r\n 100rel\r\nx: 1800;refresher=uac\r\ns:\r\n  hello\r\n there\r\n"
                f"c: application/sdp\r\nl: {len(body)}\r\n\r\n"
            )
            peer.raw(head.encode() + body)
            answer = await peer.response()
            assert (answer.status, answer.headers.get("Session-Expires")) == (200, "1800;refresher=uac")
            peer.caller.call_id, peer.caller.tag = "folded", "q"
            peer.send("ACK", cseq=1)
            peer.caller.cseq = 1
            await hung_up(peer)

    run_clean(main())


def test_a_via_of_ipv6_on_a_call_by_ipv4(run_clean: Any) -> None:
    """RFC 3261 section 18.2.1, RFC 3581 section 4."""

    async def main() -> None:
        async with platform() as ours, raw_peer(ours.address) as peer:
            invite = peer.caller.request("INVITE", peer.sdp())
            invite.headers.set("Via", "SIP/2.0/UDP [2001:db8::9]:5060;branch=z9hG4bKsix;rport")
            peer.raw(invite.to_bytes())
            answer = await peer.response()
            assert (answer.via.host, answer.via.params["received"]) == ("[2001:db8::9]", HOST)
            peer.send("ACK", cseq=1)
            await hung_up(peer)

    run_clean(main())


def test_a_whole_call_by_ipv6(run_clean: Any) -> None:
    """RFC 3261 section 19.1.1 (brackets), RFC 8866 section 5.7 (IP6)."""

    async def main() -> None:
        async with platform(host="::1") as ours, raw_peer(ours.address[:2], "::1") as peer:
            answer = await peer.call()
            assert b"c=IN IP6 ::1" in answer.body
            assert "@[::1]:" in (answer.headers.get("Contact") or "")
            await (await ours.took()).leg.hang_up(*HANG_UP)
            peer.respond(await peer.request("BYE"), 200)

    run_clean(main())


def test_a_telephone_behind_a_nat_hears_that_we_hang_up(run_clean: Any) -> None:
    """RFC 6314 section 4.1: its Contact leads nowhere."""

    async def main() -> None:
        async with platform() as ours, raw_peer(ours.address) as peer:
            peer.caller.headers["Contact"] = "<sip:peer@10.255.255.9:5060>"
            await peer.call()
            await (await ours.took()).leg.hang_up(*HANG_UP)
            bye = await peer.request("BYE")
            assert str(bye.uri) == "sip:peer@10.255.255.9:5060"
            peer.respond(bye, 200)

    run_clean(main())


def test_a_caller_that_must_have_its_ringing_acknowledged(run_clean: Any) -> None:
    """RFC 3262 section 3: 180 until the PRACK, which is answered before the call is."""

    async def main() -> None:
        async with platform() as ours, raw_peer(ours.address) as peer:
            peer.send("INVITE", peer.sdp(), Require="100rel")
            first, again = await peer.response(180), await peer.response(180)
            assert first.headers.get("RSeq") == again.headers.get("RSeq")
            peer.send("PRACK", RAck=f"{first.headers.get('RSeq')} 1 INVITE")
            assert [str((await peer.response()).cseq) for _ in range(2)] == ["2 PRACK", "1 INVITE"]
            peer.send("ACK", cseq=1)
            await hung_up(peer)

    run_clean(main())


@pytest.mark.parametrize("acknowledged", [True, False])
def test_a_caller_that_hangs_up_at_once(acknowledged: bool, run_clean: Any) -> None:
    """RFC 3261 section 15: a caller may send BYE before its ACK; the 200 is sent no more then."""

    async def main() -> None:
        async with platform() as ours, raw_peer(ours.address) as peer:
            peer.send("INVITE", peer.sdp())
            await peer.response()
            if acknowledged:
                peer.send("ACK", cseq=1)
            await hung_up(peer)
            count = len(peer.received)
            await asyncio.sleep(0.7)
            assert len(peer.received) == count

    run_clean(main())


def test_a_caller_that_hangs_up_while_it_rings(run_clean: Any) -> None:
    """RFC 3261 section 15.1.2: BYE of an early dialog ends the INVITE with 487."""

    async def main() -> None:
        async with platform(ring_only) as ours, raw_peer(ours.address) as peer:
            invite = peer.send("INVITE", peer.sdp())
            peer.caller.learn_tag(await peer.response(180))
            peer.send("BYE")
            await eventually(lambda: finals(peer) == [(200, "2 BYE"), (487, "1 INVITE")])
            peer.send("ACK", cseq=1, branch=invite.via.branch)
            await ours.logs["room1"].until(LegEnded)

    run_clean(main())


def test_a_caller_asks_much_before_the_answer(run_clean: Any) -> None:
    """RFC 6086 section 4.2.2, RFC 3311 section 5.2 (500 while its offer is open), RFC 3261 sections 11 and 9.2."""

    async def main() -> None:
        async with platform(ring_only) as ours, raw_peer(ours.address) as peer:
            invite = peer.send("INVITE", peer.sdp())
            peer.caller.learn_tag(await peer.response(180))
            peer.send("INFO", b"Signal=5\r\nDuration=160\r\n", content_type="application/dtmf-relay")
            assert (await peer.response()).status == 200
            peer.send("UPDATE", peer.sdp(version=2))
            refused = await peer.response()
            assert (refused.status, "Retry-After" in refused.headers) == (500, True)
            peer.send("OPTIONS")
            assert (await peer.response()).status == 200
            peer.caller.to_tag = ""
            peer.send("CANCEL", cseq=1, branch=invite.via.branch)
            await eventually(lambda: finals(peer)[-2:] == [(200, "1 CANCEL"), (487, "1 INVITE")])
            peer.send("ACK", cseq=1, branch=invite.via.branch)

    run_clean(main())


def test_what_is_not_wanted_leaves_the_call_as_it_is(run_clean: Any) -> None:
    """RFC 3264 section 6 (fax), RFC 3515 section 2.4.2 with RFC 3891 (a transfer to take part in), RFC 3261 section 8.2.1."""

    async def main() -> None:
        async with platform() as ours, raw_peer(ours.address) as peer:
            await peer.call()
            fax = peer.sdp(version=2).partition(b"m=audio")[0] + b"m=image 4000 udptl t38\r\n"
            change = peer.send("INVITE", fax)
            refusal = await peer.response()
            assert (refusal.status, "no audio" in (refusal.headers.get("Warning") or "")) == (488, True)
            peer.send("ACK", cseq=change.cseq.number, branch=change.via.branch)
            peer.send("REFER", Refer_To=f"<sip:b@{HOST}?Replaces=a%3Bto-tag%3D1%3Bfrom-tag%3D2>")
            assert (await peer.response()).status == 603
            for method in ("MESSAGE", "SUBSCRIBE", "FOO"):
                peer.send(method)
                answer = await peer.response()
                assert (answer.status, "INVITE" in (answer.headers.get("Allow") or "")) == (405, True)
            assert not (await ours.took()).leg.over  # type: ignore[attr-defined]
            await hung_up(peer)

    run_clean(main())


def test_requests_out_of_the_blue(run_clean: Any) -> None:
    """RFC 3261 sections 8.2.1 and 12.2.2, RFC 3891 section 3 (Replaces that must be understood)."""

    async def main() -> None:
        async with platform() as ours, raw_peer(ours.address) as peer:
            answers: dict[str, int] = {}
            for method in ("MESSAGE", "SUBSCRIBE", "PUBLISH", "REFER", "REGISTER", "FOO", "NOTIFY", "PRACK"):
                peer.caller.call_id = method
                peer.send(method)
                answers[method] = (await peer.response()).status
            assert answers == dict.fromkeys(answers, 405) | {"NOTIFY": 481, "PRACK": 481}
            peer.caller.call_id = "replaces"
            invite = peer.send("INVITE", peer.sdp(), Require="replaces", Replaces="a;to-tag=b;from-tag=c")
            answer = await peer.response()
            assert (answer.status, answer.headers.get("Unsupported")) == (420, "replaces")
            peer.send("ACK", cseq=invite.cseq.number, branch=invite.via.branch)

    run_clean(main())


def test_holds_by_update_by_port_0_and_by_an_answer(run_clean: Any) -> None:
    """RFC 3311, RFC 3264 sections 8.2 and 8.4, RFC 3261 section 14.1 (a re-INVITE without an offer)."""

    async def main() -> None:
        async with platform() as ours, raw_peer(ours.address) as peer:
            await peer.call()
            leg: Any = (await ours.took()).leg

            async def change(method: str, body: bytes, answer: bytes = b"") -> None:
                request = peer.send(method, body)
                assert (await peer.response()).status == 200
                if method == "INVITE":
                    peer.send("ACK", answer, cseq=request.cseq.number)

            for method, body, answer, hold in (
                ("UPDATE", peer.sdp(version=2, direction="sendonly"), b"", True),
                ("UPDATE", b"", b"", True),
                ("UPDATE", peer.sdp(version=3), b"", False),
                ("INVITE", peer.sdp(version=4, port=0), b"", True),
                ("INVITE", peer.sdp(version=5), b"", False),
                ("INVITE", b"", peer.sdp(version=6, direction="inactive"), True),
            ):
                await change(method, body, answer)
                await eventually(lambda hold=hold: leg._bridge.on_hold is hold)
            await hung_up(peer)

    run_clean(main())


def test_noise_between_messages_harms_no_call(run_clean: Any) -> None:
    """RFC 3261 sections 7.5 and 18.1.2: keep-alives, garbage, stray responses, the ACK again."""

    async def main() -> None:
        async with platform() as ours, raw_peer(ours.address) as peer:
            await peer.call()
            for octets in (b"\r\n\r\n", b"\0\0\0\0", b"hello", b"SIP/2.0 200 OK\r\n\r\n", b"\x80\x00" * 90):
                peer.raw(octets)
            for _ in range(3):
                peer.send("ACK", cseq=1)
            peer.send("OPTIONS")
            assert (await peer.response()).status == 200
            await hung_up(peer)

    run_clean(main())


def test_a_telephone_by_tcp_whose_contact_leads_nowhere(run_clean: Any) -> None:
    """RFC 5626 section 5.3: what it opened is the only way to it; a message may come in pieces (RFC 3261 section 18.3)."""

    async def main() -> None:
        async with platform() as ours:
            reader, writer = await asyncio.open_connection(*ours.service._running.addresses["TCP"])
            caller = Caller(Wire(transport="TCP"), headers={"Contact": "<sip:a@10.255.255.9;transport=tcp>"})

            async def message() -> Any:
                data = b"\r\n"
                while data == b"\r\n":  # the answer to a ping
                    data = await asyncio.wait_for(reader.readuntil(b"\r\n"), 4.0)
                data += await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 4.0)
                found = parse_message(data, stream=True) if b"Content-Length: 0" in data else None
                if found is None:
                    length = int(data.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
                    found = parse_message(data + await reader.readexactly(length), stream=True)
                return found

            invite = caller.request("INVITE", RawPeer(ours.address, HOST).sdp()).to_bytes()
            writer.write(b"\r\n\r\n" + invite[:70])
            await asyncio.sleep(0.05)
            writer.write(invite[70:])
            while (answer := await message()).status < 200:
                continue
            caller.learn_tag(answer)
            writer.write(caller.request("ACK", cseq=1).to_bytes())
            await (await ours.took()).leg.hang_up(*HANG_UP)
            bye = await message()
            assert bye.method == "BYE"
            writer.write(respond(bye, 200).to_bytes())
            await ours.nothing_left()
            writer.close()

    run_clean(main())


# -- calls of ours --------------------------------------------------------------------------------------------------------------


def test_early_media_that_is_acknowledged_and_an_answer_from_elsewhere(run_clean: Any) -> None:
    """RFC 3262 section 4, RFC 3960 section 3.1: the 200 may name another place than the 183."""

    async def main() -> None:
        async with platform() as ours, raw_peer((HOST, 1)) as peer:
            room, leg, invite = await dialled(ours, peer)
            peer.respond(invite, 100)
            peer.respond(invite, 183, peer.sdp(port=31000), Require="100rel", RSeq="5")
            prack = await peer.request("PRACK")
            assert prack.headers.get("RAck") == "5 1 INVITE"
            peer.respond(prack, 200)
            await eventually(lambda: leg._bridge.agreed is not None and leg._bridge.agreed.port == 31000)
            peer.respond(invite, 200, peer.sdp(port=32000, version=2))
            await peer.request("ACK")
            await ours.logs[room].until(LegAnswered)
            assert leg._bridge.agreed.port == 32000
            await leg.hang_up(*HANG_UP)
            peer.respond(await peer.request("BYE"), 200)

    run_clean(main())


def test_forks_that_each_ring_with_media_and_the_second_to_answer(run_clean: Any) -> None:
    """RFC 3261 sections 12.1.2 and 13.2.2.4, RFC 3262 section 4: a dialog for each tag; the first answer brings its media."""

    async def main() -> None:
        async with platform() as ours, raw_peer((HOST, 1)) as peer:
            room, leg, invite = await dialled(ours, peer)

            def say(status: int, tag: str, body: bytes, **headers: str) -> None:
                contact = f"<sip:{tag}@{peer.address}>"
                peer.raw(respond(invite, status, body, tag=tag, Contact=contact, **headers).to_bytes())

            for tag, port in (("a", 31000), ("b", 31002)):
                say(183, tag, peer.sdp(port=port), Require="100rel", RSeq="9")
                prack = await peer.request("PRACK")
                assert (prack.to.tag, str(prack.cseq), str(prack.uri)) == (
                    tag,
                    "2 PRACK",
                    f"sip:{tag}@{peer.address}",
                )
                peer.raw(respond(prack, 200, tag=tag).to_bytes())
            say(200, "a", b"")
            assert (await peer.request("ACK")).to.tag == "a"
            await ours.logs[room].until(LegAnswered)
            assert leg._bridge.agreed.port == 31000
            say(200, "b", b"")
            assert [(await peer.request(method)).to.tag for method in ("ACK", "BYE")] == ["b", "b"]
            peer.raw(respond(peer.received[-1], 200, tag="b").to_bytes())  # type: ignore[arg-type]
            assert leg._bridge.agreed.port == 31000
            await leg.hang_up(*HANG_UP)
            bye = await peer.request("BYE")
            assert bye.to.tag == "a"
            peer.respond(bye, 200)

    run_clean(main())


def test_an_answer_whose_ack_is_lost_comes_again_and_so_does_the_ack(run_clean: Any) -> None:
    """RFC 3261 section 13.2.2.4: every 200 is acknowledged, and the call is answered once."""

    async def main() -> None:
        async with platform() as ours, raw_peer((HOST, 1)) as peer:
            room, leg, invite = await dialled(ours, peer)
            for _ in range(4):
                peer.respond(invite, 200, peer.sdp())
                await peer.request("ACK")
            assert sum(isinstance(event, LegAnswered) for event in ours.logs[room].events) == 1
            await leg.hang_up(*HANG_UP)
            peer.respond(await peer.request("BYE"), 200)

    run_clean(main())


def test_a_number_where_nobody_listens_is_rejected_at_once(run_clean: Any) -> None:
    """RFC 3261 section 18.4: ICMP says so."""

    async def main() -> None:
        async with platform() as ours:
            async with raw_peer(ours.address) as peer:
                port = peer.port
            room, _ = await ours.dial(trunk_to(port))
            assert (await ours.logs[room].until(LegRejected, 3.0)).code == 503

    run_clean(main())
