"""What a call of the server API can fail with."""

from __future__ import annotations

from ..models.errors import AntiphonError


class ApiError(AntiphonError):
    """A request was refused.

    Attributes:
        code: why, as Twirp names it: `"not_found"`, `"invalid_argument"`, `"failed_precondition"`, `"unimplemented"`.
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code
