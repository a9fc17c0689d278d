"""All failures as data: what failed, why, what to do next, and the exit code.

Arguments are positional so that errors can be pickled.
"""

from __future__ import annotations

import errno
from typing import NamedTuple, Self

from obsup.local.platform.paths import HAS_POSIX_TOOLS
from obsup.text import without_url_secrets


class NextStep(NamedTuple):
    """What to do after a failure. The command line to run is computed from this data; no message is parsed for it.

    ``text`` is one instruction without a full stop, such as "set the clock". ``rerun``: run the failed command again,
    with the words ``add`` appended and without the options ``drop`` and their values. ``command``: run this other
    command line, given as words. ``option``: this option must be corrected, or the variable or key that sets it.
    ``otherwise`` is the instruction if the words ``add`` were given already.
    """

    text: str = ""
    rerun: bool = False
    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    option: str = ""
    otherwise: str = ""

    def __str__(self) -> str:
        words = " ".join(word for word in (self.text, *self.add, *self.command) if word)
        return words or ("run the same command again" if self.rerun else "")


def run_again(
    text: str = "",
    *,
    add: tuple[str, ...] = (),
    drop: tuple[str, ...] = (),
    option: str = "",
    otherwise: str = "",
) -> NextStep:
    """Return the step "do *text*, then run the same command again", changed by *add* and *drop*."""
    return NextStep(text, rerun=True, add=add, drop=drop, option=option, otherwise=otherwise)


NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)


class ObsupError(Exception):
    """The base class of all failures. ``reason`` is a stable identifier for scripts.

    ``refusal`` is the store's error response, with the fields of the vendors' result tables; None if the failure is
    not an error response. ``retryable``: the same command may succeed later.
    """

    exit_code = 1
    reason = "failure"
    retryable = False

    def __init_subclass__(cls, *, exit_code: int = 0, reason: str = "", retryable: bool = False) -> None:
        """Set what differs from the base class."""
        super().__init_subclass__()
        cls.exit_code = exit_code or cls.exit_code
        cls.reason = reason or cls.reason
        cls.retryable = retryable or cls.retryable

    def __init__(
        self, what: str, why: str = "", next_step: NextStep | None = None, refusal: Refusal | None = None
    ) -> None:
        what, why = without_url_secrets(what), without_url_secrets(why)
        super().__init__(what, why, next_step, refusal)
        self.what = what
        self.why = why
        self.next_step = next_step
        self.refusal = refusal

    def __str__(self) -> str:
        return f"{self.what}. {self.why}" if self.why else self.what


class WrongUsage(ObsupError, exit_code=2, reason="usage"):
    """The command line, or an argument of the API, is invalid."""


class OtherRank(WrongUsage):
    """The same error as that of rank 0 of an MPI job, in another rank: the command line reports only the first."""


class SourceChanged(ObsupError, exit_code=65, reason="source-changed"):
    """The source has changed since the upload was initiated."""


class SourceTouched(SourceChanged):
    """Only the times of the source have changed. Its content may be the same."""


class DataMismatch(ObsupError, exit_code=65, reason="data"):
    """A digest, a size or the list of parts is wrong."""


class SourceUnreadable(ObsupError, exit_code=66, reason="source"):
    """The source is missing, unreadable, or not a regular file."""


class Refused(ObsupError, exit_code=69, reason="refused"):
    """The service rejected the request permanently."""


class ObjectExists(Refused, reason="exists"):
    """The object exists, and --no-overwrite does not allow replacing it."""


class DigestRequired(Refused):
    """The store requires Content-MD5 with this request."""


class Unsupported(Refused):
    """The store does not have the operation."""


class UploadGone(ObsupError, exit_code=69, reason="upload-gone"):
    """The upload id no longer exists in the store."""


class CheckpointUnwritable(ObsupError, exit_code=73, reason="checkpoint"):
    """The checkpoint cannot be written anywhere."""


class LocalFailure(ObsupError, exit_code=74, reason="local-io"):
    """A local read or write failed."""


_FILES = "ulimit -n" if HAS_POSIX_TOOLS else "this process"
_LIMITS = "such as ulimit -u, -v and -s, or that of its container" if HAS_POSIX_TOOLS else "or of the memory"
TOO_MANY_FILES = f"Too many files are open: the limit is that of {_FILES}, or of the whole system"
_RAISE = "raise the limit"
LIMIT_REACHED = f"A limit of this process is reached, {_LIMITS}"


def too_many_files(what: str) -> LocalFailure:
    """Return the error for *what* failed because the process, or the system, has too many open files."""
    return LocalFailure(
        what,
        TOO_MANY_FILES,
        run_again(_RAISE),
    )


# How a compiled library that cannot be loaded, and Python itself, report it.
_NO_MEMORY = ("failed to map segment", "error return without exception set")


def limit_reached(exc: BaseException) -> LocalFailure | None:
    """Return the error for a limit of this process that leaves no memory or no thread; None if *exc* is another one."""
    is_refused = isinstance(exc, OSError) and exc.errno == errno.ENOMEM
    has_no_memory = is_refused or isinstance(exc, MemoryError) or any(text in str(exc) for text in _NO_MEMORY)
    if not has_no_memory and "can't start new thread" not in str(exc):
        cause = exc.__cause__ or exc.__context__
        return None if cause in (None, exc) else limit_reached(cause)
    return LocalFailure(
        "not enough memory" if has_no_memory else "no thread can be started",
        LIMIT_REACHED,
        run_again("raise the limit, or send without threads", add=("--executor", "inline"), otherwise=_RAISE),
    )


