"""The error of `install` and `uninstall`."""

from __future__ import annotations


class InstallError(Exception):
    """The command failed and changed nothing. The message says why, and how to fix it.

    Args:
        message: One sentence.
        status: The exit status: 2 for wrong arguments, 1 if the request cannot be carried out.
    """

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status
