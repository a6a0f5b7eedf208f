# MuJoCo ships no types for its compiled part: whatever its top level holds is Any. Its Python modules are read as is.
from typing import Any

def __getattr__(name: str) -> Any: ...
