"""The smallest voice agent: `ANTIPHON_MODELS=local python examples/minimal_agent.py console --text`."""

# fmt: off
# ruff: noqa: I001

# agent.py
import logging
from dotenv import load_dotenv
from antiphon import Agent, AgentSession, JobContext, WorkerOptions, cli
from antiphon.plugins import silero

load_dotenv()
logger = logging.getLogger("voice-agent")

class MyAssistant(Agent):
    def __init__(self):
        super().__init__(
            instructions="""You are a helpful voice assistant.
            Be concise and friendly in your responses."""
        )

async def entrypoint(ctx: JobContext):
    await ctx.connect()

    session = AgentSession(
        vad=silero.VAD.load(),                    # Voice Activity Detection
        stt="deepgram/nova-3",                    # Speech-to-Text
        llm="openai/gpt-4o-mini",                 # Language Model
        tts="cartesia/sonic-2:voice-id-here",    # Text-to-Speech
    )

    await session.start(
        agent=MyAssistant(),
        room=ctx.room,
    )

    # Generate initial greeting
    await session.generate_reply(
        instructions="Greet the user warmly and ask how you can help."
    )

if __name__ == "__main__":
    cli.run_app(WorkerOptions(entrypoint_fnc=entrypoint))
