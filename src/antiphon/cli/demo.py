"""`antiphon demo`: the built-in assistants in a browser."""

from __future__ import annotations

from pathlib import Path

from ..assistants import AssistantDefinition, assistant_names, load_assistant
from ..worker.assistants import assistant_options
from .embedded_server import OfferedAgent, check_server_packages, serve_agents
from .errors import run
from .terminal import terminal


def run_demo(*, host: str, port: int, tls_cert: Path | None, tls_key: Path | None, assistant: str) -> int:
    """Serve the page until Ctrl-C.

    Args:
        host: address to listen on.
        port: TCP port; 0 takes a free one.
        tls_cert: certificate chain, PEM.
        tls_key: its private key, PEM.
        assistant: the one that the page offers first.

    Returns:
        The exit code.

    Raises:
        ConfigurationError: there is no such assistant, or a package is missing.
    """
    check_server_packages()
    first = load_assistant(assistant)
    rest = [load_assistant(name) for name in assistant_names() if name != assistant]
    console = terminal()

    def ready(url: str) -> None:
        console.print(f"\nAntiphon answers at {url}", style="bold")
        if url.startswith("https:") and tls_cert is None:
            console.print("The certificate is self-signed: the browser asks once whether to trust it.")
        console.print(f"Open it in a browser, start a call and say, for example: “{first.examples[0]}”")
        console.print("Ctrl-C ends it.\n", style="dim")

    console.print("Loading the models …", style="dim")
    from ..server.serve import loop_factory

    serving = serve_agents(
        [_offer(definition) for definition in (first, *rest)],
        ready,
        host=host,
        port=port,
        tls_cert=tls_cert,
        tls_key=tls_key,
    )
    return run(serving, loop_factory())


def _offer(definition: AssistantDefinition) -> OfferedAgent:
    return OfferedAgent(
        assistant_options(definition), definition.title, definition.description, definition.examples
    )
