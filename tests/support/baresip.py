"""baresip, a telephone that we did not write, without a screen: it speaks a tone, records both ways, and is told what to do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import wave
from pathlib import Path
from typing import Any

import numpy as np

from .telephone import HOST, Samples, tone

MODULES = Path("/usr/lib/baresip/modules")

_CONFIG = """poll_method epoll
sip_listen {host}:{port}
{certificate}
net_interface {host}
audio_source aufile,{folder}/source.wav
audio_player aubridge,player{port}
audio_alert aubridge,alert{port}
ausrc_srate {rate}
auplay_srate {rate}
ausrc_channels 1
auplay_channels 1
ausrc_format s16
auplay_format s16
auenc_format s16
audec_format s16
rtp_ports {media}-{last_media}
rtp_stats yes
rtp_timeout 60
module_path {modules}
{loaded}
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen {host}:{control}
snd_path {folder}
"""
_LOADED = ("g711.so", "g722.so", "opus.so", "aufile.so", "aubridge.so", "sndfile.so", "srtp.so")


class Baresip:
    """One telephone in its own process.

    Attributes:
        port: of SIP over UDP and TCP; TLS is one above.
        events: types of events with their parameter, in order.
    """

    def __init__(self, folder: Path) -> None:
        self.port = _free_ports()
        self.events: list[tuple[str, str]] = []
        self._folder = folder
        self._control = _free_ports()
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._seen = asyncio.Event()

    async def start(
        self,
        *,
        codec: str = "pcmu/8000/1",
        frequency: float = 700,
        transport: str = "udp",
        encryption: str = "",
        rate: int = 8000,
        certificate: Path | None = None,
        account: str = "",
        speech: Path | None = None,
        user: str = "phone",
        trace: bool = False,
    ) -> None:
        """Start it, with an account that answers by itself.

        Args:
            codec: the only one that it has, as `pcma/8000/1`.
            frequency: of the tone that it speaks.
            encryption: of the audio, as `srtp-mand`.
            certificate: for TLS: certificate and key in one file.
            account: a line for its accounts file, in place of the usual one.
            speech: a WAV file of `rate` to speak, in place of a tone.
            user: of its address.
            trace: write every SIP message to its log.
        """
        folder = self._folder
        if speech is not None:
            shutil.copy(speech, folder / "source.wav")
        else:
            with wave.open(str(folder / "source.wav"), "wb") as source:
                source.setnchannels(1)
                source.setsampwidth(2)
                source.setframerate(rate)
                source.writeframes(tone(frequency, 30, rate).tobytes())
        encrypts = f";mediaenc={encryption}" if encryption else ""
        line = account or (
            f"<sip:{user}@{HOST}:{self.port};transport={transport}>;regint=0;answermode=auto;audio_codecs={codec}{encrypts}"
        )
        (folder / "accounts").write_text(line + "\n")
        (folder / "contacts").write_text("")
        media = 30000 + self.port % 9000 // 4 * 4
        config = _CONFIG.format(
            host=HOST,
            port=self.port,
            control=self._control,
            folder=folder,
            rate=rate,
            modules=MODULES,
            loaded="\n".join(f"module {name}" for name in _LOADED)
            + "\nmodule_tmp uuid.so\nmodule_tmp account.so",
            media=media,
            last_media=media + 100,
            certificate=f"sip_certificate {certificate}" if certificate else "",
        )
        (folder / "config").write_text(config)
        with (folder / "log").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *("baresip", "-f", str(folder), *(["-s"] if trace else [])),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        for _ in range(500):
            with contextlib.suppress(OSError):
                reader, self._writer = await asyncio.open_connection(HOST, self._control)
                self._reading = asyncio.create_task(self._read(reader))
                return
            await asyncio.sleep(0.02)
        await self.aclose()
        raise AssertionError(f"baresip does not start: {self.log[-2000:]}")

    @property
    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def do(self, command: str, parameters: str = "") -> None:
        """One of its commands: `dial`, `hold`, `resume`, `sndcode`, `hangup`."""
        assert self._writer is not None
        text = json.dumps({"command": command, "params": parameters, "token": command}).encode()
        self._writer.write(f"{len(text)}:".encode() + text + b",")

    async def until(self, kind: str, timeout: float = 8.0) -> str:
        """The parameter of the first event of a kind, as `CALL_ESTABLISHED`."""
        try:
            async with asyncio.timeout(timeout):
                while True:
                    for name, parameter in self.events:
                        if name == kind:
                            return parameter
                    self._seen.clear()
                    await self._seen.wait()
        except TimeoutError:
            raise AssertionError(f"no {kind}, but {self.events}\n{self.log[-2000:]}") from None

    def heard(self) -> tuple[Samples, int]:
        """What it heard in its last call, and at what rate; complete once the call is over."""
        files = sorted(self._folder.glob("dump-*-dec.wav"), key=lambda path: path.stat().st_mtime)
        with wave.open(str(files[-1])) as recording:
            samples = np.frombuffer(recording.readframes(recording.getnframes()), dtype="<i2")
            return samples, recording.getframerate()

    async def aclose(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        if self._writer is not None:
            self._writer.close()
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(3):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while True:
            try:
                length = int((await reader.readuntil(b":"))[:-1])
                message: dict[str, Any] = json.loads((await reader.readexactly(length + 1))[:-1])
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            if message.get("event"):
                self.events.append((str(message.get("type")), str(message.get("param") or "")))
                self._seen.set()


def _free_ports() -> int:
    """A port that is free for UDP and TCP, and so is the one above."""
    for _ in range(50):
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = int(probe.getsockname()[1])
        try:
            for number in (port, port + 1):
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    with socket.socket(socket.AF_INET, kind) as probe:
                        probe.bind((HOST, number))
        except OSError:
            continue
        return port
    raise AssertionError("no two ports in a row are free")
