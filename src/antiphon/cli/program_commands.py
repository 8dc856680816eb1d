"""The commands of an agent's program."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..models.errors import ConfigurationError
from ..worker import AgentServer, WorkerOptions, agents_of
from . import reload
from .errors import run
from .logs import leave_expected_failures_to_the_console, set_up_logging

app = typer.Typer(
    help="A voice agent. It runs here, without any other server.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Host = Annotated[
    str | None,
    typer.Option(
        help="Address to listen on; beyond this machine browsers give a page the microphone over https only, and a "
        "self-signed certificate is made."
    ),
]
Port = Annotated[int | None, typer.Option(help="TCP port; 0 takes a free one.")]
LogLevel = Annotated[str, typer.Option(help="debug, info, warning, error or critical.")]


@app.command()
def console(
    context: typer.Context,
    text: Annotated[bool, typer.Option("--text", help="Type instead of speaking; needs no audio.")] = False,
    input_device: Annotated[str | None, typer.Option(help="Microphone: number or part of its name.")] = None,
    output_device: Annotated[
        str | None, typer.Option(help="Loudspeaker: number or part of its name.")
    ] = None,
    headphones: Annotated[
        bool, typer.Option("--headphones", help="Keep the microphone open while the agent speaks.")
    ] = False,
    agent: Annotated[str | None, typer.Option(help="Which agent, if the file has several.")] = None,
    log_level: LogLevel = "error",
) -> None:
    """Talk with the agent here: microphone and loudspeaker, or --text."""
    set_up_logging(log_level)
    leave_expected_failures_to_the_console()
    options = _choose(context.obj, agent)
    if text:
        from .text_console import text_console

        raise typer.Exit(run(text_console(options)))
    from .voice_console import voice_console

    conversation = voice_console(
        options, input_device=input_device, output_device=output_device, headphones=headphones
    )
    raise typer.Exit(run(conversation))


@app.command()
def dev(context: typer.Context, host: Host = None, port: Port = None, log_level: LogLevel = "info") -> None:
    """Serve a page for the agent, and start again when a Python file changes."""
    if reload.is_child():
        set_up_logging(log_level)
        raise typer.Exit(_serve(context.obj, host, port))
    folder = Path(sys.argv[0]).resolve().parent
    code = reload.run_and_reload(reload.this_program(), folder, lambda text: print(text, flush=True))
    raise typer.Exit(code)


@app.command()
def start(context: typer.Context, host: Host = None, port: Port = None, log_level: LogLevel = "info") -> None:
    """Serve a page for the agent."""
    set_up_logging(log_level)
    raise typer.Exit(_serve(context.obj, host, port))


def _choose(program: WorkerOptions | AgentServer, name: str | None) -> WorkerOptions:
    """The agent of that name; without one, the first."""
    agents = agents_of(program)
    if name is None:
        return agents[0]
    for options in agents:
        if options.agent_name == name:
            return options
    known = ", ".join(repr(options.agent_name) for options in agents)
    raise ConfigurationError(f"this file has no agent {name!r}; it has: {known}")


def _serve(program: WorkerOptions | AgentServer, host: str | None, port: int | None) -> int:
    from .embedded_server import OfferedAgent, check_server_packages, named, serve_agents

    check_server_packages()
    from ..server.serve import loop_factory

    agents = [named(options, Path(sys.argv[0]).stem or "agent") for options in agents_of(program)]

    def ready(url: str) -> None:
        print(f"Antiphon answers at {url}", flush=True)
        print("Open it in a browser to talk with the agent. Ctrl-C ends it.", flush=True)

    serving = serve_agents(
        [OfferedAgent(options, title=options.agent_name) for options in agents],
        ready,
        host=agents[0].host if host is None else host,
        port=agents[0].port if port is None else port,
    )
    return run(serving, loop_factory())
