"""The error of `install` and `uninstall`."""

from __future__ import annotations


class InstallError(Exception):
    """It was not done, and nothing was changed. The message says why, and what to do about it.

    Args:
        message: One sentence.
        status: The exit status: 2 if it was asked wrongly, 1 if it could not be done.
    """

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status
