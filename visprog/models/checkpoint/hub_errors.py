"""Why the hub does not give a checkpoint, in one sentence with the way out."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from visprog.errors import MissingExtra, VisprogError, first_line

from .cache import hub_cache

SILENT_SECONDS = 60.0
"""Time for which a hub that could not be reached is not asked again: each attempt may take as long as its timeout."""

_silent: dict[str, float] = {}
"""Address of a hub that could not be reached → when that was found out, by the monotonic clock."""


class HubError(ValueError):
    """A checkpoint cannot be had from the hub. The message says why, and what to do."""


class HubUnavailable(HubError):
    """No checkpoint can be had just now: there is no network, or no space on the disk."""


@contextmanager
def explained(source: str) -> Iterator[None]:
    """Turn what the hub's client raises into one sentence with the way out.

    Raises:
        MissingExtra: the client is not installed.
        HubError: any other failure, also if the hub could not be reached a short while ago.
    """
    try:
        from huggingface_hub import constants, errors
    except ImportError:
        raise MissingExtra("a model of the Hugging Face hub", "hf") from None
    endpoint = constants.ENDPOINT
    if time.monotonic() - _silent.get(endpoint, -SILENT_SECONDS) < SILENT_SECONDS:
        raise HubUnavailable(f"cannot get '{source}' from the hub: {_unreachable(endpoint, source)}")
    try:
        yield
    except (HubError, VisprogError):
        raise
    except Exception as error:  # the client and the HTTP library each raise their own kinds
        causes = _causes(error)
        reason, again = _reason(source, error, causes, errors)
        if reason == _unreachable(endpoint, source):
            _silent[endpoint] = time.monotonic()
        kind = HubError if again else HubUnavailable
        raise kind(f"cannot get '{source}' from the hub: {reason}") from error
    _silent.pop(endpoint, None)


def _unreachable(endpoint: str, source: str) -> str:
    return f"{endpoint} cannot be reached: with a network, run 'visprog models fetch {source}'"


def _causes(error: BaseException) -> list[BaseException]:
    """An error, and those that led to it."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and cause not in causes:
        causes.append(cause)
    return causes


def _reason(source: str, error: Exception, causes: list[BaseException], errors: Any) -> tuple[str, bool]:
    """Why the hub does not give a checkpoint, with the way out, and whether it might give another one."""
    from huggingface_hub import constants

    def has(kind: type[BaseException]) -> bool:
        return any(isinstance(each, kind) for each in causes)

    status = next((r.status_code for e in causes if (r := getattr(e, "response", None)) is not None), None)
    number = next((e.errno for e in causes if isinstance(e, OSError) and e.errno), None)
    kinds = {kind.__name__ for each in causes for kind in type(each).__mro__}
    page, fetch_it = f"{constants.ENDPOINT}/{source}", f"'visprog models fetch {source}'"
    if has(errors.OfflineModeIsEnabled):
        return f"it is not here, and HF_HUB_OFFLINE forbids downloads: with a network, run {fetch_it}", False
    if has(errors.GatedRepoError) or status == 403:
        return (
            f"its licence must be accepted: accept it at {page}, log in with 'hf auth login', and try again",
            True,
        )
    if status == 401 and "credentials" in str(error):
        return "the hub refuses the token: log in again with 'hf auth login'", True
    if has(errors.RevisionNotFoundError):
        return f"it has no such revision: see {page}", True
    if has(errors.RepositoryNotFoundError):
        return f"there is no such model, or it is private: see {page}, or log in with 'hf auth login'", True
    if has(errors.RemoteEntryNotFoundError):
        return f"it lacks a file that is read, such as config.json: see {page}", True
    if status is not None:
        return (
            f"{constants.ENDPOINT} answered with status {status}: try again later, or see whether it is a hub",
            True,
        )
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return (
            f"the disk of {hub_cache()} is full: free some space and continue with {fetch_it}, or delete what is there "
            f"with 'visprog models remove {source}'"
        ), False
    if number in (errno.EACCES, errno.EROFS, errno.EPERM):
        return f"nothing can be written to {hub_cache()}: let HF_HOME name another folder", False
    if kinds & {"TransportError", "TimeoutException", "LocalEntryNotFoundError", "ConnectionError"}:
        return _unreachable(constants.ENDPOINT, source), False
    return first_line(error), True
