"""A bare Starlette route under our server: what any service like ours costs before it does anything.

`python -m bench.serving.bare PORT BYTES`: reads the body and answers with BYTES of JSON.
"""

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def main(port: int, size: int) -> None:
    """Serves until it is stopped."""
    answer = b'"' + b"x" * (size - 2) + b'"'

    async def route(request: Request) -> Response:
        await request.body()
        return Response(answer, media_type="application/json")

    uvicorn.run(
        Starlette(routes=[Route("/", route, methods=["GET", "POST"])]),
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
