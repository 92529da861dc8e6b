"""`/v1/keys` and `/v1/me`: who may ask, and what."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import Field

from ptsys.api.authentication import Admin, Caller
from ptsys.api.context import Shared
from ptsys.api.forms import KeyRequest, NewKey
from ptsys.api.pages import Before, Limit, Page, page
from ptsys.api.problems import documented
from ptsys.errors import Forbidden
from ptsys.types.model import Value
from ptsys.types.records import ApiKey, Role
from ptsys.types.text import Text

router = APIRouter(tags=["keys"])


class UserLimits(Value):
    """How much the caller may ask for."""

    rows_per_request: int
    rows_per_minute: int
    jobs: int = Field(description="Unfinished jobs at a time.")
    body_bytes: int
    stored_bytes: int = Field(description="Of datasets and prompts; `/v1/usage` tells the rest.")
    stored_objects: int = Field(description="Datasets and prompts.")


class Me(Value):
    """Who the key belongs to."""

    user: str
    role: Role
    key: str = Field(description="The key's id, never its secret.")
    limits: UserLimits


@router.get("/v1/me", responses=documented())
def me(caller: Caller, context: Shared) -> Me:
    """Who you are to the service."""
    settings = context.settings
    return Me(
        user=caller.user,
        role=caller.role,
        key=caller.id,
        limits=UserLimits(
            rows_per_request=settings.max_request_rows,
            rows_per_minute=settings.rows_per_minute,
            jobs=settings.max_user_jobs,
            body_bytes=settings.max_body_bytes,
            stored_bytes=settings.max_user_bytes,
            stored_objects=settings.max_user_objects,
        ),
    )


class Share(Value):
    """How much of something is used, and the most that may be."""

    used: int
    most: int


class UsageView(Value):
    """What a user has of the service now."""

    user: str
    stored_bytes: Share = Field(
        description="Of datasets and prompts; what unfinished jobs will store is counted."
    )
    stored_objects: Share = Field(description="Datasets and prompts, those to come included.")
    jobs: Share = Field(description="Unfinished ones.")


@router.get("/v1/usage", responses=documented(403))
def usage(
    caller: Caller,
    context: Shared,
    user: Annotated[
        Text | None, Query(max_length=200, description="Another's. For admins.")
    ] = None,
) -> UsageView:
    """How much you store and run, of how much you may."""
    if user not in (None, caller.user) and caller.role != "admin":
        raise Forbidden("what other users store is for keys of role 'admin'")
    whose, settings = user or caller.user, context.settings
    used = context.service.storage.usage(whose)
    jobs = context.service.count_unfinished(whose)
    return UsageView(
        user=whose,
        stored_bytes=Share(used=used.bytes, most=settings.max_user_bytes),
        stored_objects=Share(used=used.objects, most=settings.max_user_objects),
        jobs=Share(used=jobs, most=settings.max_user_jobs),
    )


@router.get("/v1/keys", responses=documented(403))
def list_keys(
    caller: Admin,
    context: Shared,
    user: Annotated[Text | None, Query(max_length=200, description="Only this user's.")] = None,
    limit: Limit = 100,
    before: Before = None,
) -> Page[ApiKey]:
    """All keys, revoked ones too, newest first. For admins."""

    def found(count: int, last: str | None) -> list[ApiKey]:
        return context.service.keys.list(user=user, limit=count, before=last)

    return page(found, lambda key: key.id, limit, before)


@router.post("/v1/keys", status_code=201, responses=documented(403, 408, 413))
def create_key(wanted: KeyRequest, caller: Admin, context: Shared) -> NewKey:
    """Make a key; its secret is shown this once. For admins."""
    key, secret = context.service.keys.create(wanted.user, role=wanted.role, note=wanted.note)
    return NewKey(**key.model_dump(), secret=secret)


@router.delete("/v1/keys/{key}", status_code=204, responses=documented(403, 404, 409))
def revoke_key(
    key: Annotated[Text, Path(max_length=100)],
    caller: Admin,
    context: Shared,
    keep_jobs: Annotated[
        bool, Query(description="Let the jobs that it asked for go on: to change a user's key.")
    ] = False,
) -> None:
    """Revoke a key: it opens nothing from now on, on other hosts a second later. Unfinished jobs
    that it asked for end too. The last admin's key stays. For admins."""
    context.service.keys.revoke(key, keep_jobs=keep_jobs, keep_an_admin=context.owner is None)
    context.service.settle()
    context.keys.clear()