class NotFinished(ObsupError, exit_code=75, reason="network", retryable=True):
    """The upload is not finished and progress is kept: the same command resumes it."""


class Throttled(NotFinished, reason="throttled"):
    """The service asked to slow down for longer than obsup may wait."""


class Stopped(NotFinished, reason="stopped"):
    """A wait ended early because the upload must stop; the stop signal has the reason."""


class Busy(NotFinished, reason="running"):
    """Another obsup holds this upload."""


class WorkerLost(NotFinished, reason="worker"):
    """The worker that sent a part died, and so did those that retried it."""


class OutOfTime(NotFinished, reason="deadline"):
    """--max-time or --until ended the upload."""


class CommandFailed(ObsupError, exit_code=76, reason="producer"):
    """The --from-command command failed or cannot be run. Nothing was published."""


class Denied(ObsupError, exit_code=77, reason="credentials"):
    """Credentials are missing or wrong, or lack a permission. Progress is kept."""


class NotPermitted(Denied):
    """The credentials are right, but lack the permission for the operation."""


UNAVAILABLE = (NotPermitted, Unsupported)
"""What a store raises for an operation that it will not carry out, while others may succeed."""


class BadConfiguration(ObsupError, exit_code=78, reason="configuration"):
    """The configuration is invalid."""


class Interrupted(ObsupError, exit_code=130, reason="interrupted", retryable=True):
    """SIGINT. Progress is kept."""


class Terminated(Interrupted, exit_code=143, reason="terminated"):
    """SIGTERM. Progress is kept."""


class HungUp(Interrupted, exit_code=129, reason="hung-up"):
    """SIGHUP: the terminal was closed. Progress is kept."""


class Refusal(NamedTuple):
    """One error response of the store.

    ``operation`` is the protocol's name (UploadPart, ...); ``resource`` is its bucket, or bucket and key, for messages.
    ``date`` is the Date header, ``retry_after_s`` the wait that the store requested, in seconds, and
    ``clock_ahead_s`` by how many seconds this machine's clock was ahead of that date (negative: behind).
    ``is_assumed``: the default provider's protocol was used, and nothing has shown yet that the store has it.
    ``phrase``: the store returned no code, and HTTP names the status so; ``code`` is then the same, in one word.
    ``is_page``: the response is a web page without a request id, so it is not the store's. ``by_proxy``: a proxy
    received the request itself, and nothing that it returned before was of a store. ``credentials``: the origin of
    those that signed the request. ``sent_headers`` are the names, in lower case, of the headers of the request that
    describe the object.
    """

    operation: str
    resource: str
    status: int
    code: str
    message: str = ""
    request_id: str = ""
    host_id: str = ""
    date: str = ""
    retry_after_s: float | None = None
    endpoint: str = ""
    region: str = ""
    location: str = ""
    clock_ahead_s: float | None = None
    is_assumed: bool = False
    is_page: bool = False
    by_proxy: bool = False
    credentials: str = ""
    phrase: str | None = None
    sent_headers: frozenset[str] = frozenset()

    @property
    def answer(self) -> str:
        """The status with the code that the store returned, or with the phrase of HTTP."""
        return f"{self.status} {self.code if self.phrase is None else self.phrase}".rstrip()


class StoreError(Exception):
    """The store returned an error. It becomes an ObsupError before it leaves the engine."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.refusal = refusal

    def __str__(self) -> str:
        refusal = self.refusal
        text = f"{refusal.operation} of {refusal.resource}: {refusal.answer}"
        return f"{text} (request id {refusal.request_id})" if refusal.request_id else text


class NetworkError(Exception):
    """The network failed: no response, or half of one.

    ``kind`` is one of files (too many are open here), resolve, refused, connect, certificate, dates (those of the
    certificate), no-tls, needs-tls, protocol (that of another server), alert, tls, reset, stall, slow, incomplete,
    garbled (the response is not valid in the protocol), no-copy (it is empty, as that to a part); with a proxy also
    proxy, proxy-certificate, proxy-dates, proxy-no-tls, proxy-alert, proxy-login, proxy-protocol, tunnel. ``sent`` is
    whether the store may have received it. ``idle_s`` is how many seconds the response was awaited at most, after the
    request was sent.
    """

    idle_s = 0.0

    def __init__(self, kind: str, detail: str, sent: bool) -> None:
        super().__init__(kind, detail, sent)
        self.kind = kind
        self.detail = detail
        self.sent = sent

    def after(self, idle_s: float) -> Self:
        """Set ``idle_s``, and return the error."""
        self.idle_s = idle_s
        return self

    def __str__(self) -> str:
        return self.detail


class LongResponse(NetworkError):
    """The response is longer than any that obsup asks for."""


class UnknownProtocol(NetworkError):
    """The server closed the connection without an answer, or its answer is not of the protocol that obsup expects."""
