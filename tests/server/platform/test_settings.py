"""Settings of the platform: where they come from, and what is said about mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from antiphon.models.errors import ConfigurationError
from antiphon.server.platform.settings import PlatformSettings, Role
from antiphon.server.platform.settings_sources import (
    LoadedSettings,
    Setting,
    all_settings,
    load_settings,
)

DOCS = Path(__file__).parents[3] / "docs"


def load(
    tmp_path: Path, text: str = "", environment: dict[str, str] | None = None, **explicit: Any
) -> LoadedSettings:
    file = tmp_path / "antiphon.toml"
    file.write_text(text)
    named = {name.replace("__", "."): value for name, value in explicit.items()}
    return load_settings(file, environment=environment or {}, explicit=named)


def source(loaded: LoadedSettings, name: str) -> str:
    (found,) = [chosen.source for chosen in loaded.chosen if chosen.setting.name == name]
    return found


def test_the_command_line_wins_over_the_environment_over_the_file_over_the_default(tmp_path: Path) -> None:
    text = "store = 'sqlite:file.db'\n[http]\nhost = '10.0.0.1'\nport = 1\n"
    loaded = load(
        tmp_path, text, {"ANTIPHON_HTTP_PORT": "2", "ANTIPHON_STORE": "sqlite:env.db"}, store="sqlite:x"
    )
    assert loaded.settings.store == "sqlite:x"
    assert loaded.settings.http.port == 2
    assert loaded.settings.http.host == "10.0.0.1"
    assert loaded.settings.tokens.burst == 30
    assert [source(loaded, name) for name in ("store", "http.port", "tokens.burst")] == [
        "command line",
        "ANTIPHON_HTTP_PORT",
        "default",
    ]
    assert source(loaded, "http.host").endswith("antiphon.toml")


def test_lists_and_json_in_the_environment(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        environment={
            "ANTIPHON_ROLES": "supervisor, api",
            "ANTIPHON_WEBHOOKS_ALLOWED_NETWORKS": "10.0.0.0/8,127.0.0.1",
            "ANTIPHON_ICE_SERVERS": '[{"urls": "stun:s.example.org"}]',
            "ANTIPHON_API_SECRET": "s",
        },
    ).settings
    assert settings.roles == (Role.API, Role.SUPERVISOR)
    assert settings.webhooks.allowed_networks == ("10.0.0.0/8", "127.0.0.1")
    assert settings.web.ice_servers == [{"urls": "stun:s.example.org"}]
    assert settings.tokens.api_secret == "s"


@pytest.mark.parametrize(
    ("text", "environment", "words"),
    [
        (
            "[http]\nprot = 1",
            {},
            r"antiphon\.toml: there is no setting http\.prot; did you mean http\.port\?",
        ),
        ("port = 1", {}, r"there is no setting port; did you mean (http|sip)\.port\?"),
        ("[htp]\nport = 1", {}, r"there is no setting htp"),
        ("http = 1", {}, r"write \[http\]"),
        ("secret_key = 'x'", {}, "set ANTIPHON_SECRET_KEY in the environment"),
        ("[http", {}, r"antiphon\.toml is not TOML"),
        (
            "[http]\nport = 70000",
            {},
            r"antiphon\.toml: http\.port: must be less than or equal to 65535, not 70000",
        ),
        (
            "",
            {"ANTIPHON_HTTP_PORT": "many"},
            r"ANTIPHON_HTTP_PORT: http\.port: must be a valid integer.*'many'",
        ),
        ("roles = ['apy']", {}, r"roles\.0: must be 'api', 'worker', 'dispatcher' or 'supervisor'"),
        ("roles = []", {}, "roles: must not be empty$"),
        ("[http]\ntls_cert = 'a.pem'", {}, "tls_key is missing"),
        ("", {"ANTIPHON_ICE_SERVERS": "["}, "ANTIPHON_ICE_SERVERS is not JSON"),
        ("[webhooks]\nallowed_networks = ['10.0.0.1/8']", {}, "write networks as"),
    ],
)
def test_a_mistake_is_named_with_its_place(
    tmp_path: Path, text: str, environment: dict[str, str], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        load(tmp_path, text, environment)


def test_a_file_that_is_not_there_is_an_error_when_it_was_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_settings(tmp_path / "none.toml", environment={})
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_settings(environment={"ANTIPHON_CONFIG": str(tmp_path / "none.toml")})


def test_the_file_of_the_working_folder_is_taken_if_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings(environment={}).settings == PlatformSettings()
    (tmp_path / "antiphon.toml").write_text("[log]\nlevel = 'debug'")
    assert load_settings(environment={}).settings.log.level == "debug"


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    variables = {"ANTIPHON_API_SECRET": "very-secret", "ANTIPHON_STORE": "mongodb://u:very-secret@host/db"}
    loaded = load(tmp_path, environment=variables)
    assert next(chosen.value for chosen in loaded.chosen) == "mongodb://***@host/db"
    assert not any("very-secret" in chosen.value for chosen in loaded.chosen)
    with pytest.raises(ConfigurationError) as error:
        load(tmp_path, environment={"ANTIPHON_ICE_SERVERS": '["very-secret"]'})
    assert "very-secret" not in str(error.value)


def test_a_variable_that_is_no_setting_is_pointed_out(tmp_path: Path) -> None:
    loaded = load(tmp_path, environment={"ANTIPHON_HTTP_PROT": "1", "ANTIPHON_SECRET_KEY": "k", "HOME": "/"})
    assert loaded.warnings == (
        "the environment variable ANTIPHON_HTTP_PROT is no setting; did you mean ANTIPHON_HTTP_PORT?",
    )


@pytest.mark.parametrize("setting", all_settings(), ids=lambda setting: str(setting.name))
def test_every_setting_is_described_with_its_variable(setting: Setting) -> None:
    pages = [page.read_text() for page in DOCS.glob("*.md")]
    assert any(f"`{setting.name}`" in page and f"`{setting.variable}`" in page for page in pages)


def test_every_setting_has_one_variable_of_its_own() -> None:
    variables = [setting.variable for setting in all_settings()]
    assert len(set(variables)) == len(variables)


@pytest.mark.needs("fastapi")
@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("", {"webhook_deliveries": 30}),
        ("[retention]\ncalls_days = 7\n", {"calls": 7, "webhook_deliveries": 7}),
        ("[retention]\ncalls_days = 90\n", {"calls": 90, "webhook_deliveries": 30}),
        (
            "[retention]\ncalls_days = 7\nwebhook_deliveries_days = 2\n",
            {"calls": 7, "webhook_deliveries": 2},
        ),
    ],
)
def test_what_was_said_is_not_kept_longer_in_webhooks_than_with_the_call(
    tmp_path: Path, text: str, days: dict[str, float]
) -> None:
    from antiphon.server.platform.platform import retention_of

    kept = retention_of(load(tmp_path, text).settings)
    assert {name: kept[name] / 86400 for name in days} == days
    assert kept.get("transcripts") == kept.get("call_events") == kept.get("calls")
