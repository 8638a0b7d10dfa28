"""Process that writes a store, as its lock file or its lease names it."""

import os
import socket
import uuid
from contextlib import suppress
from pathlib import Path

import msgspec


class Owner(msgspec.Struct, frozen=True):
    """Run that owns a lock or a lease: machine, process, name of the run, and the lease's number of renewals."""

    host: str
    process: int
    run: str = ""
    renewals: int = 0
    pid_namespace: str = ""

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}"

    def is_gone(self) -> bool:
        """True if it was a process of this machine and has ended."""
        try:
            if self.is_of_here():
                os.kill(self.process, 0)
        except OSError as error:  # any other: a process of another user
            return isinstance(error, ProcessLookupError)
        return False

    def is_of_here(self) -> bool:
        """True if the process number is one of this machine: containers may share a host name but not their numbers."""
        return self.host == socket.gethostname() and self.pid_namespace in {"", _pid_namespace()}


def this_process() -> Owner:
    """Owner of a new run of this process."""
    return Owner(socket.gethostname(), os.getpid(), uuid.uuid4().hex, pid_namespace=_pid_namespace())


def decode_owner(data: bytes) -> Owner | None:
    """Owner that a lock file or a lease names; None where it is empty or damaged."""
    with suppress(msgspec.MsgspecError):
        return msgspec.json.decode(data, type=Owner)
    return None


def is_being_written(root: object, owner: Owner | None, lock: object) -> str:
    """Message for a run that is refused because of another."""
    return f"{root}: is being written by {owner or 'another process'}; wait for it to end (lock: {lock})"


def _pid_namespace() -> str:
    """Name of the system's namespace of process numbers, where there are several."""
    with suppress(OSError):
        return str(Path("/proc/self/ns/pid").readlink())
    return ""
