"""Public methods that hop home by themselves, and their blocking twins.

`hops` goes on every public coroutine method and async generator of an object whose `_home` is a `Home`: such a method
may be awaited from any loop of any thread. `SyncFacade` offers the same methods without `await`, and `Lifetime` is what
such an object needs to stand after `with` and `async with`.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Protocol, Self, TypeVar, cast, runtime_checkable

from dfs_sdk.errors import show_as_line
from dfs_sdk.runtime.home import Home

MethodT = TypeVar("MethodT", bound=Callable[..., Any])

_END = object()


@runtime_checkable
class Housed(Protocol):
    """An object that lives on a home."""

    @property
    def _home(self) -> Home: ...


def hops(method: MethodT) -> MethodT:
    """Make a coroutine method or async generator method run on `self._home`, wherever it is awaited.

    Each step of a generator is a call of its own: a generator must not hold a time-out or task group over a `yield`.

    Raises:
        TypeError: `method` is neither.
    """
    if inspect.isasyncgenfunction(method):
        return cast("MethodT", _hopping_generator(method))
    if not inspect.iscoroutinefunction(method):
        raise TypeError(f"{method.__qualname__} is neither a coroutine method nor an async generator")

    @functools.wraps(method)
    async def hopping(self: Housed, *args: Any, **kwargs: Any) -> Any:
        try:
            return await self._home.run(method(self, *args, **kwargs))
        except asyncio.CancelledError as error:
            show_as_line(error, f"{method.__name__} was interrupted and has ended; everything else goes on.")
            raise

    return cast("MethodT", hopping)


def _hopping_generator(method: Callable[..., AsyncGenerator[Any, None]]) -> Callable[..., AsyncIterator[Any]]:
    @functools.wraps(method)
    async def hopping(self: Housed, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        home, steps = self._home, method(self, *args, **kwargs)
        try:
            while (item := await home.run(_step(steps))) is not _END:
                yield item
        finally:
            await home.run(_finish(steps))

    return hopping


async def _step(steps: AsyncIterator[Any]) -> Any:
    try:
        return await anext(steps)
    except StopAsyncIteration:
        return _END


async def _finish(steps: AsyncGenerator[Any, None]) -> None:
    await steps.aclose()


class SyncFacade:
    """The public coroutine methods of an object as plain blocking ones; its parts that live on a home likewise.

    Args:
        target: An object with a `_home`.
    """

    __slots__ = ("_target",)

    def __init__(self, target: Housed) -> None:
        self._target = target

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        value = getattr(self._target, name)
        if _is_async(value):
            return _blocking(self._target._home, value)  # noqa: SLF001 - the facade is the home's own face
        if isinstance(value, Housed):
            return SyncFacade(value)
        raise AttributeError(f"{name!r} does not wait for anything: use it on the {type(self._target).__name__} itself")

    def __dir__(self) -> list[str]:
        return [name for name in dir(self._target) if not name.startswith("_") and self._offers(name)]

    def __repr__(self) -> str:
        return f"<blocking methods of {self._target!r}>"

    def _offers(self, name: str) -> bool:
        # Looked up on the class: a property must not run, perhaps with an effect, because somebody pressed Tab.
        value = inspect.getattr_static(self._target, name, None)
        return _is_async(value) or (not isinstance(value, property) and isinstance(value, Housed))


class Lifetime(ABC):
    """What is started and closed: after `async with` on the loop, after `with` in a script, and by hand."""

    @abstractmethod
    async def start(self) -> Self:
        """Start it."""

    @abstractmethod
    async def close(self) -> None:
        """Stop it."""

    @property
    @abstractmethod
    def _home(self) -> Home: ...

    @property
    def sync(self) -> SyncFacade:
        """All coroutine methods without `await`: `node.sync.put(...)`."""
        return SyncFacade(self)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    def __enter__(self) -> Self:
        self.sync.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.sync.close()


def _is_async(value: object) -> bool:
    return inspect.iscoroutinefunction(value) or inspect.isasyncgenfunction(value)


def _blocking(home: Home, method: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.isasyncgenfunction(method):

        @functools.wraps(method)
        def iterate(*args: Any, **kwargs: Any) -> Iterator[Any]:
            steps = method(*args, **kwargs)
            try:
                while (item := home.block(_step(steps))) is not _END:
                    yield item
            finally:
                home.block(_finish(steps))

        return _plain(iterate)

    @functools.wraps(method)
    def wait(*args: Any, **kwargs: Any) -> Any:
        call: Coroutine[Any, Any, Any] = method(*args, **kwargs)
        return home.block(call)

    return _plain(wait)


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    del function.__wrapped__  # type: ignore[attr-defined] # or inspect, and IPython's `?`, would call it a coroutine
    return function
