"""Uploads through s3fs, against a small server that speaks as much of S3 as they need."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from antiphon.calls.recording import RecordingStorage, RecordingUnavailable

pytestmark = pytest.mark.needs("s3fs")

DATA = bytes(range(256)) * 40


class S3(BaseHTTPRequestHandler):
    """One bucket, `calls`, in memory: PutObject, HeadObject, GetObject, DeleteObject, ListObjectsV2."""

    objects: dict[str, bytes]
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        body = self._body()
        if not self.path.startswith("/calls/"):
            self._answer(404, _error("NoSuchBucket"))
            return
        self.objects[self._key] = body
        self._answer(200, etag=True)

    def do_HEAD(self) -> None:
        if self._key in self.objects:
            self._answer(200, self.objects[self._key], etag=True)
        else:
            self._answer(404)

    def do_GET(self) -> None:
        if "list-type" in self.path:
            self._answer(
                200, b'<?xml version="1.0"?><ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>'
            )
        elif self._key not in self.objects:
            self._answer(404, _error("NoSuchKey"))
        elif wanted := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("range", "")):
            first, last = map(int, wanted.groups())
            self._answer(206, self.objects[self._key][first : last + 1])
        else:
            self._answer(200, self.objects[self._key], etag=True)

    def do_DELETE(self) -> None:
        self.objects.pop(self._key, None)
        self._answer(204)

    @property
    def _key(self) -> str:
        return self.path.split("?")[0].removeprefix("/calls/")

    def _body(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if "aws-chunked" not in self.headers.get("content-encoding", ""):
            return body
        whole, rest = b"", body
        while size := int(rest.split(b"\r\n", 1)[0].split(b";")[0], 16):
            start = rest.index(b"\r\n") + 2
            whole, rest = whole + rest[start : start + size], rest[start + size + 2 :]
        return whole

    def _answer(self, status: int, body: bytes = b"", *, etag: bool = False) -> None:
        self.send_response(status)
        if etag:
            self.send_header("ETag", '"0123456789abcdef"')
            self.send_header("Last-Modified", "Tue, 01 Jul 2025 00:00:00 GMT")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def _error(code: str) -> bytes:
    return f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{code}</Message></Error>'.encode()


@pytest.fixture
def server() -> Iterator[tuple[str, dict[str, bytes]]]:
    """Its address, and what is stored there."""
    handler = type("Handler", (S3,), {"objects": {}})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}", handler.objects  # type: ignore[attr-defined]
        running.shutdown()
        thread.join(5)


def storage(folder: Path, url: str, endpoint: str) -> RecordingStorage:
    options = {
        "key": "test",
        "secret": "test",
        "endpoint_url": endpoint,
        "client_kwargs": {"region_name": "us-east-1"},
    }
    return RecordingStorage(folder, url, options=options)


def test_put_read_remove(tmp_path: Path, server: tuple[str, dict[str, bytes]], run_clean: Any) -> None:
    endpoint, objects = server
    (tmp_path / "a.ogg").write_bytes(DATA)

    async def main() -> None:
        one = storage(tmp_path, "s3://calls/of/today", endpoint)
        assert one.remote is not None
        await one.run(one.remote.put, tmp_path / "a.ogg", "a.ogg", deadline=20)
        assert objects == {"of/today/a.ogg": DATA}
        assert await one.run(one.remote.read, "a.ogg", 10, 300) == DATA[10:300]
        await one.run(one.remote.remove, "a.ogg")
        assert objects == {}
        await one.run(one.remote.remove, "a.ogg")
        with pytest.raises(FileNotFoundError):
            await one.run(one.remote.read, "a.ogg", 0, 10)
        one.close()

    run_clean(main())


def test_a_bucket_that_is_not_there_is_an_error_that_can_be_tried_again(
    tmp_path: Path, server: tuple[str, dict[str, bytes]], run_clean: Any
) -> None:
    (tmp_path / "a.ogg").write_bytes(DATA)

    async def main() -> None:
        one = storage(tmp_path, "s3://elsewhere", server[0])
        assert one.remote is not None
        with pytest.raises(RecordingUnavailable, match="s3://elsewhere"):
            await one.run(one.remote.put, tmp_path / "a.ogg", "a.ogg", deadline=20)
        one.close()

    run_clean(main())
