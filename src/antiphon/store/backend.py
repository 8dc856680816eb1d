"""What a database must do for the store: few operations, each atomic on one document."""

from __future__ import annotations

from abc import ABC, abstractmethod

from .changes import Changes
from .cursor import Place
from .documents import Collection, Document
from .filters import Where


class Backend(ABC):
    """One database. All arguments were checked; documents come and go as they are stored (secrets sealed).

    Every operation raises StoreUnavailable when the database does not answer within its deadline, or that of `hurried`, and
    other StoreErrors for what trying again does not mend.
    """

    @abstractmethod
    async def connect(self) -> None:
        """Open the database; raises StoreUnavailable, StoreCorrupt or StoreError with what to do about it."""

    @abstractmethod
    async def disconnect(self) -> None:
        """Finish the writes in progress and close."""

    @abstractmethod
    async def ping(self) -> None:
        """Ask the database for an answer."""

    @abstractmethod
    async def prepare(self, collection: Collection) -> None:
        """Make the collection and its indexes where they are missing; several processes may do so at once."""

    @abstractmethod
    async def insert(self, collection: Collection, document: Document) -> None:
        """Store a new document; raises AlreadyExists, naming the field."""

    @abstractmethod
    async def fetch(self, collection: Collection, id: str) -> Document | None:
        """The document with this id, deleted or not."""

    @abstractmethod
    async def select(
        self,
        collection: Collection,
        where: Where,
        *,
        limit: int,
        after: Place | None = None,
        newest_first: bool = False,
    ) -> list[Document]:
        """The first documents after a place, in the order of `created_at` and then `id`."""

    @abstractmethod
    async def count(self, collection: Collection, where: Where) -> int:
        """How many documents there are."""

    @abstractmethod
    async def modify(
        self, collection: Collection, where: Where, changes: Changes, *, order_by: str = "created_at"
    ) -> Document | None:
        """Change the first document that `where` chooses, and return it as it is then; None if there is no such document.

        Choosing and changing are one step: of two callers at once, the second sees what the first made of the document.
        """

    @abstractmethod
    async def remove(self, collection: Collection, where: Where, *, limit: int) -> int:
        """Remove up to `limit` documents, and return how many it were."""
