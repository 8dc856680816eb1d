"""Create, list, read, change and delete, the same for every kind of document that people write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from ...calls.document import DocumentT
from ...calls.resource import Resource
from ...store import Conflict
from ..problems import Problem
from .openapi import Answer, Body, Id, operation
from .paging import Paged, filters
from .requests import etag, expected_version, read_object
from .schemas import page_of
from .services import store_of

IF_MATCH = {"If-Match": ("The `ETag` that was read: refuse if the document has changed since.", '"3"')}
_ETAG = {"ETag": "The version of the document, for `If-Match`."}


@dataclass(frozen=True)
class ResourceRoutes(Generic[DocumentT]):
    """The routes of one kind of document.

    Attributes:
        resource: what it is.
        stored: what is shown of it.
        path: as `/assistants`.
        scope: what its scopes begin with, as `assistants`.
        filters: fields by which a list can be narrowed, with a description and an example of each.
        create_examples: bodies of `POST`, by name.
        patch_examples: bodies of `PATCH`, by name.
        example: one as it is shown.
    """

    resource: Resource[DocumentT]
    stored: type[BaseModel]
    path: str
    scope: str
    filters: Mapping[str, tuple[str, Any]]
    create_examples: Mapping[str, Any]
    patch_examples: Mapping[str, Any]
    example: Mapping[str, Any]

    @property
    def _tag(self) -> str:
        return self.path.strip("/")

    @property
    def _one(self) -> str:
        return self.resource.noun.replace(" ", "_")

    def router(self) -> APIRouter:
        """A router with all of them."""
        router = APIRouter()
        self._add_create(router)
        self._add_list(router)
        self._add_read(router)
        self._add_patch(router)
        self._add_delete(router)
        return router

    async def change(self, request: Request, id: str, patch: Mapping[str, Any]) -> Response:
        """Apply a patch, and answer with what came of it."""
        version = expected_version(request)
        try:
            document = await self.resource.update(store_of(request), id, patch, expected_version=version)
        except Conflict as error:
            raise _stale(error, version) from error
        return JSONResponse(document, headers=etag(document))

    def _add_create(self, router: APIRouter) -> None:
        example = dict(self.example)
        location = {**_ETAG, "Location": "Where it is from now on."}

        @router.post(
            self.path,
            **operation(
                self._tag,
                f"create_{self._one}",
                f"Create: {self.resource.noun}",
                scope=f"{self.scope}:write",
                body=Body(self.resource.model, self.create_examples),
                answer=Answer(201, self.stored, example, location),
                problems=(409,),
            ),
        )
        async def create(request: Request) -> Response:
            document = await self.resource.create(store_of(request), await read_object(request))
            headers = {"Location": f"{self.path}/{document['id']}", **etag(document)}
            return JSONResponse(document, 201, headers)

    def _add_list(self, router: APIRouter) -> None:
        names = list(self.filters)

        @router.get(
            self.path,
            **operation(
                self._tag,
                f"list_{self._one}",
                f"List: {self.resource.noun}",
                scope=f"{self.scope}:read",
                answer=Answer(
                    200, page_of(self.stored), {"items": [dict(self.example)], "next_cursor": None}
                ),
                problems=(422,),
                query=self.filters,
            ),
        )
        async def list_all(request: Request, paging: Paged) -> Response:
            where = filters(**{name: request.query_params.get(name) for name in names})
            page = await self.resource.find(
                store_of(request),
                where,
                limit=paging.limit,
                cursor=paging.cursor,
                newest_first=paging.newest_first,
            )
            return JSONResponse({"items": page.items, "next_cursor": page.next_cursor})

    def _add_read(self, router: APIRouter) -> None:
        @router.get(
            f"{self.path}/{{id}}",
            **operation(
                self._tag,
                f"read_{self._one}",
                f"Read: {self.resource.noun}",
                scope=f"{self.scope}:read",
                answer=Answer(200, self.stored, dict(self.example), _ETAG),
                problems=(404, 422),
            ),
        )
        async def read(request: Request, id: Id) -> Response:
            document = await self.resource.get(store_of(request), id)
            return JSONResponse(document, headers=etag(document))

    def _add_patch(self, router: APIRouter) -> None:
        @router.patch(
            f"{self.path}/{{id}}",
            **operation(
                self._tag,
                f"change_{self._one}",
                f"Change fields: {self.resource.noun}",
                scope=f"{self.scope}:write",
                body=Body(self.resource.model, self.patch_examples, partial=True),
                answer=Answer(200, self.stored, dict(self.example), _ETAG),
                problems=(404, 409, 412),
                headers=IF_MATCH,
            ),
        )
        async def patch(request: Request, id: Id) -> Response:
            return await self.change(request, id, await read_object(request))

    def _add_delete(self, router: APIRouter) -> None:
        @router.delete(
            f"{self.path}/{{id}}",
            **operation(
                self._tag,
                f"delete_{self._one}",
                f"Delete: {self.resource.noun}",
                scope=f"{self.scope}:write",
                answer=Answer(204, description="It is deleted."),
                problems=(404, 409, 412, 422),
                headers=IF_MATCH,
            ),
        )
        async def delete(request: Request, id: Id) -> Response:
            version = expected_version(request)
            try:
                await self.resource.delete(store_of(request), id, expected_version=version)
            except Conflict as error:
                raise _stale(error, version) from error
            return Response(status_code=204)


def _stale(error: Conflict, version: int | None) -> Problem:
    if version is None:
        return Problem(409, "conflict", "The document changes too often just now; try again.")
    return Problem(
        412, "version_mismatch", f"If-Match does not hold: {error}. Read it again and decide anew."
    )
