"""Where the values of settings come from: the command line, the environment, a TOML file, or the default, in this order."""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from ...models.errors import ConfigurationError
from .settings import PlatformSettings, Section, Sensitive, Variable, without_password

CONFIG_VARIABLE = "ANTIPHON_CONFIG"
DEFAULT_FILE = Path("antiphon.toml")

# Variables that are not settings of a file: secrets, and what other parts read by themselves.
OTHER_VARIABLES = frozenset(
    {CONFIG_VARIABLE, "ANTIPHON_SECRET_KEY", "ANTIPHON_MODELS", "ANTIPHON_DATA_DIR", "ANTIPHON_REQUIRE_ALL"}
)
_SECRET_KEY = "secret_key"


@dataclass(frozen=True)
class Setting:
    """One setting as it is declared.

    Attributes:
        path: as in the file, `("http", "port")`.
        variable: its environment variable.
        sensitive: whether its value is hidden.
        takes_list: whether the environment may give it as words between commas.
    """

    path: tuple[str, ...]
    variable: str
    sensitive: bool
    takes_list: bool
    is_json: bool

    @property
    def name(self) -> str:
        return ".".join(self.path)


@dataclass(frozen=True)
class Chosen:
    """The value of a setting, for people, and where it came from."""

    setting: Setting
    value: str
    source: str


@dataclass(frozen=True)
class LoadedSettings:
    """The settings, each with its source, and what looks like a mistake but is none for certain."""

    settings: PlatformSettings
    chosen: tuple[Chosen, ...]
    warnings: tuple[str, ...]


def all_settings() -> list[Setting]:
    """Every setting there is, in the order of their declaration."""
    return list(_declared(PlatformSettings, ()))


def load_settings(
    file: Path | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
    explicit: Mapping[str, Any] | None = None,
) -> LoadedSettings:
    """Read the settings.

    Args:
        file: the TOML file; None: that of `ANTIPHON_CONFIG`, or `antiphon.toml` here if there is one.
        environment: the variables.
        explicit: values of the command line by dotted name, as `{"http.port": 0}`; None among them counts as not given.

    Raises:
        ConfigurationError: the file cannot be read, has a name that is no setting, or a value does not do.
    """
    given: dict[str, Any] = {}
    sources: dict[str, str] = {}
    path = _file(file, environment)
    tables = _read(path) if path is not None else {}
    declared = all_settings()
    for setting in declared:
        found = _choose(setting, explicit or {}, environment, tables, path)
        if found is not None:
            sources[setting.name], value = found
            _put(given, setting.path, value)
    try:
        settings = PlatformSettings.model_validate(given)
    except ValidationError as error:
        raise ConfigurationError("; ".join(_problem(fault, sources) for fault in error.errors())) from None
    chosen = tuple(
        Chosen(
            setting,
            "********"
            if setting.sensitive and _at(settings, setting.path)
            else _shown(_at(settings, setting.path)),
            sources.get(setting.name, "default"),
        )
        for setting in declared
    )
    return LoadedSettings(settings, chosen, tuple(_unknown_variables(declared, environment)))


def _declared(section: type[Section], prefix: tuple[str, ...]) -> Iterator[Setting]:
    for name, field in section.model_fields.items():
        path = (*prefix, name)
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Section):
            yield from _declared(inner, path)
            continue
        named = [marker.name for marker in field.metadata if isinstance(marker, Variable)]
        yield Setting(
            path,
            named[0] if named else "_".join(("antiphon", *path)).upper(),
            any(isinstance(marker, Sensitive) for marker in field.metadata),
            _origin(field) is tuple,
            _origin(field) in (list, dict),
        )


def _origin(field: FieldInfo) -> Any:
    return get_origin(field.annotation) or field.annotation


