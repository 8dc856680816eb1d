"""Function tools as a session uses them: found, bound, called, timed out."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import enum
import threading
import time
import types
from typing import TYPE_CHECKING, Any

import pytest

from antiphon.models.chat_context import ToolCall
from antiphon.models.tools import (
    FunctionTool,
    RunContext,
    ToolArgumentError,
    ToolDefinitionError,
    ToolError,
    ToolTimeout,
    find_function_tools,
    function_tool,
    tool_output_text,
)

if TYPE_CHECKING:
    from nowhere import Missing


class Handle:
    allow_interruptions = True
    waited = False

    async def wait_for_playout(self) -> None:
        self.waited = True


def context(**fields: Any) -> RunContext[Any]:
    return RunContext(session=None, speech_handle=Handle(), function_call=ToolCall("c1", "t"), **fields)


class Base:
    def __init__(self, city: str = "Bonn") -> None:
        self.city = city

    @function_tool
    async def get_weather(self, ctx: RunContext, location: str, days: int = 1) -> str:
        """Get the weather.

        Args:
            location: The city.
        """
        return f"{self.city}/{location}/{days}/{ctx.userdata}"

    @function_tool(name="hangUp", description="End the call.", timeout=2.5)
    def hang_up(self) -> SomethingDefinedLater:
        return SomethingDefinedLater()

    @property
    def explosive(self) -> None:
        raise AssertionError("looking for tools ran a property")


class SomethingDefinedLater:
    pass


class Child(Base):
    @function_tool
    async def extra(self) -> str:
        return "extra"

    @function_tool
    async def get_weather(self, ctx: RunContext, location: str) -> str:
        return "child"


class Silenced(Base):
    hang_up = None


def names(obj: Any) -> list[str]:
    return [tool.name for tool in find_function_tools(obj)]


def call(tool: FunctionTool, arguments: Any = "", ctx: Any = None) -> Any:
    return asyncio.run(tool.call(arguments, ctx or context()))


def test_tools_of_an_instance_are_bound_and_in_order() -> None:
    weather, hang_up = find_function_tools(Base("Köln"))
    assert (weather.name, hang_up.name, hang_up.description, hang_up.timeout) == (
        "get_weather",
        "hangUp",
        "End the call.",
        2.5,
    )
    assert call(weather, '{"location": "Rom"}', context(userdata=7)) == "Köln/Rom/1/7"
    assert isinstance(call(hang_up), SomethingDefinedLater)


def test_an_override_keeps_its_place_and_none_takes_a_tool_away() -> None:
    assert names(Child()) == ["get_weather", "hangUp", "extra"]
    assert call(find_function_tools(Child())[0], {"location": "x"}) == "child"
    assert names(Silenced()) == ["get_weather"]


def test_tools_of_a_module() -> None:
    module = types.ModuleType("m")

    @function_tool
    def one() -> None: ...

    @function_tool
    def two() -> None: ...

    module.two, module.one, module.number = two, one, 3  # type: ignore[attr-defined]
    assert names(module) == ["two", "one"]


def test_static_tools_are_found_too() -> None:
    class Agent:
        @function_tool
        @staticmethod
        async def inner(x: int) -> int:
            return x

        @staticmethod
        @function_tool
        async def outer(x: int) -> int:
            return x

    assert names(Agent()) == ["inner", "outer"]
    assert [call(tool, {"x": 3}) for tool in find_function_tools(Agent())] == [3, 3]


def test_two_tools_of_one_name_are_refused() -> None:
    class Agent:
        @function_tool(name="same")
        def one(self) -> None: ...

        @function_tool(name="same")
        def two(self) -> None: ...

    with pytest.raises(ToolDefinitionError, match="two tools named 'same'"):
        find_function_tools(Agent())


def test_a_bound_method_can_be_made_a_tool() -> None:
    class Form:
        async def set_name(self, ctx: RunContext, name: str) -> str:
            """Store the name."""
            return name.upper()

    form = Form()
    tool = function_tool(form.set_name, name="store")
    assert list(tool.parameters["properties"]) == ["name"]
    assert call(tool, {"name": "ann"}) == "ANN"
    assert tool == function_tool(form.set_name, name="store")


def test_binding_is_equal_for_one_instance_only() -> None:
    first, second = Base(), Base()
    assert first.get_weather == first.get_weather
    assert hash(first.get_weather) == hash(first.get_weather)
    assert first.get_weather != second.get_weather


def test_a_method_taken_from_the_class_says_what_to_do() -> None:
    with pytest.raises(ToolDefinitionError, match="take it from an instance"):
        call(Base.get_weather, {"location": "x"})


def test_a_decorated_function_can_still_be_called() -> None:
    @function_tool
    def add(a: int, b: int = 1) -> int:
        return a + b

    assert add(2) == 3
    assert asyncio.run(Base().get_weather(context(), "Rom")) == "Bonn/Rom/1/None"


def test_types_of_enclosing_functions_resolve() -> None:
    class Local(enum.Enum):
        A = "a"

    class Agent:
        @function_tool
        async def pick(self, choice: Local) -> Any:
            return choice

    assert call(Agent().pick, {"choice": "a"}) is Local.A


def test_a_context_imported_for_type_checkers_only_is_recognised() -> None:
    from antiphon.models import tools

    def greet(c: tools.RunContext[int] | None, name: str) -> Any:
        return name if isinstance(c, RunContext) else None

    tool = function_tool(greet)
    assert list(tool.parameters["properties"]) == ["name"]
    assert call(tool, {"name": "x"}) == "x"

    greet.__annotations__["c"] = "unknown_module.RunContext[Any]"
    assert list(function_tool(greet).parameters["properties"]) == ["name"]


def star(*names: str) -> None: ...
def keywords(**options: str) -> None: ...
def unhinted(name) -> None: ...  # type: ignore[no-untyped-def]
def unresolved(name: Missing) -> None: ...
def unfillable(name: threading.Thread) -> None: ...


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (star, r"\*names cannot be described"),
        (keywords, r"\*\*options cannot be described"),
        (unhinted, "'name' needs a type hint"),
        (unresolved, "import the type"),
        (unfillable, "parameter 'name': Thread is not a type"),
        (lambda: None, "tool name '<lambda>'"),
        (3, "not a function"),
    ],
)
def test_what_cannot_be_a_tool_is_refused_at_definition(function: Any, message: str) -> None:
    with pytest.raises(ToolDefinitionError, match=message):
        function_tool(function)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("{nope", "not valid JSON"),
        ("[1]", "must be one JSON object"),
        ("{}", '"location" is missing .expected text: The city'),
        ('{"location": "x", "town": 1}', '"town" is unknown .known: location, days'),
        ('{"location": "x", "days": "many"}', '"days": expected a whole number, got "many"'),
        ('{"days": "many"}', '"location" is missing .*"days"'),
    ],
)
def test_bad_arguments_tell_the_model_what_to_correct(arguments: str, message: str) -> None:
    with pytest.raises(ToolArgumentError, match=message) as caught:
        call(Base().get_weather, arguments)
    assert isinstance(caught.value, ToolError)


@pytest.mark.parametrize("arguments", ["", "  ", "{}", "null", {}])
def test_no_arguments_in_every_spelling(arguments: Any) -> None:
    assert isinstance(call(Base().hang_up, arguments), SomethingDefinedLater)


def test_null_for_an_optional_argument_means_its_default() -> None:
    assert call(Base().get_weather, '{"location": "Rom", "days": null}') == "Bonn/Rom/1/None"


def test_positional_only_and_keyword_only_parameters() -> None:
    @function_tool
    def mixed(a: int, /, b: int = 2, *, c: int = 3) -> Any:
        return a, b, c

    assert call(mixed, {"a": 1, "c": 9}) == (1, 2, 9)


def test_a_blocking_function_does_not_block_the_loop() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    release = threading.Event()

    @function_tool
    def slow() -> Any:
        release.wait(5)
        return threading.current_thread() is threading.main_thread(), variable.get()

    async def main() -> Any:
        variable.set("kept")
        running = asyncio.create_task(slow.call("", context()))
        await asyncio.sleep(0.01)  # would last until the event is set if the tool blocked the loop
        release.set()
        return await running

    assert asyncio.run(main()) == (False, "kept")


def test_a_blocking_function_that_never_returns_is_left_behind() -> None:
    forever = threading.Event()

    @function_tool(timeout=0.02)
    def stuck() -> None:
        forever.wait(20)

    started = time.monotonic()
    with pytest.raises(ToolTimeout, match=r"stuck did not finish within 0.02 seconds"):
        call(stuck)
    forever.set()
    assert time.monotonic() - started < 10


def test_a_timeout_of_the_tools_own_is_not_taken_for_ours() -> None:
    @function_tool(timeout=5)
    async def own() -> None:
        raise TimeoutError("the bank's server")

    with pytest.raises(TimeoutError, match="the bank's server"):
        call(own)


@pytest.mark.parametrize("error", [ValueError("x"), ToolError("y")])
def test_errors_of_blocking_functions_arrive(error: Exception) -> None:
    @function_tool
    def fails() -> None:
        raise error

    with pytest.raises(type(error), match=str(error)):
        call(fails)


def test_a_tool_from_a_schema() -> None:
    seen: list[Any] = []

    async def handler(arguments: dict[str, Any], ctx: Any) -> str:
        seen.append((arguments, ctx.function_call.id))
        return "found"

    schema = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
    tool = FunctionTool.from_schema("search", "Search.", schema, handler)
    assert tool.parameters is schema
    assert call(tool, '{"q": "x"}') == "found"
    assert seen == [({"q": "x"}, "c1")]
    with pytest.raises(ToolArgumentError, match='"q" is missing'):
        call(tool, "{}")
    assert call(FunctionTool.from_schema("ping", "", {}, lambda arguments, ctx: "pong"), "{}") == "pong"


def test_run_context_passes_on_to_the_speech() -> None:
    ctx = context()
    ctx.disallow_interruptions()
    asyncio.run(ctx.wait_for_playout())
    assert ctx.speech_handle.allow_interruptions is False
    assert ctx.speech_handle.waited


@dataclasses.dataclass
class Account:
    balance: float
    owner: enum.Enum | None = None


class Kind(enum.Enum):
    A = "a"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as is", "as is"),
        (None, "done"),
        (True, "true"),
        (12, "12"),
        (Kind.A, "a"),
        ({"a": [1, Kind.A]}, '{"a": [1, "a"]}'),
        (Account(1.5, Kind.A), '{"balance": 1.5, "owner": "a"}'),
        ([Account(2)], '[{"balance": 2, "owner": null}]'),
        ({"ä"}, '["ä"]'),
        ({"at": types.SimpleNamespace()}, '{"at": "namespace()"}'),
    ],
)
def test_output_text(value: Any, text: str) -> None:
    assert tool_output_text(value) == text


def test_output_text_of_a_pydantic_model() -> None:
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("M", x=(int, 1))
    assert tool_output_text([model()]) == '[{"x": 1}]'
    assert tool_output_text(model()) == '{"x": 1}'
