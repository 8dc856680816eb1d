"""The page in a real browser, against agents that speak a tone."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

pytestmark = [pytest.mark.needs("chromium", "playwright", "aiortc", "fastapi", "uvicorn")]

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
FAKE_MICROPHONE = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]

LOUDNESS_OF_VOICE = """async () => {
    const context = new AudioContext();
    await context.resume();
    const source = context.createMediaStreamSource(document.querySelector("audio").srcObject);
    const analyser = context.createAnalyser();
    source.connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    let peak = 0;
    for (let round = 0; round < 20; round += 1) {
        await new Promise((resolve) => setTimeout(resolve, 50));
        analyser.getFloatTimeDomainData(samples);
        peak = Math.max(peak, ...samples);
    }
    await context.close();
    return peak;
}"""


async def until(condition: Callable[[], Any], patience: float = 5.0) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    while not condition():
        assert loop.time() < deadline, "waited in vain"
        await asyncio.sleep(0.02)


class Browser:
    """One page, and what it complained about."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", lambda message: self._console(message))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    async def call(self) -> None:
        await self.page.click("#call")
        await self.connected()

    async def connected(self) -> None:
        await self.page.wait_for_selector("#status[data-kind=connected]", timeout=15_000)

    async def type(self, text: str) -> None:
        await self.page.fill("#text", text)
        await self.page.press("#text", "Enter")

    async def text_of(self, selector: str) -> str:
        return re.sub(r"\s+", " ", await self.page.inner_text(selector)).strip()


@asynccontextmanager
async def browser(
    url: str,
    *,
    arguments: list[str] = FAKE_MICROPHONE,
    before: Any = None,
    **context_options: Any,
) -> AsyncIterator[Browser]:
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=ARGUMENTS + arguments
        )
        try:
            context = await launched.new_context(
                **{"viewport": {"width": 1280, "height": 860}} | context_options
            )
            context.set_default_timeout(10_000)
            page = await context.new_page()
            opened = Browser(page)
            if before is not None:
                await before(page)
            await page.goto(url)
            yield opened
        finally:
            await launched.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_loads_without_a_complaint(listening: Any, run_clean: Any, scheme: str, width: int) -> None:
    async def scenario() -> None:
        async with (
            listening(("tone",)) as served,
            browser(served.url, color_scheme=scheme, viewport={"width": width, "height": 844}) as opened,
        ):
            page = opened.page
            await page.wait_for_selector("#status[data-kind=idle]")
            assert await opened.text_of("#agent-title") == "Tone"
            assert await page.is_enabled("#call")
            assert await page.is_hidden("#chooser")
            assert await page.locator(".chip").all_inner_texts() == ["What is my balance?", "Block my card"]
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
                "scrolls sideways"
            )
            background = await page.evaluate("getComputedStyle(document.body).backgroundColor")
            brightness = sum(int(part) for part in re.findall(r"\d+", background)) / 3
            assert (brightness < 64) is (scheme == "dark")
            assert opened.complaints == []

    run_clean(scenario())


