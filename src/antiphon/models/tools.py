"""Function tools: Python functions that a model can call during a conversation.

A tool's name, docstring and type hints become the JSON Schema that the model sees; what the model writes is checked
against them before the function runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import json
import re
import sys
import threading
import types
import typing
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

from .chat_context import ToolCall
from .errors import StopResponse, ToolError
from .tool_output import tool_output_text
from .tool_schema import (
    ToolDefinitionError,
    make_field,
    parse_docstring,
    resolve_annotation,
    type_for_hint,
    type_for_schema,
)
from .tool_types import Field, JsonSchema, ObjectType, ToolArgumentError, ToolType

__all__ = [
    "FunctionTool",
    "RunContext",
    "StopResponse",
    "ToolArgumentError",
    "ToolDefinitionError",
    "ToolError",
    "ToolTimeout",
    "find_function_tools",
    "function_tool",
    "tool_output_text",
]

UserdataT = TypeVar("UserdataT")

_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CONTEXT_ANNOTATION = re.compile(r"(?:\w+\.)*RunContext(?:\[.*\])?")


class ToolTimeout(ToolError):
    """A tool did not finish within its `timeout`; the message reaches the model."""


@dataclass
class RunContext(Generic[UserdataT]):
    """What a running tool knows about the conversation; a parameter with this type is not shown to the model.

    Attributes:
        session: the `AgentSession` that the tool runs in.
        speech_handle: the reply that asked for the tool.
        function_call: the call as the model wrote it.
        userdata: the session's `userdata`.
        agent: the agent that was in charge when the tool was called.
    """

    session: Any
    speech_handle: Any
    function_call: ToolCall
    userdata: UserdataT = None  # type: ignore[assignment]  # sessions without userdata
    agent: Any = None

    def disallow_interruptions(self) -> None:
        """Let the caller not talk over the reply that this tool belongs to, as when it changes something for good."""
        self.speech_handle.allow_interruptions = False

    async def wait_for_playout(self) -> None:
        """Wait until what the assistant said before calling the tool has been heard."""
        await self.speech_handle.wait_for_playout()


class FunctionTool:
    """A function that a model can call.

    Attributes:
        name: what the model calls it; letters, digits, `_` and `-`, at most 64.
        description: what it does and when to use it, for the model.
        parameters: JSON Schema of an object with one property for each argument.
        timeout: seconds that a call may take, None for no limit of its own.
    """

    def __init__(
        self,
        *,
        name: str,
        description: str,
        arguments: ToolType,
        parameters: JsonSchema,
        run: Callable[[Any, dict[str, Any], Any], Any],
        function: Callable[..., Any],
        timeout: float | None = None,
        is_method: bool = False,
        instance: Any = None,
    ) -> None:
        if not _TOOL_NAME.fullmatch(name):
            raise ToolDefinitionError(
                f"tool name {name!r}: models accept 1 to 64 letters, digits, '_' and '-'; "
                "give another with @function_tool(name=...)"
            )
        self.name = name
        self.description = description
        self.parameters = parameters
        self.timeout = timeout
        self._arguments = arguments
        self._run = run
        self._function = function
        self._is_method = is_method
        self._instance = instance

    @classmethod
    def from_schema(
        cls,
        name: str,
        description: str,
        parameters: JsonSchema,
        handler: Callable[[dict[str, Any], Any], Awaitable[Any] | Any],
        *,
        timeout: float | None = None,
    ) -> FunctionTool:
        """Make a tool that has a JSON Schema instead of a Python signature, such as one of an MCP server.

        Args:
            name: as for any tool.
            description: as for any tool.
            parameters: JSON Schema of an object; shown to the model as it is.
            handler: called with the checked arguments and the `RunContext`.
            timeout: seconds that a call may take.
        """
        return cls(
            name=name,
            description=description,
            arguments=type_for_schema({"type": "object", "properties": {}, **parameters}),
            parameters=parameters,
            run=lambda _instance, arguments, context: handler(arguments, context),
            function=handler,
            timeout=timeout,
        )

    async def call(self, arguments: str | Mapping[str, Any], context: Any = None) -> Any:
        """Check the arguments and run the tool.

        A plain (not `async`) function runs in a thread of its own, so that it can block without stopping the
        audio of every call in the process.

        Args:
            arguments: JSON text as the model wrote it, or the decoded object.
            context: a `RunContext`, given to the function if it asks for one.

        Returns:
            What the function returns; `tool_output_text` turns it into text for the model.

        Raises:
            ToolArgumentError: the arguments do not fit; the message tells the model what to correct.
            ToolTimeout: the function took longer than `timeout`.
        """
        if self._is_method and self._instance is None:
            raise ToolDefinitionError(
                f"tool {self.name!r} is a method: take it from an instance, not from its class"
            )
        parsed = self._arguments.parse(_decode_arguments(arguments, self.name), "")
        scope = asyncio.timeout(self.timeout)
        try:
            async with scope:
                if inspect.iscoroutinefunction(self._function):
                    return await self._run(self._instance, parsed, context)
                result = await _run_in_thread(lambda: self._run(self._instance, parsed, context))
                return await result if inspect.isawaitable(result) else result
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise ToolTimeout(f"{self.name} did not finish within {self.timeout:g} seconds") from error

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself, as if it were not decorated."""
        if self._is_method and self._instance is not None:
            return self._function(self._instance, *args, **kwargs)
        return self._function(*args, **kwargs)

    def __get__(self, instance: Any, owner: type | None = None) -> FunctionTool:
        if instance is None or not self._is_method:
            return self
        return FunctionTool(
            name=self.name,
            description=self.description,
            arguments=self._arguments,
            parameters=self.parameters,
            run=self._run,
            function=self._function,
            timeout=self.timeout,
            is_method=True,
            instance=instance,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FunctionTool):
            return NotImplemented
        return (self.name, self.description, self.parameters, self.timeout) == (
            other.name,
            other.description,
            other.parameters,
            other.timeout,
        ) and (self._function == other._function and self._instance is other._instance)

    def __hash__(self) -> int:
        return hash((self.name, self._function, id(self._instance)))

    def __repr__(self) -> str:
        return f"FunctionTool({self.name}: {', '.join(self.parameters.get('properties', {}))})"


