"""Where recordings lie: a local folder, and behind it, if wanted, anything that fsspec reaches (S3, GCS, Azure, SFTP, …).

A recording is always written to the folder first, because a network is no place to write to during a call.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ...models.errors import ConfigurationError
from .info import RecordingUnavailable

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem  # type: ignore[import-untyped]

T = TypeVar("T")

SUFFIX = ".ogg"
PART = ".ogg.part"
DEADLINE = 60.0
"""Seconds for one operation on the storage, an upload excepted."""
UPLOAD_DEADLINE = 900.0
_THREADS = 4


class Place(Protocol):
    """One storage; names are those of files. Methods block and raise what the storage raises."""

    def read(self, name: str, start: int, end: int) -> bytes:
        """The bytes from `start` up to `end`."""

    def remove(self, name: str) -> None:
        """Delete it; one that is not there is no error."""


class LocalFolder:
    """A folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        return self.folder / name

    def read(self, name: str, start: int, end: int) -> bytes:
        with self.path(name).open("rb") as file:
            file.seek(start)
            return file.read(end - start)

    def remove(self, name: str) -> None:
        for path in (self.path(name), self.path(name + ".part")):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                path.unlink()


class RemoteFolder:
    """A folder of a file system of fsspec."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        """Prepare; nothing is connected to yet.

        Raises:
            ConfigurationError: the URL names a storage for which a package is missing, or is none.
        """
        self.url = url.rstrip("/")
        self._options = {**({"auto_mkdir": True} if url.startswith("file:") else {}), **options}
        try:
            import fsspec

            fsspec.get_filesystem_class(self.url.split("://", 1)[0])
        except ImportError as error:
            raise ConfigurationError(f"recordings cannot be stored at {url}: {error}") from error
        except ValueError as error:
            raise ConfigurationError(
                f"recordings cannot be stored at {url}: {error}; "
                "give a folder, or a URL such as s3://bucket/recordings"
            ) from error
        self._system: AbstractFileSystem | None = None

    def url_of(self, name: str) -> str:
        return f"{self.url}/{name}"

    def put(self, source: Path, name: str) -> None:
        """Upload a file, over one that is there."""
        size = source.stat().st_size
        system, path = self._connected(name)
        try:
            system.put_file(str(source), path)
            stored = system.size(path)
        except FileNotFoundError as error:  # not ours: the bucket, for instance
            raise OSError(f"{self.url} does not exist: {error}") from error
        if stored != size:
            raise OSError(f"{self.url_of(name)} has {stored} bytes after {size} were uploaded")

    def read(self, name: str, start: int, end: int) -> bytes:
        system, path = self._connected(name)
        data: bytes = system.cat_file(path, start=start, end=end)
        return data

    def remove(self, name: str) -> None:
        system, path = self._connected(name)
        try:
            system.rm_file(path)
        except FileNotFoundError:
            return

    def _connected(self, name: str) -> tuple[AbstractFileSystem, str]:
        import fsspec

        if self._system is None:
            self._system, _ = fsspec.core.url_to_fs(self.url, **self._options)
        return self._system, self._system._strip_protocol(self.url_of(name))


class RecordingStorage:
    """The folder, and what is behind it.

    Attributes:
        local: where recordings are written.
        remote: where they go when they are complete; None: they stay.
    """

    def __init__(
        self,
        folder: Path | str,
        url: str | None = None,
        *,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """Choose the places.

        Args:
            folder: of this machine; made when it is missing, readable by its owner only.
            url: of fsspec, such as `s3://bucket/recordings`, or None. Credentials come from where its package looks for them
                (for S3: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_ENDPOINT_URL`, or the machine's role).
            options: what the package takes beside the URL.

        Raises:
            ConfigurationError: the URL cannot be used.
        """
        self.local = LocalFolder(Path(folder).resolve())
        self.remote = RemoteFolder(url, options or {}) if url else None
        self._options = dict(options or {})
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="recording storage")

    async def run(self, work: Callable[..., T], *args: Any, deadline: float = DEADLINE) -> T:
        """Have a thread do it.

        Raises:
            RecordingUnavailable: it took too long, or the storage failed; the message says how.
            FileNotFoundError: there is no such file.
        """
        try:
            async with asyncio.timeout(deadline):
                return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)
        except FileNotFoundError:
            raise
        except TimeoutError as error:
            raise RecordingUnavailable(f"the storage did not answer within {deadline:g} s") from error
        except Exception as error:  # each package of fsspec has errors of its own
            raise RecordingUnavailable(f"the storage failed: {type(error).__name__}: {error}") from error

    def remote_of(self, url: str | None) -> RemoteFolder | None:
        """Where an uploaded recording lies, which need not be where uploads go today."""
        folder = url.rsplit("/", 1)[0] if url else None
        if folder is None or (self.remote is not None and self.remote.url == folder):
            return self.remote
        return RemoteFolder(folder, self._options)

    def check(self) -> None:
        """Try whether the folder can be written; blocks.

        Raises:
            ConfigurationError: it cannot; the message says why.
        """
        folder = self.local.folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            probe = folder / f".probe-{os.getpid()}"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise ConfigurationError(
                f"calls cannot be recorded to {folder}: {error.strerror or error}; "
                "let the server's user write there, or choose another folder"
            ) from error

    def close(self) -> None:
        """Let the threads end; what they are doing is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)
