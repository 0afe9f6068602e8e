"""Errors that leave Tacita without the frames in which they arose.

A frame holds the texts, queries and key bytes that were being worked on. Error trackers and verbose tracebacks print
or send such locals, so a public verb gives out its errors bare: type, message and the caller's own frames. An error
that is not one of ours is a defect and keeps its frames.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any, TypeVar

from tacita.errors import TacitaError
from tacita.patterns import lazy_pattern

_QUOTED = lazy_pattern(r"(Invalid enum value) .*?( - at `[^`]*`(?: in `[^`]*`)?)?\Z", re.DOTALL)

T = TypeVar("T")
C = TypeVar("C", bound=type)


def without_values(error: Exception) -> str:
    """What msgspec says of a value that is not as it must be: the path and the types, and not the value, which it quotes."""
    return _QUOTED.sub(r"\1\2", str(error))


def bare_errors(cls: C) -> C:
    """Class decorator: `__init__` and every public method give out `TacitaError`s without frames of this package."""
    for name, value in list(vars(cls).items()):
        if isinstance(value, FunctionType) and (name == "__init__" or not name.startswith("_")):
            setattr(cls, name, _bare(value))
    return cls


def _bare(method: Callable[..., T]) -> Callable[..., T]:
    @functools.wraps(method)
    def verb(*args: Any, **kwargs: Any) -> Any:
        try:
            result = method(*args, **kwargs)
            return _each(result) if isinstance(result, Iterator) else result
        except TacitaError as error:
            failure = error
        # This frame is in the traceback too.
        del args, kwargs
        try:
            raise _stripped(failure)
        finally:
            del failure

    return verb


def _each(items: Iterator[T]) -> Iterator[T]:
    failure: TacitaError | None = None
    while failure is None:
        try:
            one = next(items)
        except StopIteration:
            return
        except TacitaError as error:
            failure = error
        else:
            yield one
            del one
    try:
        raise _stripped(failure)
    finally:
        del failure


def _stripped(error: BaseException) -> BaseException:
    """The error, and what led to it, without tracebacks."""
    seen: list[BaseException | None] = [error]
    for one in seen:
        if one is not None:
            one.__traceback__ = None
            seen += [each for each in (one.__cause__, one.__context__) if each not in seen]
    return error
