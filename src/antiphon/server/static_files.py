"""The web page's files, held in memory and served with the types and validators that browsers want."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import Response

# The operating system's table may know none of these, or know them wrong.
_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "ico": "image/x-icon",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "png": "image/png",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
    "webmanifest": "application/manifest+json",
    "woff2": "font/woff2",
}


@dataclass(frozen=True)
class StaticFile:
    """One file: what it holds, its media type, and a validator that changes with its content."""

    content: bytes
    media_type: str
    etag: str


class StaticFiles:
    """All files of `server/static`, by path relative to it."""

    def __init__(self) -> None:
        self._files: dict[str, StaticFile] = {}
        self._read(files("antiphon.server") / "static", "")

    def response(self, path: str, request: Request) -> Response | None:
        """Answer a GET or HEAD; None when there is no such file."""
        file = self._files.get(path)
        if file is None:
            return None
        # Modules import each other by plain names, so browsers must ask whether what they hold is still right.
        headers = {"Cache-Control": "no-cache", "ETag": file.etag}
        known = [
            tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")
        ]
        if file.etag in known:
            return Response(status_code=304, headers=headers)
        return Response(file.content, headers=headers, media_type=file.media_type)

    def _read(self, folder: Traversable, prefix: str) -> None:
        for entry in folder.iterdir():
            if entry.is_dir():
                self._read(entry, f"{prefix}{entry.name}/")
                continue
            media_type = _TYPES.get(entry.name.rpartition(".")[2])
            if media_type is not None:
                content = entry.read_bytes()
                etag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
                self._files[prefix + entry.name] = StaticFile(content, media_type, etag)
