"""Tools, and the registry that is the one source of everything that is known of them."""

from .batches import answer_each as answer_each
from .cautions import caution as caution
from .cautions import cautions as cautions
from .declaration import Parameter as Parameter
from .declaration import Tool as Tool
from .declaration import describe_function as describe_function
from .declaration import through_host as through_host
from .declaration import tool as tool
from .discovery import chosen_registry as chosen_registry
from .discovery import default_registry as default_registry
from .discovery import further_tools as further_tools
from .discovery import load_tools as load_tools
from .function import REQUIRED as REQUIRED
from .loader import BACKENDS as BACKENDS
from .loader import Backend as Backend
from .loader import BackendLoader as BackendLoader
from .options import BackendOptions as BackendOptions
from .options import Option as Option
from .options import backend_options as backend_options
from .registry import Registry as Registry
from .results import Metered as Metered
