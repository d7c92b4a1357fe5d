# rejected forbidden-attribute
import typing
result = typing.sys.modules
