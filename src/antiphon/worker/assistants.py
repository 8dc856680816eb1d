"""Built-in assistants as agents of a worker."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from ..assistants import AssistantDefinition
from ..models.registry import resolve_llm, resolve_stt, resolve_tts, resolve_vad
from ..voice import AgentSession
from .job import JobContext, JobProcess
from .options import WorkerOptions


def assistant_options(
    definition: AssistantDefinition, *, stt: str | None = None, llm: str | None = None, tts: str | None = None
) -> WorkerOptions:
    """An agent that is the assistant; its models are loaded once and shared by its conversations.

    Args:
        definition: the assistant.
        stt: another recogniser than its own, by name.
        llm: another language model.
        tts: another voice.
    """
    chosen = replace(
        definition, stt=stt or definition.stt, llm=llm or definition.llm, tts=tts or definition.tts
    )
    name = f"assistant {chosen.name}"

    async def prewarm(proc: JobProcess) -> None:
        # Making a model may load a library, which is too slow for the event loop.
        models = await asyncio.gather(
            asyncio.to_thread(resolve_stt, chosen.stt),
            asyncio.to_thread(resolve_llm, chosen.llm),
            asyncio.to_thread(resolve_tts, chosen.tts),
            asyncio.to_thread(resolve_vad, chosen.vad),
        )
        for model in models:
            await model.prewarm()
        proc.userdata[name] = models

    async def entrypoint(ctx: JobContext) -> None:
        recogniser, model, voice, detector = ctx.proc.userdata[name]
        session: AgentSession[None] = AgentSession(stt=recogniser, llm=model, tts=voice, vad=detector)
        await session.start(chosen.create_agent(), room=ctx.room)

    return WorkerOptions(entrypoint_fnc=entrypoint, prewarm_fnc=prewarm, agent_name=chosen.name)
