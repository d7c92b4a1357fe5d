"""Tools, and the registry that is the one source of everything said about them."""

from .batches import answer_each as answer_each
from .cautions import caution as caution
from .cautions import cautions as cautions
from .declaration import Backend as Backend
from .declaration import Parameter as Parameter
from .declaration import Tool as Tool
from .declaration import describe_function as describe_function
from .declaration import through_host as through_host
from .declaration import tool as tool
from .function import REQUIRED as REQUIRED
from .loader import BUILTIN_MODULES as BUILTIN_MODULES
from .loader import ENTRY_POINTS as ENTRY_POINTS
from .loader import chosen_registry as chosen_registry
from .loader import default_registry as default_registry
from .loader import further_tools as further_tools
from .loader import load_tools as load_tools
from .options import backend_options as backend_options
from .registry import Registry as Registry