FunctionT = Callable[..., Any]


@overload
def function_tool(function: FunctionT, /) -> FunctionTool: ...
@overload
def function_tool(
    function: FunctionT,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float | None = None,
) -> FunctionTool: ...
@overload
def function_tool(
    *, name: str | None = None, description: str | None = None, timeout: float | None = None
) -> Callable[[FunctionT], FunctionTool]: ...
def function_tool(
    function: FunctionT | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float | None = None,
) -> FunctionTool | Callable[[FunctionT], FunctionTool]:
    """Offer a function or a method to the model.

    Use it bare or with options. The arguments are described by the type hints and by the `Args:` section of the
    docstring; a parameter of type `RunContext` is filled in by the session.

    Args:
        function: what to offer; `async` or not.
        name: what the model calls it, if not by the function's own name.
        description: for the model, instead of the docstring's text.
        timeout: seconds that a call may take.

    Raises:
        ToolDefinitionError: a parameter has no type hint, or one that no JSON fits.
    """
    local_names = _names_around(sys._getframe(1))

    def decorate(target: FunctionT) -> FunctionTool:
        return _from_function(target, local_names, name, description, timeout)

    return decorate if function is None else decorate(function)


def find_function_tools(obj: Any) -> list[FunctionTool]:
    """The tools of an instance (bound to it), a class or a module, in the order of their definition.

    A tool that a subclass overrides keeps its place; one overridden by something that is no tool (such as None) is gone.

    Raises:
        ToolDefinitionError: two of them have the same name.
    """
    if isinstance(obj, types.ModuleType):
        attributes = list(vars(obj))
    else:
        cls = obj if isinstance(obj, type) else type(obj)
        attributes = list(dict.fromkeys(name for base in reversed(cls.__mro__) for name in vars(base)))
    tools: dict[str, FunctionTool] = {}
    for attribute in attributes:
        if not isinstance(_unwrap_static(inspect.getattr_static(obj, attribute, None)), FunctionTool):
            continue  # looked at without running properties
        tool = getattr(obj, attribute)
        if tools.setdefault(tool.name, tool) != tool:
            raise ToolDefinitionError(
                f"{obj!r} has two tools named {tool.name!r}; give one another name with @function_tool(name=...)"
            )
    return list(tools.values())


def _unwrap_static(value: Any) -> Any:
    return value.__func__ if isinstance(value, staticmethod | classmethod) else value


def _names_around(frame: types.FrameType | None) -> dict[str, Any]:
    """Names of the functions and classes that a decorator stands in, for hints written as text."""
    names: dict[str, Any] = {}
    module = frame.f_globals if frame else None
    while frame is not None and frame.f_globals is module and frame.f_code.co_name != "<module>":
        names = {**frame.f_locals, **names}
        frame = frame.f_back
    return names


