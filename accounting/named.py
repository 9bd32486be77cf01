"""What the recording path needs of `typing`, which with all that it loads costs a job as much as everything else here.

if TYPE_CHECKING:
    from typing import NamedTuple, Protocol
else:
    from joulebook.accounting.named import NamedTuple, Protocol
"""

from __future__ import annotations

from collections import namedtuple


class _Kind(type):
    def __new__(cls, name: str, bases: tuple[type, ...], space: dict[str, object]) -> type:
        if not bases:
            return super().__new__(cls, name, bases, space)
        fields: dict[str, str] = space.get("__annotations__", {})  # type: ignore[assignment]
        given = [space[field] for field in fields if field in space]
        made = namedtuple(name, fields, defaults=given, module=str(space["__module__"]))  # type: ignore[misc]
        made.__doc__ = str(space.get("__doc__"))
        return made


class NamedTuple(metaclass=_Kind):
    """`typing.NamedTuple` for plain fields, without methods."""


class Protocol:
    """Says to a reader and to a type checker what something offers; nobody asks at run time."""
