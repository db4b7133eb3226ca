"""Tools: typed, documented Python that an agent may call.

An author writes a method (or function) under `@tool`; its JSON schema comes from signature and docstring. A `Toolkit`
collects the tools of an object, checks every call against the schema, and runs it so that a call which does not
succeed changes nothing. Tools that arrive as JSON are `SchemaTool`s.
"""

from palaestra.envs.tools.declaration import TextForm, ToolDeclaration, tool
from palaestra.envs.tools.sampling import ToolSampler, sample_call
from palaestra.envs.tools.schema_tool import DataWarning, SchemaTool
from palaestra.envs.tools.toolkit import Toolkit, ToolRefusal

__all__ = [
    "DataWarning",
    "SchemaTool",
    "TextForm",
    "ToolDeclaration",
    "ToolRefusal",
    "ToolSampler",
    "Toolkit",
    "sample_call",
    "tool",
]