def _from_function(
    target: FunctionT,
    local_names: Mapping[str, Any],
    name: str | None,
    description: str | None,
    timeout: float | None,
) -> FunctionTool:
    function = _unwrap_static(target)
    if isinstance(function, FunctionTool):
        raise ToolDefinitionError(f"{function.name} is a tool already")
    if not inspect.isroutine(function):
        raise ToolDefinitionError(
            f"{target!r} is not a function; @function_tool goes on a function or a method"
        )
    name = name or function.__name__
    signature = inspect.signature(function)
    documented = parse_docstring(function.__doc__ or "")
    parameters = list(signature.parameters.values())
    is_method = bool(parameters) and parameters[0].name == "self"
    fields: list[Field] = []
    context_name: str | None = None
    for parameter in parameters[1:] if is_method else parameters:
        hint = _hint_of(parameter, function, local_names)
        if hint is RunContext:
            context_name = parameter.name
            continue
        fields.append(_field_of(parameter, hint, function, local_names, documented.arguments))
    arguments = ObjectType(fields)

    def run(instance: Any, given: dict[str, Any], context: Any) -> Any:
        values = dict(given)
        if is_method:
            values["self"] = instance
        if context_name is not None:
            values[context_name] = context
        bound = inspect.BoundArguments(
            signature,
            {each.name: values[each.name] for each in parameters if each.name in values},
        )
        bound.apply_defaults()
        return function(*bound.args, **bound.kwargs)

    return FunctionTool(
        name=name,
        description=description if description is not None else documented.description,
        arguments=arguments,
        parameters=arguments.schema(),
        run=run,
        function=function,
        timeout=timeout,
        is_method=is_method,
    )


def _hint_of(parameter: inspect.Parameter, function: FunctionT, local_names: Mapping[str, Any]) -> Any:
    """The parameter's hint, `RunContext` itself if it is the context."""
    where = f"tool {function.__qualname__}: parameter {parameter.name!r}"
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
        raise ToolDefinitionError(
            f"tool {function.__qualname__}: {stars}{parameter.name} cannot be described to a model; "
            "name each argument, or use FunctionTool.from_schema"
        )
    annotation = parameter.annotation
    if annotation is parameter.empty:
        if parameter.name in ("ctx", "context"):
            return RunContext
        raise ToolDefinitionError(f"{where} needs a type hint, as in `{parameter.name}: str`")
    if isinstance(annotation, str) and _CONTEXT_ANNOTATION.fullmatch(annotation.strip("'\" ")):
        return RunContext  # also where the name is imported for type checkers only
    try:
        hint = resolve_annotation(annotation, getattr(function, "__globals__", {}), local_names)
    except NameError as error:
        raise ToolDefinitionError(
            f"{where}: the hint {annotation!r} cannot be evaluated ({error}); "
            "import the type where the function is defined, not only for type checking"
        ) from None
    return RunContext if _is_context(hint) else hint


def _is_context(hint: Any) -> bool:
    members = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    origins = [typing.get_origin(member) or member for member in members]
    return any(isinstance(origin, type) and issubclass(origin, RunContext) for origin in origins)


def _field_of(
    parameter: inspect.Parameter,
    hint: Any,
    function: FunctionT,
    local_names: Mapping[str, Any],
    documented: Mapping[str, str],
) -> Field:
    try:
        kind = type_for_hint(hint, local_names)
    except ToolDefinitionError as error:
        raise ToolDefinitionError(
            f"tool {function.__qualname__}: parameter {parameter.name!r}: {error}"
        ) from None
    required = parameter.default is parameter.empty
    return make_field(parameter.name, kind, required, documented.get(parameter.name, ""), parameter.default)


def _decode_arguments(arguments: str | Mapping[str, Any], name: str) -> Mapping[str, Any]:
    if not isinstance(arguments, str):
        return arguments
    if not arguments.strip():
        return {}  # some models write nothing where there is nothing to say
    try:
        decoded = json.loads(arguments)
    except ValueError as error:
        raise ToolArgumentError(
            f"the arguments of {name} are not valid JSON ({error}); write one JSON object"
        ) from None
    if decoded is None:
        return {}
    if not isinstance(decoded, dict):
        raise ToolArgumentError(f"the arguments of {name} must be one JSON object, got {arguments[:80]}")
    return decoded


async def _run_in_thread(function: Callable[[], Any]) -> Any:
    """Run a blocking function in a daemon thread of its own.

    The loop's default executor will not do: a few tools that never return would use it up, and it holds up the end
    of the process.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()
    variables = contextvars.copy_context()

    def settle(result: Any, error: BaseException | None) -> None:
        if done.done():
            return  # the caller has given up
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)

    def work() -> None:
        result, failure = None, None
        try:
            result = variables.run(function)
        except BaseException as error:  # handed to the awaiting task
            failure = RuntimeError(str(error)) if isinstance(error, StopIteration) else error
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=work, name="antiphon-tool", daemon=True).start()
    return await done
