"""Lists: how many, from where, and in which order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import Depends, Query

from ...store import Page, Store, Where

MOST = 200


@dataclass(frozen=True, slots=True)
class Paging:
    """A page that a client asks for."""

    limit: int
    cursor: str | None
    newest_first: bool

    async def find(self, store: Store, collection: str, where: Where) -> Page:
        """The page, as the store shows it. Raises InvalidCursor."""
        return await store.find(
            collection, where, limit=self.limit, cursor=self.cursor, newest_first=self.newest_first
        )


def _paging(
    limit: Annotated[int, Query(ge=1, le=MOST, description="How many on a page.", examples=[50])] = 50,
    cursor: Annotated[
        str | None, Query(max_length=500, description="`next_cursor` of the page before.", examples=["WyJ…"])
    ] = None,
    order: Annotated[
        Literal["newest", "oldest"], Query(description="What comes first.", examples=["newest"])
    ] = "newest",
) -> Paging:
    return Paging(limit, cursor, order == "newest")


Paged = Annotated[Paging, Depends(_paging)]


def filters(**given: Any) -> dict[str, Any]:
    """A filter of those that were given."""
    return {name: value for name, value in given.items() if value is not None}
