"""What went wrong with a bucket, in one line: foreign errors become StoreErrors here, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edgebench.errors import EdgebenchError, StoreError
from edgebench.store.location import Address
from edgebench.text import printable

#: Codes of services, and names of errors of their libraries -> what to say and what to try.
_LOGIN = ("has no credentials for it here", "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
_REFUSED = ("refuses the credentials", "check them: a wrong or an old key, or one of another service")
_DENIED = ("does not allow that", "ask its owner for the right to list, read, write and delete below the prefix")
_CLOCK = (
    "refuses requests because this machine's clock is wrong",
    "set the clock (timedatectl set-ntp true), then: edgebench runs sync",
)
_GONE = ("there is no such bucket", "check the name and the region; edgebench makes no buckets")
_AWAY = ("can't be reached", "check the network and the address of the service (AWS_ENDPOINT_URL)")
_BUSY = ("is too busy", "try again later")
_KNOWN = {
    "NoCredentialsError": _LOGIN,
    "PartialCredentialsError": _LOGIN,
    "ProfileNotFound": _LOGIN,
    "CredentialRetrievalError": _LOGIN,
    "DefaultCredentialsError": ("has no credentials for it here", "try: gcloud auth application-default login"),
    "ClientAuthenticationError": ("refuses the credentials", "set AZURE_STORAGE_ACCOUNT_NAME and a key, or log in"),
    "InvalidAccessKeyId": _REFUSED,
    "SignatureDoesNotMatch": _REFUSED,
    "InvalidToken": _REFUSED,
    "ExpiredToken": ("refuses the credentials, which have expired", "log in again, then: edgebench runs sync"),
    "TokenRefreshRequired": ("refuses the credentials, which have expired", "log in again, then: edgebench runs sync"),
    "AccessDenied": _DENIED,
    "AllAccessDisabled": _DENIED,
    "403": _DENIED,
    "RequestTimeTooSkewed": _CLOCK,
    "RequestExpired": _CLOCK,
    "NoSuchBucket": _GONE,
    "ResourceNotFoundError": _GONE,
    "InvalidBucketName": ("that can't be the name of a bucket", "write s3://BUCKET/PREFIX"),
    "ParamValidationError": ("that can't be the name of a bucket", "write s3://BUCKET/PREFIX"),
    "PermanentRedirect": ("the bucket is in another region", "set AWS_DEFAULT_REGION"),
    "AuthorizationHeaderMalformed": ("the bucket is in another region", "set AWS_DEFAULT_REGION"),
    "NoRegionError": ("no region is set", "set AWS_DEFAULT_REGION"),
    "EndpointConnectionError": _AWAY,
    "ConnectTimeoutError": _AWAY,
    "ReadTimeoutError": _AWAY,
    "ConnectionClosedError": _AWAY,
    "ClientConnectorError": _AWAY,
    "ServerDisconnectedError": _AWAY,
    "FSTimeoutError": _AWAY,
    "SSLError": ("is not trusted: its certificate", "set AWS_CA_BUNDLE"),
    "SlowDown": _BUSY,
    "ServiceUnavailable": _BUSY,
    "RequestTimeout": _BUSY,
    "InternalError": _BUSY,
    "QuotaExceeded": ("has no room left", "delete something there, then: edgebench runs sync"),
    "XMinioStorageFull": ("has no room left", "delete something there, then: edgebench runs sync"),
}
#: What is refused because an object is not the one that was read, or is there already.
_NOT_MET = ("PreconditionFailed", "412", "ConditionalRequestConflict", "409", "OperationAborted")
_NO_CONDITIONS = ("NotImplemented", "501")


def codes_of(error: BaseException) -> list[str]:
    """Return a service's codes and the names of the errors, from the outermost to its cause."""
    found: list[str] = []
    at: BaseException | None = error
    while at is not None and len(found) < 20:
        response = getattr(at, "response", None)
        if isinstance(response, dict) and isinstance(response.get("Error"), dict):
            found.append(str(response["Error"].get("Code")))
        found += [each.__name__ for each in type(at).__mro__[:-3]] if not isinstance(at, OSError) else []
        at = at.__cause__ or at.__context__
    return found


def is_not_met(error: BaseException) -> bool:
    """Whether a condition was not met: the object is there already, or is not the one that was read."""
    return isinstance(error, FileExistsError) or any(code in _NOT_MET for code in codes_of(error))


def has_no_conditions(error: BaseException) -> bool:
    """Whether the service does not know conditions."""
    return any(code in _NO_CONDITIONS for code in codes_of(error))


@contextmanager
def translated(address: Address, doing: str) -> Iterator[None]:
    """Translate whatever goes wrong with a bucket.

    Args:
        doing: "read" or "write", for the message.

    Raises:
        StoreError: it says where, what and what to try.
    """
    try:
        yield
    except EdgebenchError:
        raise
    except Exception as error:
        raise failure(address, doing, error) from error


def failure(address: Address, doing: str, error: Exception) -> StoreError:
    """Return the StoreError for what a library raised."""
    shown = printable(str(address))
    for code in codes_of(error):
        if code in _KNOWN:
            what, hint = _KNOWN[code]
            return StoreError(f"can't {doing} {shown}: {_subject(what, address)}{what}", hint=hint)
    if isinstance(error, FileNotFoundError) and "bucket" in str(error).lower():
        return StoreError(f"can't {doing} {shown}: {_GONE[0]}", hint=_GONE[1])
    if isinstance(error, PermissionError):
        return StoreError(f"can't {doing} {shown}: the service {_DENIED[0]}", hint=_DENIED[1])
    if isinstance(error, ConnectionError | TimeoutError):
        return StoreError(f"can't {doing} {shown}: the service {_AWAY[0]}", hint=_AWAY[1])
    said = printable(str(error).strip().partition("\n")[0], 300) or type(error).__name__
    return StoreError(f"can't {doing} {shown}: {said}")


def _subject(what: str, address: Address) -> str:
    if what.startswith("has no credentials"):
        return "edgebench "
    return "" if what.startswith(("there ", "that ", "the ", "no ")) else "the service "
