from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ColumnEncoding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COLUMN_ENCODING_UNSPECIFIED: _ClassVar[ColumnEncoding]
    COLUMN_ENCODING_PACKED: _ClassVar[ColumnEncoding]
    COLUMN_ENCODING_LITTLE_ENDIAN: _ClassVar[ColumnEncoding]
COLUMN_ENCODING_UNSPECIFIED: ColumnEncoding
COLUMN_ENCODING_PACKED: ColumnEncoding
COLUMN_ENCODING_LITTLE_ENDIAN: ColumnEncoding

class U64s(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, values: _Optional[_Iterable[int]] = ...) -> None: ...

class Strings(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, values: _Optional[_Iterable[str]] = ...) -> None: ...

class Floats(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, values: _Optional[_Iterable[float]] = ...) -> None: ...

class IdColumn(_message.Message):
    __slots__ = ("u64s", "u64_le", "strings")
    U64S_FIELD_NUMBER: _ClassVar[int]
    U64_LE_FIELD_NUMBER: _ClassVar[int]
    STRINGS_FIELD_NUMBER: _ClassVar[int]
    u64s: U64s
    u64_le: bytes
    strings: Strings
    def __init__(self, u64s: _Optional[_Union[U64s, _Mapping[str, object]]] = ..., u64_le: _Optional[bytes] = ..., strings: _Optional[_Union[Strings, _Mapping[str, object]]] = ...) -> None: ...

class FloatColumn(_message.Message):
    __slots__ = ("floats", "f32_le", "present")
    FLOATS_FIELD_NUMBER: _ClassVar[int]
    F32_LE_FIELD_NUMBER: _ClassVar[int]
    PRESENT_FIELD_NUMBER: _ClassVar[int]
    floats: Floats
    f32_le: bytes
    present: bytes
    def __init__(self, floats: _Optional[_Union[Floats, _Mapping[str, object]]] = ..., f32_le: _Optional[bytes] = ..., present: _Optional[bytes] = ...) -> None: ...
