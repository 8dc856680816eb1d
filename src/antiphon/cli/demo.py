"""`antiphon demo`: the platform with the built-in assistants in its store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..assistants import load_assistant
from ..models.errors import ConfigurationError
from .serve import check_platform_packages, run_platform
from .terminal import terminal


def run_demo(
    *,
    host: str,
    port: int,
    tls_cert: Path | None,
    tls_key: Path | None,
    assistant: str,
    store: str | None = None,
    sip_port: int = 5160,
) -> int:
    """Serve until Ctrl-C.

    Args:
        host: address to listen on.
        port: TCP port; 0 takes a free one.
        tls_cert: certificate chain, PEM.
        tls_key: its private key, PEM.
        assistant: the one to talk with.
        store: its address; None: a file among the user's data.
        sip_port: where telephones on this machine may call; 0 takes a free one. If it is taken, only browsers can.

    Returns:
        The exit code.

    Raises:
        ConfigurationError: there is no such assistant, a package is missing, or a setting cannot be used.
    """
    check_platform_packages()
    definition = load_assistant(assistant)
    from ..server.platform.seed import seed_demo
    from ..server.platform.settings_sources import load_settings

    explicit: dict[str, Any] = {"http.host": host, "http.port": port, "store": store or _store_of_the_user()}
    explicit |= {"http.tls_cert": tls_cert, "http.tls_key": tls_key, "drain_seconds": 0}
    # A telephone may call too, if its port is free; nothing else depends on that.
    explicit |= {"sip.enabled": True, "sip.optional": True, "sip.port": sip_port}
    settings = load_settings(explicit=explicit).settings
    console = terminal()

    def ready(url: str, sip: str) -> None:
        console.print(f"\nAntiphon answers at {url}", style="bold")
        if url.startswith("https:") and tls_cert is None:
            console.print("The certificate is self-signed: the browser asks once whether to trust it.")
        console.print(f"Open it in a browser, start a call and say, for example: “{definition.examples[0]}”")
        if sip:
            console.print(f"A softphone on this machine calls it at sip:{assistant}@{sip}", style="dim")
        else:
            console.print(
                f"Telephones cannot call. If SIP port {sip_port} is taken, --sip-port chooses another.",
                style="yellow",
            )
        console.print(f"Its store is {settings.store}.", style="dim")
        console.print(
            f"A key for its REST interface: antiphon keys create --name me --store {settings.store}",
            style="dim",
        )
        console.print("Ctrl-C ends it.\n", style="dim")

    console.print("Loading the models …", style="dim")
    return run_platform(settings, ready, seed=seed_demo)


def _store_of_the_user() -> str:
    from ..server.tls import data_folder

    folder = data_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigurationError(
            f"the demo cannot keep its store in {folder}: {error.strerror or error}. "
            "Set ANTIPHON_DATA_DIR to a folder that can be written, or give --store."
        ) from error
    return f"sqlite:{folder / 'demo.db'}"
