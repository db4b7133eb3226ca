"""What is known to leave nothing behind in an interpreter; a source with anything else gets a fresh child for each call.

A list of what may stay: functions whose results depend on their arguments alone, classes whose objects are plain values,
constants that nothing can change. Caches that the library keeps (of regular expressions, of formats of dates) change no
result, as long as nobody gets near the recursion limit. `traces` reads it.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Mapping

from palaestra.envs.sandbox.known_equal import LIST_METHODS, METHODS, TYPING

NODES = (
    ast.Module, ast.FunctionDef, ast.Lambda, ast.arguments, ast.arg, ast.keyword, ast.Load, ast.Store, ast.Del,
    ast.boolop, ast.operator, ast.unaryop, ast.cmpop, ast.BoolOp, ast.UnaryOp, ast.BinOp, ast.If, ast.IfExp, ast.Return,
    ast.Expr, ast.expr_context,
    ast.Pass, ast.Break, ast.Continue, ast.While, ast.For, ast.Assert, ast.Try, ast.ExceptHandler, ast.Raise, ast.Assign,
    ast.AnnAssign, ast.AugAssign, ast.Global, ast.Nonlocal, ast.JoinedStr, ast.FormattedValue, ast.List, ast.Tuple, ast.Dict,
    ast.ListComp, ast.DictComp, ast.GeneratorExp, ast.comprehension, ast.Slice, ast.Starred, ast.Subscript, ast.Constant,
    ast.Name, ast.Attribute, ast.Call, ast.Compare, ast.Set, ast.Delete, ast.NamedExpr, ast.Import, ast.ImportFrom, ast.alias,
)  # fmt: skip
"""Nodes that may stand in such a source: no class, `yield`, `with`, `match`, `async`, no set but of constants."""

EXCEPTIONS = frozenset(
    name for name, kind in vars(builtins).items() if isinstance(kind, type) and issubclass(kind, BaseException)
) - {"BaseExceptionGroup", "ExceptionGroup"}
LAZY = frozenset(("map", "filter", "zip", "enumerate", "reversed", "iter"))
"""What makes iterators, whose text shows where they lie: they have to be used up where they are made."""
CONSUMERS = frozenset(("list", "tuple", "dict", "sorted", "sum", "min", "max", "any", "all", "next"))
BUILTINS = CONSUMERS | LAZY | EXCEPTIONS | frozenset(
    ("abs", "ascii", "bin", "bool", "chr", "complex", "divmod", "float", "format", "hex", "int", "isinstance", "len", "oct",
     "ord", "pow", "print", "range", "repr", "round", "slice", "str", "True", "False", "None", "Ellipsis", "__name__")
)  # fmt: skip

VIEWS = frozenset(("keys", "items", "values"))
"""Methods whose result makes sets by `-` and `&`: the order of a set with NaN in it depends on addresses."""
LAZY_METHODS = frozenset(("finditer",))
METHODS_KEPT = (METHODS - {"format"}) | LIST_METHODS | LAZY_METHODS | frozenset(
    ("popitem", "fromkeys", "expandtabs", "islower", "isupper", "istitle", "isnumeric", "isidentifier", "isprintable",
     "isascii", "rindex", "translate", "maketrans", "bit_length", "is_integer", "conjugate", "as_integer_ratio",
     "limit_denominator", "issubset", "issuperset", "isdisjoint",
     "strptime", "strftime", "now", "utcnow", "today", "date", "time", "isoformat", "fromisoformat", "weekday", "isoweekday",
     "isocalendar", "timestamp", "fromtimestamp", "combine", "total_seconds", "toordinal", "fromordinal",
     "timetuple", "utcoffset",
     "match", "search", "fullmatch", "findall", "sub", "subn", "group", "groups", "groupdict", "start", "end", "span",
     "most_common", "total", "subtract", "popleft", "appendleft", "extendleft", "rotate", "move_to_end",
     "quantize", "normalize", "to_integral_value", "is_nan", "is_zero", "is_infinite")
)  # fmt: skip
"""Methods of plain values. Not `encode` and `decode`: a codec that is not there is remembered."""
DATA = frozenset(
    ("year", "month", "day", "hour", "minute", "second", "microsecond", "days", "seconds", "microseconds", "tzinfo", "utc",
     "real", "imag", "numerator", "denominator", "args")
)  # fmt: skip
"""Attributes that are read without a call."""

FUNCTIONS: Mapping[str, frozenset[str]] = {
    "math": frozenset(
        ("acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "ceil", "comb", "copysign", "cos", "cosh", "degrees",
         "dist", "erf", "erfc", "exp", "expm1", "fabs", "factorial", "floor", "fmod", "frexp", "fsum", "gamma", "gcd", "hypot",
         "isclose", "isfinite", "isinf", "isnan", "isqrt", "lcm", "ldexp", "lgamma", "log", "log10", "log1p", "log2", "modf",
         "perm", "pow", "prod", "radians", "remainder", "sin", "sinh", "sqrt", "tan", "tanh", "trunc")
    ),
    "cmath": frozenset(("sqrt", "exp", "log", "phase", "polar", "rect", "isclose")),
    "json": frozenset(("dumps", "loads")),
    "re": frozenset(("match", "search", "fullmatch", "findall", "finditer", "sub", "subn", "split", "compile", "escape")),
    "itertools": frozenset(
        ("accumulate", "chain", "combinations", "combinations_with_replacement", "compress", "count", "cycle", "dropwhile",
         "filterfalse", "islice", "pairwise", "permutations", "product", "repeat", "starmap", "takewhile", "zip_longest")
    ),
    "heapq": frozenset(("heappush", "heappop", "heapify", "heappushpop", "heapreplace", "nlargest", "nsmallest")),
    "bisect": frozenset(("bisect", "bisect_left", "bisect_right", "insort", "insort_left", "insort_right")),
    "statistics": frozenset(
        ("mean", "fmean", "median", "median_low", "median_high", "mode", "multimode", "stdev", "pstdev", "variance",
         "pvariance", "geometric_mean", "harmonic_mean", "quantiles")
    ),
    "operator": frozenset(
        ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "neg", "eq", "ne", "lt", "le", "gt", "ge", "and_", "or_",
         "xor")
    ),
    "functools": frozenset(("reduce",)),
    "textwrap": frozenset(("wrap", "fill", "dedent", "indent", "shorten")),
    "string": frozenset(("capwords",)),
    "calendar": frozenset(("isleap", "leapdays", "monthrange", "weekday")),
    "copy": frozenset(("copy", "deepcopy")),
    "difflib": frozenset(("get_close_matches",)),
    "time": frozenset(("time", "sleep", "strftime", "localtime", "gmtime", "monotonic", "perf_counter")),
    "unicodedata": frozenset(("normalize", "category", "combining", "name")),
    "random": frozenset(("random", "randint", "randrange", "uniform", "choice", "choices", "sample", "shuffle", "gauss")),
}  # fmt: skip
"""Functions that may be called and not passed on. Chance starts over in every call, and the clock stands still."""
VALUES: Mapping[str, frozenset[str]] = {
    "math": frozenset(("pi", "e", "tau", "inf", "nan")),
    "cmath": frozenset(("pi", "e")),
    "json": frozenset(("JSONDecodeError",)),
    "re": frozenset(
        ("I", "IGNORECASE", "M", "MULTILINE", "S", "DOTALL", "X", "VERBOSE", "A", "ASCII", "U", "UNICODE", "error")
    ),
    "datetime": frozenset(("datetime", "date", "time", "timedelta", "timezone")),
    "collections": frozenset(("Counter", "OrderedDict", "defaultdict", "deque")),
    "decimal": frozenset(
        ("Decimal", "InvalidOperation", "ROUND_HALF_UP", "ROUND_HALF_EVEN", "ROUND_HALF_DOWN", "ROUND_DOWN", "ROUND_UP",
         "ROUND_FLOOR", "ROUND_CEILING")
    ),
    "fractions": frozenset(("Fraction",)),
    "string": frozenset(
        ("ascii_letters", "ascii_lowercase", "ascii_uppercase", "digits", "hexdigits", "octdigits", "punctuation",
         "whitespace", "printable")
    ),
    "calendar": frozenset(("month_name", "month_abbr", "day_name", "day_abbr")),
    "typing": TYPING,
    "__future__": frozenset(("annotations",)),
}  # fmt: skip
"""Classes and constants that may be passed on."""

FLAGS_AT: Mapping[str, int] = {
    **dict.fromkeys(("match", "search", "fullmatch", "findall", "finditer"), 2),
    **dict.fromkeys(("sub", "subn"), 4),
    "split": 3,
    "compile": 1,
}
"""Where a function of `re` takes flags, which are to be named: one of them, as a number, prints."""
REGEX_COUNTS = frozenset(("count", "maxsplit"))
JSON_KEYWORDS = frozenset(("indent", "sort_keys", "ensure_ascii", "separators", "allow_nan", "skipkeys"))
NO_CACHES = frozenset(("math", "cmath", "json", "itertools", "heapq", "bisect", "operator", "__future__"))
"""Modules that remember nothing at all, so that nothing is nearer to the recursion limit in the first call than later."""
MAX_DEPTH, MAX_PATTERN_CHARS, MAX_PATTERN_GROUPS, LEAST_RECURSION = 64, 500, 20, 400
"""Of a source that uses modules with caches: functions and comprehensions, the size of a pattern, frames that are needed."""
