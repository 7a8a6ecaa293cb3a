"""The rate limit: requests per minute and owner, over all credentials of the owner."""

import time
from typing import Literal

from limits import RateLimitItemPerMinute
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from assetdock_server import metrics
from assetdock_server.errors import ApiError
from assetdock_server.routes.windows import Windows

Header = Literal["RateLimit", "RateLimit-Policy"]
WINDOW_SECONDS = 60


class RateLimit:
    """Counts the requests of this process. With several replicas, each replica allows the full rate."""

    def __init__(self, per_minute: int | None) -> None:
        """With `per_minute` None there is no limit."""
        self._item = RateLimitItemPerMinute(per_minute) if per_minute else None
        self._limiter = SlidingWindowCounterRateLimiter(Windows())

    async def hit(self, owner_id: str) -> dict[str, str]:
        """Counts one request. Returns the headers of draft-ietf-httpapi-ratelimit-headers.

        Raises ApiError `rate_limited`.
        """
        if self._item is None:
            return {}
        allowed = await self._limiter.hit(self._item, owner_id)
        window = await self._limiter.get_window_stats(self._item, owner_id)
        seconds = max(1, round(window.reset_time - time.time()))
        headers = {
            "RateLimit-Policy": f'"requests";q={self._item.amount};w={WINDOW_SECONDS}',
            "RateLimit": f'"requests";r={max(0, window.remaining)};t={seconds}',
        }
        if not allowed:
            metrics.rate_limited.inc()
            raise ApiError("rate_limited", headers={**headers, "Retry-After": str(seconds)})
        return headers