def _file(file: Path | None, environment: Mapping[str, str]) -> Path | None:
    if file is None and environment.get(CONFIG_VARIABLE):
        file = Path(environment[CONFIG_VARIABLE])
    if file is not None:
        return file
    return DEFAULT_FILE if DEFAULT_FILE.is_file() else None


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as opened:
            tables = tomllib.load(opened)
    except OSError as error:
        raise ConfigurationError(
            f"the settings file {path} cannot be read: {error.strerror or error}"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the settings file {path} is not TOML: {error}") from error
    _check_names(PlatformSettings, tables, path, "")
    return tables


def _check_names(section: type[Section], table: Mapping[str, Any], path: Path, prefix: str) -> None:
    for name, value in table.items():
        field = section.model_fields.get(name)
        if field is None:
            if name == _SECRET_KEY:
                raise ConfigurationError(
                    f"{path}: the key for secrets is not kept in a file; set ANTIPHON_SECRET_KEY in the environment"
                )
            raise ConfigurationError(f"{path}: there is no setting {prefix}{name}{_nearest(prefix + name)}")
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Section):
            if not isinstance(value, Mapping):
                raise ConfigurationError(f"{path}: {prefix}{name} is a table: write [{prefix}{name}]")
            _check_names(inner, value, path, f"{prefix}{name}.")


def _nearest(name: str) -> str:
    names = [setting.name for setting in all_settings()]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if not near:  # perhaps it is in the wrong table
        last = {candidate.rpartition(".")[2]: candidate for candidate in reversed(names)}
        near = [last[word] for word in difflib.get_close_matches(name.rpartition(".")[2], last, n=1)]
    return f"; did you mean {near[0]}?" if near else ""


def _choose(
    setting: Setting,
    explicit: Mapping[str, Any],
    environment: Mapping[str, str],
    tables: Mapping[str, Any],
    path: Path | None,
) -> tuple[str, Any] | None:
    """The source and the value of a setting; None: the default."""
    if explicit.get(setting.name) is not None:
        return "command line", explicit[setting.name]
    text = environment.get(setting.variable, "").strip()
    if text:
        return setting.variable, _from_text(setting, text)
    value: Any = tables
    for step in setting.path:
        if not isinstance(value, Mapping) or step not in value:
            return None
        value = value[step]
    return str(path), value


def _from_text(setting: Setting, text: str) -> Any:
    if setting.is_json:
        try:
            return json.loads(text)
        except ValueError as error:
            raise ConfigurationError(f"{setting.variable} is not JSON: {error}") from None
    if setting.takes_list:
        return [word.strip() for word in text.split(",") if word.strip()]
    return text


def _put(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for step in path[:-1]:
        tree = tree.setdefault(step, {})
    tree[path[-1]] = value


def _at(settings: Section, path: tuple[str, ...]) -> Any:
    value: Any = settings
    for step in path:
        value = getattr(value, step)
    return value


def _shown(value: Any) -> str:
    if value is None or value in ("", (), [], {}):
        return "-"
    if isinstance(value, str):
        return without_password(value)
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _problem(fault: Any, sources: Mapping[str, str]) -> str:
    where = [str(step) for step in fault["loc"]]
    name = ".".join(where)
    source = next((sources[found] for found in (name, ".".join(where[:-1])) if found in sources), "")
    words = str(fault["msg"]).removeprefix("Value error, ").replace("Input should", "must")
    given = "" if isinstance(fault["input"], Mapping | Section) else f", not {fault['input']!r}"
    if fault["type"] == "too_short":
        words, given = "must not be empty", ""
    if any(setting.sensitive and name.startswith(setting.name) for setting in all_settings()):
        given = ""
    return f"{f'{source}: ' if source else ''}{name}: {words}{given}"


def _unknown_variables(declared: list[Setting], environment: Mapping[str, str]) -> Iterator[str]:
    known = {setting.variable for setting in declared} | OTHER_VARIABLES
    for name in sorted(environment):
        if name.startswith("ANTIPHON_") and name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
            meant = f"; did you mean {near[0]}?" if near else ""
            yield f"the environment variable {name} is no setting{meant}"
