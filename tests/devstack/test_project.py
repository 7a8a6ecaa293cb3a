"""Reading supabase/config.toml."""

from pathlib import Path

import pytest

from devstack.errors import StackError
from devstack.project import Project

CONFIG = """
[api]
schemas = ["public", "assetdock"]

[storage]
file_size_limit = "5GiB"

[storage.buckets.assets]
public = false
file_size_limit = "500MiB"
allowed_mime_types = ["audio/mpeg"]
objects_path = "./assets"
"""


def project(directory: Path, config: str) -> Project:
    (directory / "supabase").mkdir(exist_ok=True)
    (directory / "supabase/config.toml").write_text(config)
    return Project.read(directory)


def test_reads_schemas_sizes_and_buckets_like_the_cli(tmp_path: Path) -> None:
    read = project(tmp_path, CONFIG)

    assert read.schemas == ("public", "assetdock")
    assert read.size_limit == 5 * 1024**3
    assert read.buckets == {
        "assets": {"public": False, "allowed_mime_types": ["audio/mpeg"], "file_size_limit": 500 * 1024**2}
    }


def test_project_without_config_has_no_buckets(tmp_path: Path) -> None:
    assert Project.read(tmp_path).buckets == {}


def test_rejects_a_malformed_size(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="write it as 50MiB"):
        project(tmp_path, CONFIG.replace("500MiB", "plenty"))
