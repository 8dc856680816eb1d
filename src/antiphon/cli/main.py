"""The command `antiphon`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..models.errors import AntiphonError
from . import keys
from .errors import WRONG_USAGE, complain, run
from .logs import set_up_logging

app = typer.Typer(
    name="antiphon",
    help="Self-hosted voice agents: talk with an assistant from a browser, a terminal or a recording.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(keys.app)

LogLevel = Annotated[str, typer.Option(help="debug, info, warning, error or critical.")]


def main() -> None:
    """Run the command; the entry point of the package."""
    try:
        app()
    except AntiphonError as error:
        complain(str(error))
        sys.exit(WRONG_USAGE)


def _show_version(asked: bool) -> None:
    if asked:
        from .. import __version__

        print(f"antiphon {__version__}")
        raise typer.Exit


@app.callback()
def _antiphon(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None: ...


@app.command()
def demo(
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on. On this machine alone (127.0.0.1) http is enough; on any other, browsers give a page "
            "the microphone over https only, so a self-signed certificate is made unless --tls-cert and --tls-key are given."
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="TCP port; 0 takes a free one.")] = 8080,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key, PEM.")] = None,
    assistant: Annotated[str, typer.Option(help="The assistant to talk with.")] = "bank",
    store: Annotated[
        str | None, typer.Option(help="Where to keep assistants and calls; a file of this user if not given.")
    ] = None,
    sip_port: Annotated[
        int, typer.Option(help="Port where telephones on this machine call, UDP and TCP; 0 takes a free one.")
    ] = 5160,
    log_level: LogLevel = "warning",
) -> None:
    """Talk with the built-in assistants in a browser or by a softphone: no key, no account, no network."""
    set_up_logging(log_level)
    from .demo import run_demo

    raise typer.Exit(
        run_demo(
            host=host,
            port=port,
            tls_cert=tls_cert,
            tls_key=tls_key,
            assistant=assistant,
            store=store,
            sip_port=sip_port,
        )
    )


@app.command()
def serve(
    config: Annotated[
        Path | None, typer.Option(help="Settings file; antiphon.toml of this folder if there is one.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port; 0 takes a free one.")] = None,
    store: Annotated[str | None, typer.Option(help="sqlite:PATH or mongodb://HOST:PORT/DATABASE.")] = None,
    role: Annotated[
        list[str] | None,
        typer.Option(
            help="What this process does: any of api, worker, dispatcher, supervisor, between commas or one by one."
        ),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only say what is missing.")] = False,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning, error or critical.")] = None,
) -> None:
    """Run the platform: assistants, calls and their records over REST. Docs: docs/serve.md."""
    from .serve import run_serve

    explicit = {
        "http.host": host,
        "http.port": port,
        "store": store,
        "roles": [name.strip() for name in ",".join(role).split(",") if name.strip()] if role else None,
        "log.level": log_level,
    }
    raise typer.Exit(run_serve(config, explicit, check=check))


@app.command()
def talk(
    wav: Annotated[
        Path, typer.Option(help="What the caller says: a WAV file of any rate, channels and bit depth.")
    ],
    assistant: Annotated[str, typer.Option(help="Who answers.")] = "bank",
    out: Annotated[Path | None, typer.Option(help="Write what the caller hears to this WAV file.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write turns and latencies to this JSON file.")] = None,
    stt: Annotated[str | None, typer.Option(help="Another recogniser, as vendor/model.")] = None,
    llm: Annotated[str | None, typer.Option(help="Another language model, as vendor/model.")] = None,
    tts: Annotated[str | None, typer.Option(help="Another voice, as vendor/model:voice.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
    linger: Annotated[
        float, typer.Option(help="Seconds of rest after which the conversation is over.")
    ] = 2.0,
    at_once: Annotated[
        bool, typer.Option("--at-once", help="Begin to speak at once, over the greeting.")
    ] = False,
    whole: Annotated[
        bool, typer.Option("--whole", help="Play the recording to its end, even if the rest of it is silent.")
    ] = False,
    max_duration: Annotated[
        float | None, typer.Option(help="Hang up this many seconds after the recording began.")
    ] = None,
    log_level: LogLevel = "error",
) -> None:
    """Hold a whole conversation in real time, with a recording as the caller. Docs: docs/talk.md."""
    set_up_logging(log_level)
    from .talk import TalkOptions
    from .talk import talk as hold

    options = TalkOptions(
        assistant=assistant,
        wav=wav,
        out=out,
        report=report,
        stt=stt,
        llm=llm,
        tts=tts,
        quiet=quiet,
        linger=linger,
        at_once=at_once,
        whole=whole,
        max_duration=max_duration,
    )
    raise typer.Exit(run(hold(options)))


@app.command()
def doctor() -> None:
    """Show what is ready on this machine, what is missing, and how to get it."""
    from .doctor import examine

    raise typer.Exit(examine())
