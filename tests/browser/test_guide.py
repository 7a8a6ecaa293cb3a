"""The code of docs/guides/supabase-js.md in a real Chromium, with files whose type the browser does not know."""

import base64
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.callers import Json, Project
from tests.media import make
from tests.processes import PROJECT, Service
from tests.service.test_supabase_js import GUIDE, new_user

LIBRARY = PROJECT / "node_modules/@supabase/supabase-js/dist/umd/supabase.js"


def code() -> str:
    """The guide's code as a classic script."""
    script = "\n".join(re.findall(r"^```js\n(.*?)^```", GUIDE.read_text(), re.M | re.S))
    script = re.sub(r"^import .*$", "const { createClient } = supabase;", script, flags=re.M)
    return re.sub(r"^export ", "", script, flags=re.M)


@pytest.mark.usefixtures("worker")
def test_files_without_a_type_become_ready_with_the_guides_code(
    browser: Browser, service: Service, project: Project, tmp_path: Path
) -> None:
    user = new_user(project)
    page = browser.new_page()
    page.goto(f"{service.url}/healthz")  # an origin without a Content-Security-Policy
    page.evaluate(LIBRARY.read_text())
    page.evaluate(
        f"([url, key, user]) => {{ {code()}\n"
        "globalThis.guide = {upload, settled};"
        "globalThis.mine = connect(url, key);"
        "return mine.auth.signInWithPassword(user); }",
        [project.supabase_url, project.publishable_key, {"email": user["email"], "password": user["password"]}],
    )

    def upload(name: str, source: str, media_type: str, asset_type: str | None = None) -> Json:
        asset: Json = page.evaluate(
            "async ([base64, name, options, type]) => guide.settled(mine, await guide.upload(mine,"
            " new File([Uint8Array.from(atob(base64), each => each.charCodeAt(0))], name, options), type))",
            [base64.b64encode(make(source, tmp_path).read_bytes()).decode(), name, {"type": media_type}, asset_type],
        )
        return asset

    settled = {name: upload(name, f"{name}.webm", "") for name in ("film", "sound")}
    corrected = upload("voice.caf", "sound.caf", "", "audio")  # Chromium cannot play CAF: the person says what it is
    page.close()

    assert {name: (asset["type"], asset["state"]) for name, asset in settled.items()} == {
        "film": ("video", "ready"),
        "sound": ("audio", "ready"),
    }
    assert (corrected["state"], corrected["content_type"]) == ("ready", "audio/x-caf")
