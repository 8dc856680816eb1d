"""`/keys`: API keys. A key can make, rotate and revoke only keys that can do no more than itself."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from ...calls.document import parse
from ...store import Conflict
from .. import api_keys
from ..problems import Problem
from .openapi import Answer, Body, Id, operation
from .paging import Paged
from .requests import etag, expected_version, read_object
from .resource_routes import IF_MATCH
from .schemas import Key, KeyRequest, NewKey, RotateRequest, page_of
from .services import principal_of, store_of

router = APIRouter()

_KEY = {
    "id": "key_0199e5a1c4b7",
    "version": 1,
    "created_at": 1760000000.0,
    "updated_at": 1760000000.0,
    "name": "dashboard",
    "prefix": "ak_x3Jk9Q",
    "scopes": ["assistants:read", "calls:read"],
    "expires_at": None,
    "last_used_at": None,
    "rotated_from": None,
    "rotated_at": None,
}
_NEW_KEY = {**_KEY, "key": "ak_x3Jk9Q…"}


@router.post(
    "/keys",
    **operation(
        "keys",
        "create_key",
        "Make a key; the answer is the only one that shows it",
        scope="keys:write",
        body=Body(KeyRequest, {"reader": {"name": "dashboard", "scopes": ["assistants:read", "calls:read"]}}),
        answer=Answer(201, NewKey, _NEW_KEY, {"Location": "Where it is from now on."}),
    ),
)
async def create(request: Request) -> Response:
    wanted = parse(KeyRequest, await read_object(request))
    key, document = await api_keys.create_key(
        store_of(request),
        wanted.name,
        wanted.scopes,
        expires_at=wanted.expires_at,
        by=principal_of(request),
    )
    return _created(key, document)


@router.get(
    "/keys",
    **operation(
        "keys",
        "list_keys",
        "List keys",
        scope="keys:write",
        answer=Answer(200, page_of(Key), {"items": [_KEY], "next_cursor": None}),
        problems=(422,),
    ),
)
async def list_keys(request: Request, paging: Paged) -> Response:
    page = await paging.find(store_of(request), api_keys.COLLECTION, {})
    return JSONResponse(
        {"items": [api_keys.shown(item) for item in page.items], "next_cursor": page.next_cursor}
    )


@router.get(
    "/keys/{id}",
    **operation(
        "keys",
        "read_key",
        "Read a key's rights and dates",
        scope="keys:write",
        answer=Answer(200, Key, _KEY, {"ETag": "The version of the document, for `If-Match`."}),
        problems=(404, 422),
    ),
)
async def read(request: Request, id: Id) -> Response:
    document = await store_of(request).get(api_keys.COLLECTION, id)
    return JSONResponse(api_keys.shown(document), headers=etag(document))


@router.post(
    "/keys/{id}/rotate",
    **operation(
        "keys",
        "rotate_key",
        "Make a key that replaces this one, which goes on working for a while",
        scope="keys:write",
        body=Body(RotateRequest, {"an hour": {"grace_seconds": 3600}}, optional=True),
        answer=Answer(
            201,
            NewKey,
            {**_NEW_KEY, "rotated_from": "key_0199e5a1b000"},
            {"Location": "Where it is from now on."},
        ),
        problems=(404, 409),
    ),
)
async def rotate(request: Request, id: Id) -> Response:
    wanted = parse(RotateRequest, await read_object(request, optional=True))
    key, document = await api_keys.rotate_key(
        store_of(request), id, grace_seconds=wanted.grace_seconds, by=principal_of(request)
    )
    return _created(key, document)


@router.delete(
    "/keys/{id}",
    **operation(
        "keys",
        "revoke_key",
        "Revoke a key: it is useless at once",
        scope="keys:write",
        answer=Answer(204, description="It is revoked."),
        problems=(404, 409, 412, 422),
        headers=IF_MATCH,
    ),
)
async def revoke(request: Request, id: Id) -> Response:
    version = expected_version(request)
    try:
        await api_keys.revoke_key(store_of(request), id, by=principal_of(request), expected_version=version)
    except Conflict as error:
        raise Problem(412, "version_mismatch", f"If-Match does not hold: {error}.") from error
    return Response(status_code=204)


def _created(key: str, document: dict[str, object]) -> Response:
    shown = api_keys.shown(document)
    return JSONResponse({**shown, "key": key}, 201, {"Location": f"/keys/{shown['id']}", **etag(shown)})