def test_a_call_by_voice_and_text(listening: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with listening(("tone", "second")) as served, browser(served.url) as opened:
            page = opened.page
            await page.wait_for_selector("#status[data-kind=idle]")
            assert await page.locator("#agent option").all_inner_texts() == ["Tone", "Second"]
            await opened.call()
            [agent] = served.dispatcher.running.values()
            assert served.dispatcher.started[0][0] == "tone"
            await page.wait_for_selector(".speech.assistant >> text=Good morning.")
            assert await opened.text_of("#agent-state") == "Listening"
            assert await page.is_visible("#level")

            await page.click("text=What is my balance?")
            await page.wait_for_selector(".speech.user >> text=What is my balance?")
            await page.wait_for_selector("#orb[data-state=speaking]")
            assert await page.evaluate(LOUDNESS_OF_VOICE) > 0.1
            await page.wait_for_selector(
                ".speech.assistant[data-final=true] >> text=You said: What is my balance?"
            )
            assert await page.locator(".speech").count() == 3, "updates change an entry in place"
            assert agent.loudest > 1000, "the microphone reaches the agent"

            await page.click(".tool summary")
            assert await opened.text_of(".tool dl") == "account savings result 1204.50"
            rows = await page.locator(".stages tbody tr").all_inner_texts()
            assert [row.split("\t")[0] for row in rows][:2] == ["Voice stopped", "Transcript"]
            assert await opened.text_of(".turns .total") == "510 ms"
            assert await opened.text_of("#latency-summary") == "median 510 ms"

            await opened.type("interrupt me")
            await page.wait_for_selector(".speech.assistant[data-interrupted=true] .mark")
            await page.wait_for_selector(".turns .cut")
            assert await page.locator(".turns details[open]").count() == 1

            await agent.show(type="transcript", id="u9", role="user", text="Right.", final=True)
            await agent.show(
                type="transcript", id="u9", role="user", text="Right.", final=True, backchannel=True
            )
            await page.wait_for_selector(".speech[data-backchannel=true] >> text=while listening")

            await opened.type("fail")
            await page.wait_for_selector(
                ".notice[data-tone=error] >> text=The language model did not answer."
            )

            await page.click("#call")
            await page.wait_for_selector("#call[data-action=start]")
            assert await opened.text_of("#status") == "Ready"
            await until(lambda: not served.app.state.server.calls.count)
            assert opened.complaints == []

    run_clean(scenario(), timeout=60)


@pytest.mark.parametrize("state", ["listening", "thinking", "speaking", "paused", "idle"])
def test_each_state_of_the_agent_looks_different(listening: Any, run_clean: Any, state: str) -> None:
    shapes = {
        "idle": ".ear",
        "listening": ".ear",
        "thinking": ".thoughts",
        "speaking": ".bars",
        "paused": ".pause",
    }

    async def scenario() -> None:
        async with listening(("tone",)) as served, browser(served.url, reduced_motion="reduce") as opened:
            await opened.call()
            [agent] = served.dispatcher.running.values()
            await opened.page.wait_for_selector(".speech")
            await agent.show(type="state", agent=state, user="silent")
            shown = "waiting" if state == "idle" else state
            await opened.page.wait_for_selector(f"#orb[data-state={shown}]")
            for shape in set(shapes.values()):
                opacity = await opened.page.evaluate(
                    f"Number(getComputedStyle(document.querySelector('.orb {shape}')).opacity)"
                )
                assert (opacity > 0.5) is (shape == shapes[state]), shape

    run_clean(scenario())


def test_typing_starts_a_call(listening: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with listening(("tone",)) as served, browser(served.url) as opened:
            await opened.page.wait_for_selector("#status[data-kind=idle]")
            await opened.type("hello before the call")
            await opened.page.wait_for_selector(".speech.user >> text=hello before the call")
            await opened.connected()

    run_clean(scenario())


NO_MICROPHONE = {
    "denied": ("NotAllowedError", "The microphone is blocked", True),
    "missing": ("NotFoundError", "No microphone was found", True),
    "busy": ("NotReadableError", "in use by another program", True),
}


@pytest.mark.parametrize("why", NO_MICROPHONE)
def test_without_a_microphone_the_page_says_why_and_goes_on_by_text(
    listening: Any, run_clean: Any, why: str
) -> None:
    error, title, _ = NO_MICROPHONE[why]

    async def refuse(page: Any) -> None:
        await page.add_init_script(
            f"""{{
                const allowed = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
                let asked = 0;
                navigator.mediaDevices.getUserMedia = async (wanted) => {{
                    asked += 1;
                    if (asked === 1) throw new DOMException("refused", "{error}");
                    return allowed(wanted);
                }};
            }}"""
        )

    async def scenario() -> None:
        async with listening(("tone",)) as served, browser(served.url, before=refuse) as opened:
            page = opened.page
            await opened.call()
            assert title in await opened.text_of(".notice[role=alert]")
            assert await page.is_hidden("#level")
            await opened.type("by hand")
            await page.wait_for_selector(".speech.assistant >> text=You said: by hand")
            [agent] = served.dispatcher.running.values()
            assert agent.loudest < 100
            # Allowed after all: the microphone joins the call that is under way.
            await page.click(".notice >> text=Try again")
            await page.wait_for_selector("#level")
            assert await page.locator(".notice").count() == 0
            await until(lambda: agent.loudest > 1000)
            assert len(served.dispatcher.started) == 1
            assert opened.complaints == []

    run_clean(scenario())


def test_a_denied_permission_is_told_from_other_failures(listening: Any, run_clean: Any) -> None:
    arguments = ["--use-fake-device-for-media-stream", "--deny-permission-prompts"]

    async def scenario() -> None:
        async with listening(("tone",)) as served, browser(served.url, arguments=arguments) as opened:
            await opened.call()
            assert "The microphone is blocked" in await opened.text_of(".notice[role=alert]")

    run_clean(scenario())


def test_an_insecure_page_says_that_it_needs_https(listening: Any, run_clean: Any) -> None:
    arguments = [*FAKE_MICROPHONE, "--host-resolver-rules=MAP voice.test 127.0.0.1"]

    async def scenario() -> None:
        async with listening(("tone",)) as served:
            url = served.url.replace("127.0.0.1", "voice.test")
            async with browser(url, arguments=arguments) as opened:
                await opened.call()
                assert "only to secure pages" in await opened.text_of(".notice[role=alert]")
                assert await opened.page.locator(".notice-action").count() == 0
                await opened.type("still here")
                await opened.page.wait_for_selector(".speech.assistant >> text=You said: still here")

    run_clean(scenario())


def test_when_the_server_goes_the_page_says_so_and_comes_back(listening: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with listening(("tone",)) as first:
            port = int(first.url.rpartition(":")[2])
            opening = browser(first.url)
            opened = await opening.__aenter__()
            await opened.call()
            await opened.type("before")
            await opened.page.wait_for_selector(".speech.assistant >> text=You said: before")
        await opened.page.wait_for_selector(".notice >> text=The server is gone")
        assert await opened.text_of("#status") == "Reconnecting…"
        assert await opened.text_of("#agent-state") == "Reconnecting…"
        await asyncio.sleep(1)
        async with listening(("tone",), port=port) as second:
            await opened.connected()
            assert await opened.page.locator(".notice").count() == 0
            await opened.page.wait_for_selector(".note >> text=Connected again")
            await opened.type("after")
            await opened.page.wait_for_selector(".speech.assistant >> text=You said: after")
            assert await opened.page.locator("text=You said: before").count() == 1, "the transcript stays"
            assert len(second.dispatcher.started) == 1
            assert second.dispatcher.started[0][1] != first.dispatcher.started[0][1]
            await opening.__aexit__(None, None, None)

    run_clean(scenario(), timeout=60)


def test_a_page_that_loads_while_the_server_restarts_waits_for_it(listening: Any, run_clean: Any) -> None:
    failing = [True]

    async def interfere(page: Any) -> None:
        async def config(route: Any) -> None:
            await (route.abort() if failing[0] else route.continue_())

        await page.route("**/api/config", config)

    async def scenario() -> None:
        async with listening(("tone",)) as served, browser(served.url, before=interfere) as opened:
            await opened.page.wait_for_selector(".notice >> text=The server is gone")
            assert await opened.page.is_disabled("#call")
            failing[0] = False
            await opened.page.wait_for_selector("#status[data-kind=idle]")
            assert await opened.page.locator(".notice").count() == 0
            assert await opened.page.is_enabled("#call")

    run_clean(scenario())


def test_a_call_that_the_assistant_ends_stays_ended(listening: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with listening(("tone",)) as served, browser(served.url) as opened:
            await opened.call()
            await opened.type("hang up")
            await opened.page.wait_for_selector("#status[data-kind=ended]")
            assert (
                await opened.text_of(".note.end")
                == "Call ended by the assistant: the assistant said goodbye."
            )
            assert await opened.text_of("#call-label") == "Start again"
            await asyncio.sleep(1.5)
            assert await opened.text_of("#status") == "Call ended"
            assert len(served.dispatcher.started) == 1
            await opened.call()
            assert len(served.dispatcher.started) == 2
            assert await opened.page.locator(".note").count() == 0
            assert opened.complaints == []

    run_clean(scenario())


def test_an_assistant_that_cannot_start_is_explained(listening: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with (
            listening(("tone", "broken")) as served,
            browser(served.url + "/?agent=broken") as opened,
        ):
            await opened.page.wait_for_selector("#status[data-kind=idle]")
            assert await opened.text_of("#agent-title") == "Broken"
            await opened.page.click("#call")
            await opened.page.wait_for_selector("#status[data-kind=failed]")
            notice = await opened.text_of(".notice[role=alert]")
            assert "Its model is not installed: run antiphon doctor." in notice
            assert await opened.text_of("#call-label") == "Start again"

    run_clean(scenario())


def test_everything_works_from_the_keyboard(listening: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with listening(("tone",)) as served, browser(served.url) as opened:
            page = opened.page
            await page.wait_for_selector("#status[data-kind=idle]")
            await page.keyboard.press("Tab")
            assert await page.evaluate("document.activeElement.className") == "skip"
            await page.keyboard.press("Enter")
            assert await page.evaluate("document.activeElement.id") == "conversation"
            await page.keyboard.press("Enter")
            await opened.connected()

            async def muted() -> bool:
                return await page.get_attribute("#mute", "aria-pressed") == "true"

            await page.keyboard.press("Space")
            assert await muted()
            assert await page.inner_text("#mute-label") == "Unmute"
            await page.focus("#conversation")
            await page.keyboard.press("Space")
            assert not await muted()
            await page.focus("#text")
            await page.keyboard.type("two words")
            assert not await muted()
            assert await page.input_value("#text") == "two words"
            await page.keyboard.press("Enter")
            await page.wait_for_selector(".speech.user >> text=two words")
            await page.keyboard.press("Escape")
            assert await page.evaluate("document.activeElement === document.body")
            assert await page.get_attribute("#call", "data-action") == "end"
            await page.keyboard.press("Escape")
            await page.wait_for_selector("#call[data-action=start]")
            assert opened.complaints == []

    run_clean(scenario())


def test_space_after_a_start_by_key_does_not_hang_up(listening: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with listening(("tone",)) as served, browser(served.url) as opened:
            await opened.page.wait_for_selector("#status[data-kind=idle]")
            await opened.page.focus("#call")
            await opened.page.keyboard.press("Enter")
            await opened.connected()
            await opened.page.keyboard.press("Space")
            assert await opened.page.get_attribute("#mute", "aria-pressed") == "true"
            assert await opened.page.get_attribute("#call", "data-action") == "end"

    run_clean(scenario())


def test_every_control_has_a_name_and_finals_are_announced(listening: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with listening(("tone",)) as served, browser(served.url) as opened:
            await opened.call()
            unnamed = await opened.page.evaluate(
                """() => [...document.querySelectorAll("button, input, select, [role=meter], [role=region]")]
                    .filter((control) => !(control.textContent.trim() || control.getAttribute("aria-label")
                        || control.labels?.length))
                    .map((control) => control.outerHTML)"""
            )
            assert unnamed == []
            await opened.type("read this out")
            await opened.page.wait_for_selector("#announcer >> text=Assistant: You said: read this out")
            assert await opened.page.get_attribute("#announcer", "aria-live") == "polite"

    run_clean(scenario())


def test_the_theme_is_chosen_and_kept(listening: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with listening(("tone",)) as served, browser(served.url, color_scheme="light") as opened:
            page = opened.page
            await page.wait_for_selector("#status[data-kind=idle]")

            async def dark() -> bool:
                return await page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"

            assert not await dark()
            await page.click("#theme")
            assert await page.get_attribute("#theme", "aria-label") == "Theme: light"
            await page.click("#theme")
            assert await page.get_attribute("#theme", "aria-label") == "Theme: dark"
            assert await dark()
            await page.reload()
            assert await dark()

    run_clean(scenario())


def test_both_dark_themes_are_the_same() -> None:
    """The dark colours stand twice in the style sheet: for the system's choice and for the user's."""
    from importlib.resources import files

    sheet = (files("antiphon.server") / "static" / "css" / "base.css").read_text()
    blocks = re.findall(r"color-scheme: dark;\n(.*?)\}", sheet, re.DOTALL)
    assert len(blocks) == 2
    assert [line.strip() for line in blocks[0].splitlines() if line.strip()] == [
        line.strip() for line in blocks[1].splitlines() if line.strip()
    ]


def test_closing_the_tab_in_mid_reply_ends_the_call(listening: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with listening(("tone",)) as served, browser(served.url) as opened:
            await opened.call()
            await opened.type("talk")
            await opened.page.wait_for_selector("#orb[data-state=speaking]")
            [agent] = served.dispatcher.running.values()
            gone = asyncio.Event()
            agent.room.on("participant_left", lambda who: gone.set())
            await opened.page.close()
            await asyncio.wait_for(gone.wait(), 2.0)
            await until(lambda: not served.app.state.server.calls.count)

    run_clean(scenario())
