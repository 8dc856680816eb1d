"""An agent with tools: `ANTIPHON_MODELS=local python examples/function_tools.py console --text`."""

# fmt: off
# ruff: noqa: I001

from dotenv import load_dotenv
from antiphon import Agent, AgentSession, JobContext, RunContext, WorkerOptions, cli, function_tool
from antiphon.plugins import silero

class MyAssistant(Agent):
    def __init__(self):
        super().__init__(
            instructions="You are a helpful assistant with access to tools."
        )

    @function_tool
    async def get_weather(self, ctx: RunContext, location: str) -> str:
        """Get the current weather for a location.

        Args:
            location: The city or location to get weather for
        """
        # Your weather API logic here
        return f"The weather in {location} is sunny and 72F"

    @function_tool
    async def schedule_appointment(
        self,
        ctx: RunContext,
        date: str,
        time: str,
        description: str
    ) -> str:
        """Schedule an appointment for the user.

        Args:
            date: The date in YYYY-MM-DD format
            time: The time in HH:MM format
            description: Brief description of the appointment
        """
        # Your scheduling logic here
        return f"Appointment scheduled for {date} at {time}"


load_dotenv()

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
