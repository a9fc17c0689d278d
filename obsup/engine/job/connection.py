"""Connect to the store that settings describe: the same on the driver and on every worker."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path

from msgspec import field
from msgspec.structs import replace

from obsup import events
from obsup.dialects.dialect import Addressing, Dialect
from obsup.dialects.endpoints import dialect_at
from obsup.dialects.registry import find_dialect
from obsup.errors import BadConfiguration, Refused, run_again
from obsup.local.config.credentials import CredentialSettings, open_credentials
from obsup.local.files.customer_key import read_customer_key
from obsup.local.files.user_folders import home_folder
from obsup.model import CustomerKey
from obsup.store.answers.server_clock import ServerClock
from obsup.store.client import HttpStore
from obsup.store.endpoint_route import Location, Route
from obsup.store.http.settings import ConnectionSettings
from obsup.store.http.transport import Transport
from obsup.store.interface import CredentialSource
from obsup.store.presigned import PresignedRequest, UrlSigner
from obsup.store.retrying import Attempts, FailureRecovery, RetryingStore, RetryPolicy
from obsup.store.signed_exchange import SignedExchange
from obsup.value import Value


class StoreSettings(Value):
    """The address of the store and its protocol: plain values without secrets, which can be sent to workers.

    ``customer_key_file`` is the file with an SSE-C key, ``copy_source_key_file`` that with the key of an object that is
    copied. ``max_parts`` is the part limit of this store, if it is less than the vendor's. ``headers`` are sent with
    every request. ``is_assumed``: neither the user nor the endpoint names the provider. ``store`` is the service that
    the user names. ``customer_key_digest`` is what the SSE-C key must have, if it is not empty.
    """

    provider: str
    endpoint: str
    signature: str = "auto"
    region: str = ""
    addressing: Addressing = "virtual"
    profile: str | None = None
    config_path: str | None = None
    customer_key_file: str | None = None
    copy_source_key_file: str | None = None
    retry_for_s: float = 900.0
    backoff_s: float = 0.5
    network: ConnectionSettings = field(default_factory=ConnectionSettings)
    max_parts: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    is_assumed: bool = False
    store: str = ""
    customer_key_digest: str = ""

    @property
    def bounded_network(self) -> ConnectionSettings:
        """The connection settings; no response takes longer than the retry time."""
        limit_s = max(self.retry_for_s, self.network.stall_timeout_s)
        return replace(self.network, response_limit_s=limit_s)

    @property
    def dialect(self) -> Dialect:
        """The dialect of provider and signature, with the rules and limits of this store. Raises WrongUsage."""
        vendors = find_dialect(self.provider, self.signature)
        dialect = dialect_at(self.endpoint, vendors, self.store)
        limits = dialect.limits
        most = min(self.max_parts or limits.max_parts, vendors.limits.max_parts)
        largest = min(limits.max_object, most * limits.max_part)
        return replace(dialect, limits=replace(limits, max_parts=most, max_object=largest))


class LearnedFacts:
    """Remembers what was found out about the store, so that each fact costs its requests, or its note, only once."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._facts: dict[Hashable, Refused | None] = {}
        self._postponed: list[str] = []

    def learn(self, fact: Hashable, find_out: Callable[[], object]) -> None:
        """Call *find_out* unless it was called for *fact* before. Raises Refused each time if it raised that."""
        with self._lock:
            if fact not in self._facts:
                try:
                    find_out()
                except Refused as exc:
                    self._facts[fact] = exc
                    raise
                self._facts[fact] = None
            refused = self._facts[fact]
        if refused is not None:
            raise type(refused)(*refused.args)

    def add(self, fact: Hashable) -> None:
        """Remember *fact*."""
        self.learn(fact, lambda: None)

    def has(self, fact: Hashable) -> bool:
        """Return whether *fact* is known."""
        return fact in self._facts

    def note(self, text: str, observe: events.Observer) -> None:
        """Report the note *text* once in this run."""
        self.learn(text, lambda: observe(events.Noted(text)))

    def postpone(self, text: str) -> None:
        """Keep the note *text* for ``note_postponed``: an error that is likely to follow would say the same."""
        self._postponed.append(text)

    def note_postponed(self, observe: events.Observer) -> None:
        """Report the notes that were postponed."""
        with self._lock:
            while self._postponed:
                self.note(self._postponed.pop(0), observe)


