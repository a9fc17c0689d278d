"""The base class of the immutable values of obsup.

Modules that ``--version`` and ``--help`` load use NamedTuple instead, because importing msgspec takes too long.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, dataclass_transform

import msgspec

# Constraints that msgspec checks when it decodes a file. The largest integer is what a file offset can be.
_MAX_INTEGER = 2**63 - 1
Positive = Annotated[int, msgspec.Meta(ge=1, le=_MAX_INTEGER)]
NotNegative = Annotated[int, msgspec.Meta(ge=0, le=_MAX_INTEGER)]
MD5Hex = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Value(msgspec.Struct, frozen=True):
    """An immutable value. Fields define equality, hash, copy and pickle.

    ``_hidden`` lists the fields that ``repr`` omits, for example secrets. A subclass that sets it repeats the
    fields of its base class.
    """

    _hidden: ClassVar[tuple[str, ...]] = ()

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [(name, getattr(self, name)) for name in self.__struct_fields__ if name not in self._hidden]

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__qualname__}({fields})"
