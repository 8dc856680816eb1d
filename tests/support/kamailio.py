"""kamailio as a trunk: a registrar, a proxy that stays on the route, and digest challenges with nonces that last a second."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from .sipp import free_port
from .telephone import HOST

DOMAIN = "trunk.example"
USER, PASSWORD = "subscriber", "correct horse"

_CONFIG = """#!KAMAILIO
debug=1
log_stderror=yes
fork=yes
children=2
disable_tcp=yes
auto_aliases=no
listen=udp:{host}:{port}
alias="{domain}"
mpath="{modules}/"
loadmodule "sl.so"
loadmodule "tm.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
modparam("rr", "enable_full_lr", 1)
modparam("auth", "nonce_expire", 1)
modparam("auth", "qop", "auth")

request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
    if (has_totag()) {{
        if (loose_route()) {{ t_relay(); exit; }}
        if (is_method("ACK") && t_check_trans()) {{ t_relay(); exit; }}
        sl_send_reply("404", "No Route");
        exit;
    }}
    if (is_method("REGISTER")) {{
        if (!pv_auth_check("{domain}", "{password}", "0", "0")) {{ auth_challenge("{domain}", "1"); exit; }}
        save("location");
        exit;
    }}
    if (is_method("INVITE") && $fd == "{domain}") {{
        if (!pv_proxy_authenticate("{domain}", "{password}", "0")) {{ proxy_challenge("{domain}", "1"); exit; }}
        consume_credentials();
    }}
    record_route();
    if ($rU == "{user}" && !lookup("location")) {{ sl_send_reply("480", "Not Registered"); exit; }}
    {routes}
    t_relay();
}}
"""


@asynccontextmanager
async def kamailio(folder: Path, routes: dict[str, int]) -> AsyncIterator[int]:
    """A proxy on a free port, which it gives.

    Args:
        routes: for users, the port of this machine that their calls go to.
    """
    port = free_port()
    lines = [f'if ($rU == "{user}") $du = "sip:{HOST}:{number}";' for user, number in routes.items()]
    config = folder / "kamailio.cfg"
    config.write_text(
        _CONFIG.format(
            modules=_modules(),
            host=HOST,
            port=port,
            domain=DOMAIN,
            user=USER,
            password=PASSWORD,
            routes="\n    ".join(lines),
        )
    )
    log = folder / "kamailio.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *("kamailio", "-DD", "-E", "-f", str(config), "-Y", str(folder), "-M", "8", "-m", "64"),
            *("-P", str(folder / "pid"), "-w", str(folder)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        await _until_it_answers(port, log)
        yield port
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def _modules() -> Path:
    """They lie in a folder that is named after the processor."""
    return next(Path("/usr/lib").glob("*/kamailio/modules"))


async def _until_it_answers(port: int, log: Path) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.setblocking(False)
        probe.bind((HOST, 0))
        probe.connect((HOST, port))
        own = probe.getsockname()[1]
        ping = (
            f"OPTIONS sip:{HOST}:{port} SIP/2.0\r\nVia: SIP/2.0/UDP {HOST}:{own};branch=z9hG4bKping\r\n"
            f"From: <sip:ping@{HOST}>;tag=1\r\nTo: <sip:{HOST}>;tag=2\r\nCall-ID: ping\r\nCSeq: 1 OPTIONS\r\n"
            "Max-Forwards: 10\r\nContent-Length: 0\r\n\r\n"
        )
        for _ in range(50):
            with contextlib.suppress(OSError, TimeoutError):
                await loop.sock_sendall(probe, ping.encode())
                async with asyncio.timeout(0.2):
                    await loop.sock_recv(probe, 4096)
                    return
            await asyncio.sleep(0.05)
    raise AssertionError(f"kamailio does not answer; its log is {log}")
