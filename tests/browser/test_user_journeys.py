"""A person uses the page in a real Chromium."""
# ruff: noqa: RUF001 - the page's texts have typographic quotes

import subprocess
from pathlib import Path

from playwright.sync_api import Route, expect

from tests.browser.conftest import OpenTab
from tests.browser.tab import PASSWORD, Tab, wait_until_playing
from tests.polling import until
from tests.processes import Service


def test_sign_up_upload_play_download_delete_restore_and_sign_out(tab: Tab, email: str, film: Path) -> None:
    page = tab.page
    tab.sign_up(email)
    expect(page.get_by_text("Nothing here yet")).to_be_visible()

    tab.choose(film)
    row = tab.row("film.webm")
    expect(row).to_contain_text("0:12")  # without a reload
    expect(row).to_contain_text("320×240")
    expect(row).to_contain_text("VP8 + Opus in WebM")
    assert len(tab.sent("PUT", "/object/upload/sign/")) == 1

    row.get_by_role("button", name="Play film.webm").click()
    wait_until_playing(row.locator("video"))

    with page.expect_download() as download:
        row.get_by_role("button", name="Download film.webm").click()
    assert download.value.suggested_filename == "film.webm"

    row.get_by_role("button", name="Delete film.webm").click()
    expect(row).to_contain_text("Deleted")
    row.get_by_role("button", name="Undo").click()
    expect(row).to_contain_text("VP8 + Opus in WebM")

    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Welcome back")).to_be_visible()
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(tab.row("film.webm")).to_contain_text("0:12")


def test_several_files_dropped_together_become_ready(tab: Tab, email: str, wav: bytes) -> None:
    tab.sign_up(email)

    tab.page.evaluate(
        """sound => {
          const transfer = new DataTransfer();
          for (const name of ["one.wav", "two.wav", "three.wav", "four.wav"])
            transfer.items.add(new File([new Uint8Array(sound)], name, {type: "audio/wav"}));
          const options = {dataTransfer: transfer, bubbles: true, cancelable: true};
          for (const kind of ["dragenter", "dragover", "drop"])
            document.body.dispatchEvent(new DragEvent(kind, options));
        }""",
        list(wav),
    )

    for name in ("one.wav", "two.wav", "three.wav", "four.wav"):
        expect(tab.row(name)).to_contain_text("8 kHz · mono · PCM in WAV")
    row = tab.row("one.wav")
    row.get_by_role("button", name="Play one.wav").click()
    wait_until_playing(row.locator("audio"))


def test_files_that_are_not_media_are_rejected_with_a_message(tab: Tab, email: str, tmp_path: Path) -> None:
    notes, broken = tmp_path / "notes.txt", tmp_path / "broken.mp3"
    notes.write_text("Dear diary")
    broken.write_bytes(b"This is no sound at all. " * 100)
    tab.sign_up(email)

    tab.choose(notes, broken)

    expect(tab.row("notes.txt")).to_contain_text("neither audio nor video")
    expect(tab.row("broken.mp3").locator(".problem")).to_be_visible()
    assert len(tab.sent("POST", "/assets/upload-url")) == 1
    tab.row("notes.txt").get_by_role("button", name="Dismiss").click()
    expect(tab.row("notes.txt")).to_have_count(0)


def test_an_upload_continues_after_a_network_outage(tab: Tab, email: str, recording: Path) -> None:
    tab.ignore("ERR_INTERNET_DISCONNECTED", "ERR_NETWORK_CHANGED")
    tab.sign_up(email)
    row = tab.row("Long interview.wav")
    tab.network(upload=6_000_000)
    tab.choose(recording)
    until(lambda: row.get_by_role("progressbar").evaluate("bar => bar.value") > 0.25, "a quarter of the file")
    expect(row).to_contain_text("MB/s")

    tab.network(offline=True)
    expect(tab.page.get_by_text("You’re offline. Uploads continue")).to_be_visible()
    expect(row).to_contain_text("You’re offline")
    before = len(tab.sent("PATCH", "/upload/resumable"))
    tab.network()

    expect(row).to_contain_text("48 kHz · mono · PCM in WAV")
    assert len(tab.sent("POST", "/upload/resumable")) == 1  # the same TUS upload
    [reserved] = tab.sent("POST", "/assets/upload-url")
    assert '"expires_in":7200' in (reserved.post_data or "")  # the longest window
    resumed = tab.sent("PATCH", "/upload/resumable")[before:]
    assert int(resumed[0].headers["upload-offset"]) > 0
    row.get_by_role("button", name="Play").click()
    wait_until_playing(row.locator("audio"))


