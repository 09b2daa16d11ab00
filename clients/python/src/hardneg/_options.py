"""Keyword arguments that several methods share.

Each group is declared once, as a TypedDict, and a method takes it as ``**options: Unpack[TheGroup]`` (PEP 692). Type
checkers and editors expand that by themselves. Python does not: `takes` makes calls and `help` behave as if every
keyword stood in the signature, and `share_descriptions` writes the text that describes them, which stands in one
method's docstring only, into the docstrings of the others.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

_F = TypeVar("_F", bound=Callable[..., Any])
_T = TypeVar("_T")

# The arguments of a Google-style docstring: the section, and one entry with its continuation lines.
_ARGS_SECTION = re.compile(r"^Args:\n((?:    .*\n|\n)+?)(?=\n?\S|\Z)", flags=re.M)
_ENTRY = re.compile(r"^    (\*{0,2}\w+): .*\n(?:        .*\n)*", flags=re.M)


def takes(options: Any) -> Callable[[_F], _F]:
    """Decorates a function whose last parameter is ``**name: Unpack[options]``.

    The function refuses keywords that are not in the TypedDict, as Python does for an ordinary signature, and
    `inspect.signature` lists every keyword: `help` and the completion of notebooks read that.
    """
    annotations = {name: getattr(kind, "__forward_arg__", kind) for name, kind in options.__annotations__.items()}
    keywords = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in annotations.items()
    ]

    def decorate(function: _F) -> _F:
        signature = inspect.signature(function)
        named = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
        accepted = frozenset(annotations).union(one.name for one in named)

        @functools.wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            for name in kwargs:
                if name not in accepted:
                    near = difflib.get_close_matches(name, accepted, n=1)
                    hint = f"; did you mean {near[0]!r}?" if near else ""
                    raise TypeError(f"{function.__name__}() got an unexpected keyword argument {name!r}{hint}")
            return function(*args, **kwargs)

        checked.__signature__ = signature.replace(parameters=[*named, *keywords])  # type: ignore[attr-defined]
        checked.__hardneg_options__ = tuple(annotations)  # type: ignore[attr-defined]
        return cast(_F, checked)

    return decorate


def share_descriptions(source: Callable[..., Any], *targets: Callable[..., Any]) -> None:
    """Replaces the entry of ``**options`` in the docstrings of `targets` by what `source` says of each keyword.

    A keyword that a target describes itself keeps that description.
    """
    if source.__doc__ is None:  # python -OO
        return
    described = _entries(inspect.cleandoc(source.__doc__))
    for target in targets:
        text = inspect.cleandoc(target.__doc__ or "") + "\n"
        own = _entries(text)
        names = [name for name in target.__hardneg_options__ if name not in own]  # type: ignore[attr-defined]
        (placeholder,) = [entry for name, entry in own.items() if name.startswith("**")]
        target.__doc__ = text.replace(placeholder, "".join(described[name] for name in names))


def _entries(docstring: str) -> dict[str, str]:
    """The entries of a docstring's ``Args:``, by name."""
    section = _ARGS_SECTION.search(docstring + "\n")
    assert section is not None, docstring
    return {entry[1]: entry[0] for entry in _ENTRY.finditer(section[1])}


def dataclass_from(kind: type[_T], options: Mapping[str, Any]) -> _T:
    """Makes a dataclass of the options that have its fields' names; None is as if it were not given."""
    names = [field.name for field in dataclasses.fields(cast(Any, kind))]
    return kind(**{name: options[name] for name in names if options.get(name) is not None})
