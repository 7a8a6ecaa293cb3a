"""Where the files are that are not Python: the page, the guides, Swagger UI, the migrations and the Edge Function.

An installed package holds them in its directory `data`; hatch_build.py puts them there. A checkout has them where they
are edited.
"""

from pathlib import Path

_PACKAGED = Path(__file__).parent / "data"
_CHECKOUT = Path(__file__).parents[2]
# Name in the package -> path in a checkout.
SOURCES = {
    "page": "service/web/dist",
    "guides": "docs/guides",
    "swagger-ui": "node_modules/swagger-ui-dist",
    "supabase": "supabase",
}


def directory(name: str) -> Path:
    """The directory with this name in SOURCES."""
    packaged = _PACKAGED / name
    return packaged if packaged.is_dir() else _CHECKOUT / SOURCES[name]


def checkout() -> Path:
    """The project's directory, whose node_modules may contain ffprobe; for an installed package, one without it."""
    return _CHECKOUT