def test_an_upload_continues_after_a_reload_when_its_file_is_chosen_again(
    tab: Tab, email: str, recording: Path, film: Path
) -> None:
    page = tab.page
    page.on("dialog", lambda dialog: dialog.accept())  # the prompt of beforeunload
    tab.sign_up(email)
    row = tab.row("Long interview.wav")
    tab.network(upload=6_000_000)
    tab.choose(recording)
    until(lambda: row.get_by_role("progressbar").evaluate("bar => bar.value") > 0.25, "a quarter of the file")

    page.reload()
    expect(row).to_contain_text("Choose the same file again")
    tab.network()
    for file in (film, recording):
        with page.expect_file_chooser() as chooser:
            row.get_by_role("button", name="Choose file").click()
        before = len(tab.sent("PATCH", "/upload/resumable"))
        chooser.value.set_files(file)
        if file == film:
            expect(row).to_contain_text("This is a different file")

    expect(row).to_contain_text("48 kHz · mono · PCM in WAV")
    assert len(tab.sent("POST", "/upload/resumable")) == 1
    assert int(tab.sent("PATCH", "/upload/resumable")[before].headers["upload-offset"]) > 0
    assert page.evaluate("Object.keys(localStorage)") == ["assetdock.session"]


def test_a_stopped_upload_continues_on_retry(tab: Tab, email: str, film: Path) -> None:
    tab.ignore("ERR_FAILED")
    tab.sign_up(email)
    row = tab.row("film.webm")
    tab.page.route("**/object/upload/sign/**", lambda route: route.abort())
    tab.choose(film)
    expect(row).to_contain_text("The connection was lost")

    tab.page.unroute("**/object/upload/sign/**")
    row.get_by_role("button", name="Retry film.webm").click()

    expect(row).to_contain_text("0:12")
    assert len(tab.sent("POST", "/assets/upload-url")) == 1  # the same reservation


def test_an_expired_signature_is_renewed_during_the_upload(tab: Tab, email: str, recording: Path) -> None:
    tab.ignore("status of 400")
    tab.sign_up(email)
    rejected = []

    def reject_the_third_chunk(route: Route) -> None:
        if route.request.method == "PATCH" and len(tab.sent("PATCH", "/upload/resumable")) == 3:
            rejected.append(route.request)
            route.fulfill(status=400, body="jwt expired", headers={"Access-Control-Allow-Origin": "*"})
        else:
            route.continue_()

    tab.page.route("**/upload/resumable/**", reject_the_third_chunk)
    tab.choose(recording)

    expect(tab.row("Long interview.wav")).to_contain_text("48 kHz · mono")
    assert len(rejected) == 1
    assert len(tab.sent("POST", "/upload/resumable")) == 1


def test_an_upload_can_be_paused_resumed_and_cancelled(tab: Tab, email: str, recording: Path) -> None:
    tab.sign_up(email)
    row = tab.row("Long interview.wav")
    tab.network(upload=4_000_000)
    tab.choose(recording)
    bar = row.get_by_role("progressbar")
    until(lambda: bar.evaluate("bar => bar.value") > 0.1, "a tenth of the file")

    row.get_by_role("button", name="Pause").click()
    expect(row).to_contain_text("Paused at")
    paused_at = bar.evaluate("bar => bar.value")
    other = tab.context.new_page()
    other.goto("/")
    expect(other.get_by_role("listitem").filter(has_text="Long interview.wav")).to_contain_text(
        "Waiting for the upload"
    )
    other.close()
    row.get_by_role("button", name="Resume").click()
    until(lambda: bar.evaluate("bar => bar.value") > paused_at, "the upload to continue")
    row.get_by_role("button", name="Cancel").click()

    expect(row).to_have_count(0)
    until(lambda: tab.sent("DELETE", "/upload/resumable"), "the request to Storage")
    until(lambda: tab.sent("DELETE", "/api/v1/assets/"), "the request to the service")
    tab.page.reload()
    expect(tab.page.get_by_text("Nothing here yet")).to_be_visible()