class Connection(Value):
    """A connected store with its retry policy, and what this run has learned about it.

    ``signer`` presigns URLs for workers. ``route`` leads to each bucket. ``customer_key`` is the SSE-C key of all
    requests.
    """

    settings: StoreSettings
    store: RetryingStore
    signer: UrlSigner
    route: Route
    policy: RetryPolicy
    recovery: FailureRecovery
    observe: events.Observer
    customer_key: CustomerKey | None = None
    learned: LearnedFacts = field(default_factory=LearnedFacts)

    @property
    def worker_settings(self) -> StoreSettings:
        """The settings for other processes: each must find the same SSE-C key, although its file may get another."""
        return replace(self.settings, customer_key_digest=self.customer_key_digest)

    @property
    def customer_key_digest(self) -> str:
        """Identifies the SSE-C key without revealing it; empty without one."""
        return self.customer_key.digest if self.customer_key is not None else ""

    @property
    def customer_key_md5(self) -> str:
        """The MD5 of the SSE-C key in Base64; empty without one."""
        return self.customer_key.md5 if self.customer_key is not None else ""

    def observed_by(self, observe: events.Observer) -> Connection:
        """Return the same connection with another observer of its requests and retries."""
        return replace(self, store=self.store.observed_by(observe), observe=observe)

    def attempts(self) -> Attempts:
        """Return the retry loop of one request whose caller must know what each failure means."""
        return Attempts(self.policy, self.recovery, self.observe)


def _credentials_here(settings: StoreSettings, environ: Mapping[str, str]) -> CredentialSource:
    wanted = CredentialSettings(settings.provider, settings.profile, settings.config_path)
    return open_credentials(wanted, environ=environ, home=home_folder(), clock=time.time)


def customer_key_of(settings: StoreSettings) -> CustomerKey | None:
    """Return the SSE-C key of *settings*, or None. Raises BadConfiguration, also if it is not the expected one."""
    key, expected = _read_key(settings.customer_key_file), settings.customer_key_digest
    if expected and (key is None or key.digest != expected):
        raise BadConfiguration(
            f"the SSE-C key file {settings.customer_key_file} has another key on this host",
            "All parts and objects must be encrypted with the key of the host that started the upload",
            run_again("copy the key file to every worker"),
        )
    return key


def _read_key(path: str | None) -> CustomerKey | None:
    return read_customer_key(Path(path)) if path is not None else None


def connect(
    settings: StoreSettings,
    *,
    sleep: Callable[[float], bool],
    observe: events.Observer = events.ignore,
    credentials: CredentialSource | None = None,
    customer_key: CustomerKey | None = None,
    copy_source_key: CustomerKey | None = None,
    environ: Mapping[str, str] = os.environ,
    reports_requests: bool = True,
    presigned: Sequence[PresignedRequest] | None = None,
    transport: Transport | None = None,
) -> Connection:
    """Return the store that *settings* describe, with the credentials of this machine unless given. Sends nothing.

    *sleep* waits, and returns True if the upload must stop. *reports_requests*: *observe* receives an event for each
    request. With *presigned*, only these requests can be sent. *transport* is that of another connection.
    Raises Denied, BadConfiguration, WrongUsage.
    """
    policy = RetryPolicy(retry_for_s=settings.retry_for_s, base_s=settings.backoff_s, sleep=sleep)
    (credentials := credentials or _credentials_here(settings, environ)).current()
    key = customer_key or customer_key_of(settings)
    clock, route = ServerClock(), Route(Location(settings.endpoint, settings.region, settings.addressing))
    exchange = SignedExchange(
        settings.dialect,
        route,
        transport=transport or Transport(settings.bounded_network),
        credentials=credentials,
        clock=clock,
        headers=dict(settings.headers),
        observe=observe if reports_requests else events.ignore,
        is_assumed=settings.is_assumed,
        presigned=presigned,
    )
    source_key = copy_source_key or _read_key(settings.copy_source_key_file)
    inner = HttpStore(exchange, customer_key=key, copy_source_key=source_key)
    recovery = FailureRecovery(credentials, clock)
    store = RetryingStore(inner, policy, recovery, observe)
    signer = UrlSigner(settings.dialect, route, credentials=credentials, clock=clock)
    return Connection(settings, store, signer, route, policy, recovery, observe, key)
