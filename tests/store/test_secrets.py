"""Secrets: unreadable at rest, masked on reading, and never stored without a key."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from antiphon.store import InvalidDocument, Keyring, SecretError, is_masked, mask
from antiphon.store.secrets import MASK, VARIABLE

OLD, NEW = bytes(range(32)), bytes(range(1, 33))
SECRET = "sk-very-secret-and-long-1234"

needs_cryptography = pytest.mark.needs("cryptography")


def environment(*keys: bytes) -> dict[str, str]:
    return {VARIABLE: ", ".join(base64.b64encode(key).decode() for key in keys)}


@pytest.mark.parametrize(
    ("value", "masked"),
    [(SECRET, MASK + "1234"), ("short", MASK), ({"authorization": SECRET}, MASK), ("", MASK)],
)
def test_a_mask_shows_the_end_of_a_long_secret_at_most(value: Any, masked: str) -> None:
    assert mask(value) == masked
    assert is_masked(masked)
    assert not is_masked(value)


@pytest.mark.parametrize("text", ["tooshort", "not base64!", base64.b64encode(bytes(16)).decode()])
def test_a_bad_key_is_refused_with_the_way_to_a_good_one(text: str) -> None:
    with pytest.raises(SecretError, match="openssl rand"):
        Keyring.from_environment({VARIABLE: text})


@needs_cryptography
def test_a_sealed_value_opens_in_its_own_place_with_its_own_key_only() -> None:
    keyring = Keyring.from_environment(environment(OLD))
    sealed = keyring.seal({"a": SECRET}, place="tools/1/headers")
    assert SECRET not in sealed
    assert sealed != keyring.seal({"a": SECRET}, place="tools/1/headers")
    assert keyring.open(sealed, place="tools/1/headers") == {"a": SECRET}
    assert Keyring.from_environment(environment(NEW, OLD)).open(sealed, place="tools/1/headers") == {
        "a": SECRET
    }
    altered = sealed[:-6] + ("A" if sealed[-6] != "A" else "B") + sealed[-5:]
    for wrong, value, place in [
        (keyring, sealed, "tools/2/headers"),
        (keyring, altered, "tools/1/headers"),
        (keyring, "plain text", "tools/1/headers"),
        (Keyring([NEW]), sealed, "tools/1/headers"),
        (Keyring([]), sealed, "tools/1/headers"),
    ]:
        with pytest.raises(SecretError):
            wrong.open(value, place=place)


def test_without_a_key_no_secret_is_stored_and_all_else_is(open_it: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with open_it(keyring=Keyring([])) as store:
            with pytest.raises(SecretError, match=f"Set {VARIABLE}"):
                await store.create("assistants", {"llm": {"api_key": SECRET}})
            made = await store.create("assistants", {"llm": {"model": "m", "api_key": None}})
            for changes in ({"llm.api_key": SECRET}, {"llm": {"api_key": SECRET}}):
                with pytest.raises(SecretError):
                    await store.update("assistants", made["id"], changes)
            assert await store.get("assistants", made["id"], reveal=True) == made

    run_clean(main())


def test_secrets_are_masked_unless_asked_for_and_masks_are_not_stored(open_it: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with open_it() as store:
            made = await store.create("assistants", {"llm": {"model": "m", "api_key": SECRET}, "name": "a"})
            assert made["llm"] == {"model": "m", "api_key": MASK + "1234"}
            read = [await store.get("assistants", made["id"]), *(await store.find("assistants")).items]
            read.append(await store.update("assistants", made["id"], {"name": "b"}))
            assert [document["llm"] for document in read] == [made["llm"]] * 3
            for changes in ({"llm": made["llm"]}, {"llm.api_key": MASK}):
                with pytest.raises(InvalidDocument, match="mask") as error:
                    await store.update("assistants", made["id"], changes)
                assert error.value.field == "llm.api_key"
            with pytest.raises(InvalidDocument):
                await store.create("assistants", {"llm": made["llm"]})
            with pytest.raises(InvalidDocument, match="secret"):
                await store.find("assistants", {"llm.api_key": SECRET})
            clear = await store.get("assistants", made["id"], reveal=True)
            assert clear["llm"] == {"model": "m", "api_key": SECRET}

            tool = await store.create("tools", {"webhook": {"headers": {"x": SECRET}}})
            with pytest.raises(InvalidDocument, match="as a whole"):
                await store.update("tools", tool["id"], {"webhook.headers.x": "y"})
            await store.update("tools", tool["id"], {"webhook": {"url": "u", "headers": {"x": "y"}}})
            clear = await store.get("tools", tool["id"], reveal=True)
            assert clear["webhook"] == {"url": "u", "headers": {"x": "y"}}

    run_clean(main())


def test_old_secrets_are_encrypted_anew_and_then_the_old_key_may_go(open_it: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with open_it(keyring=Keyring([OLD])) as store:
            made = await store.create("trunks", {"auth": {"user": "u", "password": SECRET}})
        async with open_it(keyring=Keyring([NEW, OLD])) as store:
            fresh = await store.create("trunks", {"auth": {"password": "fresh"}})
            assert await store.reencrypt() == 1
            assert await store.reencrypt() == 0
        async with open_it(keyring=Keyring([NEW])) as store:
            assert (await store.get("trunks", made["id"], reveal=True))["auth"]["password"] == SECRET
            assert (await store.get("trunks", fresh["id"], reveal=True))["auth"]["password"] == "fresh"
        async with open_it(keyring=Keyring([OLD])) as store:
            assert (await store.get("trunks", made["id"]))["auth"]["password"] == MASK
            with pytest.raises(SecretError, match="does not hold"):
                await store.get("trunks", made["id"], reveal=True)

    run_clean(main())


def test_one_secret_that_nobody_can_read_keeps_no_other_under_the_old_key(
    open_it: Any, run_clean: Any
) -> None:
    lost = bytes(reversed(NEW))

    async def main() -> None:
        async with open_it(keyring=Keyring([lost])) as store:
            first = await store.create("trunks", {"auth": {"password": "gone", "token": "gone"}})
        async with open_it(keyring=Keyring([OLD])) as store:
            second = await store.create("trunks", {"auth": {"password": SECRET}})
        async with open_it(keyring=Keyring([NEW, OLD])) as store:
            with pytest.raises(SecretError, match="2 secrets cannot be brought under the newest key"):
                await store.reencrypt()
        async with open_it(keyring=Keyring([NEW])) as store:
            assert (await store.get("trunks", second["id"], reveal=True))["auth"]["password"] == SECRET
            document, unreadable = await store.get_readable("trunks", first["id"])
            assert (document["auth"], unreadable) == ({}, ["auth.password", "auth.token"])
        async with open_it(keyring=Keyring([lost])) as store:
            assert (await store.get("trunks", first["id"], reveal=True))["auth"]["token"] == "gone"

    run_clean(main())


@pytest.mark.parametrize(
    "value",
    [MASK, f"{MASK}1234", f"Bearer {MASK}", f" {MASK}", {"x": MASK}, [MASK], {"x": [{"y": f"{MASK}abcd"}]}],
)
def test_a_mask_is_known_wherever_it_is(value: Any) -> None:
    assert is_masked(value)
    assert not is_masked({"x": ["*******", 5, None]})


@pytest.mark.needs("aiosqlite", "cryptography")
def test_no_secret_is_readable_in_the_files(tmp_path: Path, run_clean: Any) -> None:
    from antiphon.store import open_store

    contents: list[bytes] = []

    def content_of_all() -> bytes:
        return b"".join(path.read_bytes() for path in tmp_path.iterdir())

    async def main() -> None:
        async with open_store(f"sqlite:{tmp_path / 'store.db'}", keyring=Keyring([OLD])) as store:
            made = await store.create("assistants", {"name": "findable", "llm": {"api_key": SECRET}})
            await store.update("assistants", made["id"], {"tts": {"api_key": SECRET}})
            await store.update("assistants", made["id"], {"llm.api_key": SECRET[::-1]})
            contents.append(content_of_all())
        contents.append(content_of_all())

    run_clean(main())
    for content in contents:
        assert b"findable" in content
        assert SECRET.encode() not in content
        assert SECRET[::-1].encode() not in content
