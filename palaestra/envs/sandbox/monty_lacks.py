"""What CPython has and the interpreter monty 1.4 lacks, found by asking it; a test asks again and compares.

Only names that a program could mean are here: the public part of the modules in `MODULES`, the built-ins, and the methods and
attributes of built-in types. A name that another type has in monty (`start` of a match, lacking on `range`) is left out.
"""

from __future__ import annotations

from collections.abc import Mapping

MODULES: Mapping[str, frozenset[str]] = {
    "base64": frozenset(("decode", "encode")),
    "bisect": frozenset(),
    "collections": frozenset(("ChainMap", "OrderedDict", "UserDict", "UserList", "UserString", "abc")),
    "copy": frozenset(("Error", "error", "replace")),
    "dataclasses": frozenset(("Field", "InitVar", "KW_ONLY", "asdict", "astuple", "fields", "make_dataclass", "replace")),
    "datetime": frozenset(("MAXYEAR", "MINYEAR", "UTC", "tzinfo")),
    "decimal": frozenset(),
    "functools": frozenset(
        ("WRAPPER_ASSIGNMENTS", "WRAPPER_UPDATES", "cached_property", "cmp_to_key", "partialmethod", "singledispatch",
         "singledispatchmethod", "total_ordering", "update_wrapper", "wraps")
    ),
    "hashlib": frozenset(("file_digest", "scrypt")),
    "itertools": frozenset(),
    "json": frozenset(("JSONDecoder", "JSONEncoder", "decoder", "encoder", "scanner")),
    "math": frozenset(),
    "random": frozenset(("SystemRandom",)),
    "re": frozenset(
        ("DEBUG", "L", "LOCALE", "RegexFlag", "Scanner", "T", "TEMPLATE", "U", "UNICODE", "VERBOSE", "X", "purge", "subn",
         "template")
    ),
    "time": frozenset(("clock_getres", "clock_gettime", "clock_gettime_ns", "get_clock_info", "struct_time", "tzset")),
    "typing": frozenset(
        ("AbstractSet", "AnyStr", "Awaitable", "ChainMap", "Collection", "Container", "Counter", "DefaultDict", "Deque",
         "Hashable", "ItemsView", "KeysView", "LiteralString", "Match", "MutableMapping", "MutableSequence", "MutableSet",
         "NamedTuple", "NewType", "NotRequired", "OrderedDict", "ParamSpec", "Pattern", "Required", "Reversible", "Sized",
         "SupportsAbs", "SupportsFloat", "SupportsIndex", "SupportsInt", "SupportsRound", "Text", "TypeAlias", "TypeGuard",
         "TypedDict", "Unpack", "ValuesView", "AsyncContextManager", "AsyncGenerator", "AsyncIterable",
         "AsyncIterator", "BinaryIO", "ByteString",
         "Concatenate", "ContextManager", "Coroutine", "ForwardRef", "IO", "MappingView", "ParamSpecArgs", "ParamSpecKwargs",
         "SupportsBytes", "SupportsComplex", "TextIO", "TypeVarTuple", "assert_type", "clear_overloads", "get_overloads",
         "dataclass_transform", "is_typeddict", "no_type_check", "no_type_check_decorator", "reveal_type",
         "NoDefault", "ReadOnly", "TypeAliasType", "TypeIs", "get_protocol_members", "is_protocol", "override",
         "assert_never", "cast", "final", "get_args", "get_origin", "get_type_hints",
         "overload", "runtime_checkable")
    ),
    "unicodedata": frozenset(
        ("bidirectional", "decimal", "decomposition", "digit", "east_asian_width", "mirrored", "numeric")
    ),
}  # fmt: skip
"""Modules that monty has, each with the public names that it lacks."""

BUILTINS = frozenset(
    ("BaseExceptionGroup", "BlockingIOError", "BrokenPipeError", "BufferError", "BytesWarning", "ChildProcessError",
     "ConnectionAbortedError", "ConnectionError", "ConnectionRefusedError", "ConnectionResetError", "DeprecationWarning",
     "EOFError", "EncodingWarning", "EnvironmentError", "ExceptionGroup", "FloatingPointError", "FutureWarning",
     "GeneratorExit", "IOError", "ImportWarning", "IndentationError", "InterruptedError", "PendingDeprecationWarning",
     "ProcessLookupError", "ReferenceError", "ResourceWarning", "RuntimeWarning", "StopAsyncIteration", "SyntaxWarning",
     "SystemError", "TabError", "UnicodeError", "UnicodeTranslateError", "UnicodeWarning", "UserWarning", "Warning", "aiter",
     "anext", "ascii", "breakpoint", "bytearray", "callable", "classmethod", "compile", "delattr", "dir", "globals", "help",
     "input", "issubclass", "memoryview", "staticmethod", "super", "vars")
)  # fmt: skip

ATTRIBUTES = frozenset(
    ("add_note", "as_integer_ratio", "bit_count", "bit_length", "conjugate", "ctime", "default_factory", "denominator",
     "difference_update", "endpos", "expand", "fold", "format_map", "from_bytes", "from_float", "fromisocalendar",
     "fromordinal", "fromtimestamp", "fromutc", "groupindex", "imag", "intersection_update", "is_integer", "isocalendar",
     "lastgroup", "lastindex", "maketrans", "numerator", "real", "regs", "resolution", "scanner", "step", "stop", "subn",
     "symmetric_difference_update", "timetuple", "to_bytes", "toordinal", "translate", "utcfromtimestamp", "utcnow",
     "utctimetuple", "with_traceback")
)  # fmt: skip
"""Methods and attributes of built-in types that monty lacks on every type that has them."""

METHODS = frozenset(
    name for kind in (str, bytes, list, dict, set, frozenset, int, float) for name in dir(kind) if not name.startswith("_")
)
"""Methods of built-in types: monty calls them, but does not hand them around as values (`key=str.lower`, `add = a.append`)."""

CLASS_METHODS: Mapping[str, frozenset[str]] = {
    "str": frozenset(),
    "bytes": frozenset(("fromhex",)),
    "list": frozenset(),
    "tuple": frozenset(),
    "set": frozenset(),
    "frozenset": frozenset(),
    "dict": frozenset(("fromkeys",)),
    "int": frozenset(),
    "float": frozenset(),
}
"""Methods that monty calls on the types themselves (`dict.fromkeys(x)`, but not `str.lower(x)`)."""
