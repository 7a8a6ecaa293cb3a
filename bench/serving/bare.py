"""A Starlette route that does nothing, under the same server as the service: the minimum that any such service costs.

`python -m bench.serving.bare PORT BYTES` reads the request body and responds with BYTES bytes of JSON.
"""

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def main(port: int, size: int) -> None:
    """Serves until the process is stopped."""
    content = b'"' + b"x" * (size - 2) + b'"'

    async def route(request: Request) -> Response:
        await request.body()
        return Response(content, media_type="application/json")

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
