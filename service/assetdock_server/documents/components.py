"""Components of the OpenAPI document that no model describes: credentials, headers and header parameters."""

from typing import Any

from assetdock_server.routes.descriptions.examples import ASSET_ID

Json = dict[str, Any]

SECURITY_SCHEMES: Json = {
    "session": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A Supabase session's access token, for people in a browser or app. A session holds every scope "
        "except `assets:produce`, which an operator grants.",
    },
    "api_key": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "rk_live_…",
        "description": "An API key from `POST /api/v1/api-keys`, for programs. It holds the scopes given at creation.",
    },
}

HEADERS: Json = {
    "X-Request-Id": {
        "description": "The request's id: the one you sent if it was valid, else a new one. Include it in reports.",
        "required": True,
        "schema": {"type": "string", "minLength": 1, "maxLength": 128},
        "example": "b7e23ec29af22b0b4e41da31e868d572",
    },
    "Location": {
        "description": "The path of what was made.",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference"},
        "example": f"/api/v1/assets/{ASSET_ID}",
    },
    "RateLimit": {
        "description": 'What is left of the allowance: `"requests";r=<requests>;t=<seconds until it is whole>`. Absent '
        "where the operator set no limit.",
        "schema": {"type": "string"},
        "example": '"requests";r=1199;t=60',
    },
    "RateLimit-Policy": {
        "description": 'The allowance: `"requests";q=<requests>;w=<seconds>`. Absent where the operator set no limit.',
        "schema": {"type": "string"},
        "example": '"requests";q=1200;w=60',
    },
    "Retry-After": {
        "description": "Seconds to wait before repeating the request.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
        "example": 2,
    },
    "WWW-Authenticate": {
        "description": "The challenge of RFC 6750: `error` and, with 401, `error_description`.",
        "required": True,
        "schema": {"type": "string", "pattern": '^Bearer error="'},
        "example": 'Bearer error="invalid_token", error_description="The session has expired. Refresh it"',
    },
    "ETag": {
        "description": "Send it as If-None-Match to get 304 if the document has not changed.",
        "required": True,
        "schema": {"type": "string"},
        "example": '"33a64df551425fcc55e4d42a148795d9"',
    },
}

# No examples: Swagger UI would send them, and the second request with the same Idempotency-Key would fail.
PARAMETERS: Json = {
    "X-Request-Id": {
        "name": "X-Request-Id",
        "in": "header",
        "description": "Your own id for this request: up to 128 letters, digits and `._:/+=-`. The service replaces "
        "any other value.",
        "schema": {"type": "string"},  # no pattern: the service rejects no value
    },
    "Idempotency-Key": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Makes it safe to repeat the request for 24 hours: 1 to 255 visible ASCII characters. Use a new "
        "one for each request, such as the UUID `5f0c1f9e-0d0c-4b6c-9c1a-7a52f6f6c5d3`. See the guide on idempotency.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]*$"},
    },
    "If-None-Match": {
        "name": "If-None-Match",
        "in": "header",
        "description": "The ETag of your copy.",
        "schema": {"type": "string"},
    },
}
