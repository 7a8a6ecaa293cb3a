"""Puts the files that are not Python into the wheel and the sdist, where service/assetdock_server/files.py finds them.

The page is built first if it is missing, which needs Node 20. An sdist contains the built page, so installing from an
sdist needs no Node.
"""

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "assetdock_server/data"
SWAGGER_UI = "node_modules/swagger-ui-dist"
# Path in the project -> path in the package.
FILES = {
    "service/web/dist": f"{PACKAGE}/page",
    "docs/guides": f"{PACKAGE}/guides",
    f"{SWAGGER_UI}/swagger-ui-bundle.js": f"{PACKAGE}/swagger-ui/swagger-ui-bundle.js",
    f"{SWAGGER_UI}/swagger-ui.css": f"{PACKAGE}/swagger-ui/swagger-ui.css",
    f"{SWAGGER_UI}/LICENSE": f"{PACKAGE}/swagger-ui/LICENSE",
    "supabase/config.toml": f"{PACKAGE}/supabase/config.toml",
    "supabase/migrations": f"{PACKAGE}/supabase/migrations",
    "supabase/functions/upload-url": f"{PACKAGE}/supabase/functions/upload-url",
}


class FilesHook(BuildHookInterface[Any]):
    """Adds FILES to a wheel, and to an sdist those of them that git ignores."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it builds a wheel or an sdist."""
        if version == "editable":
            return
        root = Path(self.root)
        if not (root / "service/web/dist/index.html").is_file():
            _build_page(root)
        for source, target in FILES.items():
            if self.target_name == "wheel":
                build_data["force_include"][str(root / source)] = target
            elif source.startswith((SWAGGER_UI, "service/web/dist")):
                build_data["force_include"][str(root / source)] = source


def _build_page(root: Path) -> None:
    if not shutil.which("npm"):
        raise RuntimeError("The page is not built. Install Node 20 with npm, or use an sdist, which contains it.")
    if not (root / SWAGGER_UI).is_dir():
        subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=root, check=True)
    subprocess.run(["node", "service/web/build.mjs"], cwd=root, check=True)
