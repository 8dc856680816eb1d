"""An agent for telephone calls: `ANTIPHON_MODELS=local python examples/telephony_agent.py console --text`."""

# fmt: off
# ruff: noqa: F401, I001

# telephony_agent.py
import json
from antiphon import api
from antiphon import Agent, AgentSession, AgentServer, JobContext, function_tool, RunContext, cli, get_job_context, room_io
from antiphon.plugins import silero, noise_cancellation
from antiphon.plugins.turn_detector.multilingual import MultilingualModel

server = AgentServer()

@server.rtc_session(agent_name="telephony-agent")  # Named for explicit dispatch
async def telephony_agent(ctx: JobContext):
    session = AgentSession(
        stt="assemblyai/universal-streaming:en",
        llm="openai/gpt-4o-mini",
        tts="cartesia/sonic-3:voice-id",
        vad=silero.VAD.load(),
        turn_detection=MultilingualModel(),
    )

    await session.start(
        room=ctx.room,
        agent=TelephonyAssistant(),
        room_options=room_io.RoomOptions(
            audio_input=room_io.AudioInputOptions(
                # Apply telephony-optimized noise cancellation
                noise_cancellation=lambda p: noise_cancellation.BVCTelephony()
            )
        )
    )

    await session.generate_reply(
        instructions="Greet the caller and ask how you can help."
    )

class TelephonyAssistant(Agent):
    def __init__(self):
        super().__init__(
            instructions="""You are a phone support agent.
            Be professional and helpful. Keep responses concise for phone conversations."""
        )

    @function_tool
    async def transfer_call(self, ctx: RunContext, department: str) -> str:
        """Transfer the call to another department.

        Args:
            department: The department to transfer to (sales, support, billing)
        """
        transfer_numbers = {
            "sales": "+15105550101",
            "support": "+15105550102",
            "billing": "+15105550103",
        }

        if department not in transfer_numbers:
            return "Invalid department"

        job_ctx = get_job_context()
        await job_ctx.api.sip.transfer_sip_participant(
            api.TransferSIPParticipantRequest(
                room_name=job_ctx.room.name,
                participant_identity="caller",
                transfer_to=f"tel:{transfer_numbers[department]}",
            )
        )
        return f"Transferring to {department}"

    @function_tool
    async def hang_up(self, ctx: RunContext) -> str:
        """End the phone call."""
        job_ctx = get_job_context()
        await job_ctx.api.room.delete_room(
            api.DeleteRoomRequest(room=job_ctx.room.name)
        )
        return "Call ended"


if __name__ == "__main__":
    cli.run_app(server)
