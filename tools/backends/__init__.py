"""Backends: the classes that answer the calls of model-backed tools, one module per architecture or library.

A backend is a class `__init__(self, model: str | None = None, **options)`, quick to build, whose instance is called
with a batch of calls (arguments by name) and returns one result per call, or the exception of a call that failed. A
tool names it as "module:Class", and its module is imported at the first use. `visprog tools NAME` shows its options:
the parameters of the constructor, with their types, and the descriptions under `Args:` of the class. Its attribute
`sees` says what it can see; `load()`, if it has one, loads what the first call needs, and `unload()` frees it. Its
attribute `process` names the process that it works in: "native" for those that plain functions share, "host" for that
of the host, any other name for one that it shares with the backends of that name; without it, each class and model has
a process of its own. Its attribute `confined`, if true, says that it needs no more than its weights: its process is
then confined.

Backends may import the declarations of tools, and call them: such a call goes through the host. Nothing else imports
backends.
"""
