"""Makes `import visprog` work in a script that lies beside this clone.

Python looks for `visprog` in the script's folder first, and finds this folder, if the clone is called so. Without this
file it would take it for an empty namespace package, before it comes to the installed package.
"""

import importlib.util
import sys
from pathlib import Path

_inner = Path(__file__).resolve().parent / "visprog"
_spec = importlib.util.spec_from_file_location(
    __name__, _inner / "__init__.py", submodule_search_locations=[str(_inner)]
)
sys.modules[__name__] = _module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