def test_an_api_key_is_shown_once_rotated_and_revoked(tab: Tab, email: str, service: Service) -> None:
    page = tab.page
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.sign_up(email)
    page.get_by_role("link", name="API keys").click()
    page.get_by_role("button", name="New key").click()
    page.get_by_label("Name").fill("Studio uploader")
    page.get_by_role("button", name="Create key").click()

    dialog = page.get_by_role("dialog", name="Save this key now")
    first = dialog.get_by_label("Key").input_value()
    page.keyboard.press("Escape")
    dialog.get_by_role("button", name="Copy").click()
    expect(dialog).to_contain_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == first
    dialog.get_by_role("button", name="I have saved it").click()
    expect(page.locator("body")).not_to_contain_text(first)
    assert _status(service, first) == 200

    tab.row("Studio uploader").get_by_role("button", name="Rotate").click()
    page.get_by_role("dialog").get_by_role("button", name="Rotate").click()
    second = page.get_by_role("dialog", name="Save this key now").get_by_label("Key").input_value()
    page.get_by_role("button", name="I have saved it").click()
    assert (_status(service, first), _status(service, second)) == (401, 200)

    active = page.get_by_role("list", name="API keys", exact=True)
    active.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog", name="Revoke key").get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("2 inactive keys")).to_be_visible()
    assert _status(service, second) == 401


def _status(service: Service, key: str) -> int:
    """The HTTP status of a request with curl, as in the guides."""
    command = ["curl", "--silent", "--noproxy", "*", "--output", "/dev/null", "--write-out", "%{http_code}"]
    header = ["--header", f"Authorization: Bearer {key}"]
    ran = subprocess.run(
        [*command, *header, f"{service.url}/api/v1/assets"], check=True, capture_output=True, text=True, timeout=240
    )
    return int(ran.stdout)


def test_sign_in_errors_have_a_message(open_tab: OpenTab, email: str) -> None:
    tab = open_tab()
    tab.ignore("status of 400", "status of 422")
    page = tab.page
    page.goto("/")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("email or password is wrong")

    open_tab().sign_up(email)
    page.get_by_role("button", name="Create an account").click()
    page.get_by_role("button", name="Create account", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Sign in instead")


def test_the_keyboard_reaches_every_control(tab: Tab, email: str, wav: bytes, tmp_path: Path) -> None:
    sound = tmp_path / "sound.wav"
    sound.write_bytes(wav)
    page, press = tab.page, tab.page.keyboard.press
    tab.sign_up(email)
    tab.choose(sound)
    expect(tab.row("sound.wav")).to_contain_text("mono")
    page.get_by_role("heading", name="Assets").focus()

    reached = []
    for _ in range(4):
        press("Tab")
        reached.append(page.evaluate("document.activeElement.ariaLabel || document.activeElement.id"))
    assert reached == ["files", "Play sound.wav", "Download sound.wav", "Delete sound.wav"]
    press("Enter")
    expect(tab.row("sound.wav").get_by_role("button", name="Undo")).to_be_focused()
    press("Enter")
    expect(tab.row("sound.wav")).to_contain_text("mono")
    page.get_by_role("link", name="API keys").focus()
    press("Enter")
    expect(page.get_by_role("heading", name="API keys")).to_be_focused()


def test_the_fixture_records_errors_of_a_second_tab(tab: Tab) -> None:
    other = tab.context.new_page()
    other.goto("/")
    other.evaluate("console.error('logged'); setTimeout(() => { throw new Error('thrown') })")

    until(lambda: other.evaluate("1") and len(tab.errors) == 2, "both errors")
    assert [each.split(": ")[0] for each in tab.errors] == ["console error", "uncaught"]
    tab.errors.clear()
