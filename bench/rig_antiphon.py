"""Antiphon's adapter for the voice-agent rig, through the public API only.

Runs as `bench_antiphon.py` inside a working copy of the rig (`bench/rig.py` lays it there), where `rig_common` is beside it.

Wiring
  STT   streaming with `manual_flush`: the session flushes it when the VAD hears the end of speech; the fake gives its final
        transcript 100 ms later.
  LLM   an `LLM` whose stream yields the rig's tokens.
  TTS   a `TTS` that takes whole texts; the session's own sentence splitting feeds it.
  Out   an `AudioOutput` over the rig's sink, which can pause.

Profiles
  matched   VAD min_silence_duration 0.2 s, min_endpointing_delay 0.2 s, min_interruption_duration 0.2 s
  defaults  the library's defaults; still no model of end of turn
"""

import asyncio
import sys

import rig_common as rig

from bench.fake_providers import FakeLLM, FakeSTT, FakeTTS

IMPORT = "from antiphon import Agent, AgentSession\nfrom antiphon.plugins import silero\nfrom antiphon.rooms import AudioOutput"


def _output_class():
    """Defined after the measured import of the framework."""
    from antiphon.rooms import AudioOutput

    class RigOutput(AudioOutput):
        sample_rate = rig.OUT_SR

        def __init__(self, sink):
            self._sink = sink
            sink.on_started = lambda: self.on_started and self.on_started()
            sink.on_finished = lambda seconds: self.on_finished and self.on_finished(seconds)

        def push(self, frame):
            self._sink.push(frame.tobytes())

        def flush(self):
            self._sink.flush()

        def clear(self):
            return self._sink.clear()

        def pause(self):
            self._sink.pause()

        def resume(self):
            self._sink.resume()

        @property
        def position(self):
            return self._sink.played * rig.TICK

    return RigOutput


class Antiphon:
    name = "antiphon"
    import_stmt = IMPORT

    def version(self):
        import importlib.metadata

        return importlib.metadata.version("antiphon")

    def _options(self, cfg):
        if cfg.profile == "defaults":
            return {}, {}
        return {"min_silence_duration": 0.2}, {"min_endpointing_delay": 0.2, "min_interruption_duration": 0.2}

    def settings(self, cfg):
        vad, session = self._options(cfg)
        return {
            "vad": {"plugin": "antiphon.plugins.silero", **vad},
            "session": {"turn_detection": "vad", "user_away_timeout": None, **session},
            "uvloop": "uvloop" in sys.modules,
        }

    def load(self):
        import uvloop  # what `antiphon demo` and the worker run on

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
        names = {}
        exec(IMPORT, names)
        self._names = names
        self._output = _output_class()
        self._vad = None

    async def open(self, leg, cfg):
        from antiphon.audio import AudioFrame

        vad_options, session_options = self._options(cfg)
        if self._vad is None:  # one for all sessions of a process, as the documentation recommends
            self._vad = self._names["silero"].VAD.load(**vad_options)
        session = self._names["AgentSession"](
            stt=FakeSTT(lambda: rig.stt_final(leg)),
            llm=FakeLLM(lambda: rig.llm_tokens(leg)),
            tts=FakeTTS(lambda text: rig.tts_audio(leg, text), rig.OUT_SR),
            vad=self._vad,
            turn_detection="vad",
            user_away_timeout=None,
            **session_options,
        )
        agent = self._names["Agent"](instructions="You are a helpful assistant.")
        await session.start(agent, audio_output=self._output(leg.sink))
        leg.on_input = lambda pcm: session.push_audio(AudioFrame(pcm, rig.IN_SR))
        return session

    async def close(self, session):
        await session.aclose()


if __name__ == "__main__":
    rig.main(Antiphon())
