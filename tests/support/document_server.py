"""A server that speaks MongoDB's wire protocol, for the tests of the store: Maven fetches it once, Java runs it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
HERE = Path(__file__).resolve().parent / "mongo"

FETCH_SECONDS = 110
START_SECONDS = 60


def libraries() -> Path:
    """The folder with the server's jars; fetched unless the cache has those of this pom.xml."""
    pom = HERE / "pom.xml"
    cache = ROOT / ".cache" / "mongo"
    folder = cache / hashlib.sha256(pom.read_bytes()).hexdigest()[:12]
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    fetched = Path(tempfile.mkdtemp(dir=cache, prefix="fetching-"))
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={fetched}"]
    result = subprocess.run(
        ["mvn", "--quiet", "--batch-mode", "--file", str(pom), *goal],
        capture_output=True,
        text=True,
        timeout=FETCH_SECONDS,
    )
    if result.returncode:
        shutil.rmtree(fetched)
        raise RuntimeError(f"Maven could not fetch the server:\n{result.stdout}{result.stderr}")
    with contextlib.suppress(OSError):  # another run was faster
        fetched.rename(folder)
    return folder


@contextlib.contextmanager
def running(heap: str = "512m") -> Iterator[str]:
    """Run the server with so much memory for documents; gives `mongodb://127.0.0.1:PORT`."""
    server = subprocess.Popen(
        ["java", f"-Xmx{heap}", "-cp", f"{libraries()}{os.sep}*", str(HERE / "DocumentServer.java")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        ready, _, _ = select.select([server.stdout], [], [], START_SECONDS)
        said = server.stdout.readline() if ready else "nothing"
        if not said.startswith("port "):
            raise RuntimeError(f"the server did not start: it said {said!r}")
        yield f"mongodb://127.0.0.1:{int(said.split()[1])}"
    finally:
        server.stdin.close()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(10)
        server.stdout.close()
