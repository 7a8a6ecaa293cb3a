"""POST /assets/upload-url with FastAPI and supabase-py, one client for the process.

It forwards the caller's token unverified, calls the same SQL function, requests the same signed URL and returns the
same fields. It has no API keys, error translation, rate limit, metrics or request log.
`python -m bench.peers.fastapi_peer PORT`; the environment has SUPABASE_URL and SUPABASE_PUBLISHABLE_KEY.
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import uvicorn
from fastapi import FastAPI, Header
from pydantic import BaseModel

from supabase import AsyncClient, acreate_client

supabase: AsyncClient


class Body(BaseModel):
    """The request body."""

    type: str
    content_type: str | None = None


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Creates the client."""
    global supabase  # noqa: PLW0603 - the usual pattern
    supabase = await acreate_client(os.environ["SUPABASE_URL"], os.environ["SUPABASE_PUBLISHABLE_KEY"])
    yield


app = FastAPI(lifespan=lifespan)


@app.post("/api/v1/assets/upload-url", status_code=201)
async def create_upload_url(body: Body, authorization: Annotated[str, Header()]) -> dict[str, Any]:
    """Reserves an asset and returns a signed upload URL."""
    call = supabase.schema("assetdock").rpc("create_upload", body.model_dump(exclude_none=True))
    call.request.headers["Authorization"] = authorization
    reservation: Any = (await call.execute()).data
    signed = await supabase.storage.from_("assets").create_signed_upload_url(reservation["object_name"])
    return {
        "asset": reservation["asset"],
        "upload": {
            "method": "PUT",
            "url": signed["signed_url"],
            "headers": {"Content-Type": body.content_type},
            "expires_at": reservation["upload_expires_at"],
        },
    }


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=False, log_level="warning")
