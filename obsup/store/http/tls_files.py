"""The certificate files of a connection: which of them apply, and whether they can be used, before any request."""

from __future__ import annotations

import os
import re
import ssl
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache

from obsup.errors import BadConfiguration, WrongUsage, limit_reached, run_again
from obsup.store.http.settings import ConnectionSettings
from obsup.text import quoted
from obsup.value import Value

# The environment variables that name a file or a directory of trusted certificates, the nearest first.
CA_VARIABLES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")

# Where systems have the certificates that they trust, in one file.
SYSTEM_FILES = (
    "/etc/ssl/cert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/cert.pem",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/ca-bundle.pem",
)
_HASHED_NAME = re.compile(r"[0-9a-fA-F]{8}\.[0-9]")


class TrustStore(Value):
    """Where the trusted certificates are: a file, and a directory in which OpenSSL looks for their hashes.

    ``is_system``: the store of macOS or Windows verifies, and not the file.
    """

    file: str | None
    folder: str | None
    is_system: bool = False


def find_trust(settings: ConnectionSettings, environ: Mapping[str, str]) -> TrustStore:
    """Return what is trusted: the given certificates, or those of this system; on Linux, with those of certifi.

    Linux has a directory (Debian), a file (Red Hat), or, in a small container, neither. An interpreter that was
    built elsewhere looks in neither of them; then a file of ``SYSTEM_FILES`` is trusted, as truststore does it.
    """
    bundle = find_ca_bundle(settings, environ)
    if bundle is None and sys.platform != "linux":
        return TrustStore(None, None, is_system=True)
    if bundle is None:
        paths = ssl.get_default_verify_paths()
        file = paths.cafile
        if file is None and not _has_certificates(paths.capath):
            file = next((one for one in SYSTEM_FILES if os.path.isfile(one)), None)  # noqa: PTH113
        return TrustStore(file or _certificates_of_certifi(), paths.capath)
    return TrustStore(None, bundle[0]) if os.path.isdir(bundle[0]) else TrustStore(bundle[0], None)  # noqa: PTH112


def _certificates_of_certifi() -> str:
    import certifi  # it loads more than everything else here

    return certifi.where()


def _has_certificates(folder: str | None) -> bool:
    """Return whether OpenSSL can find a certificate in *folder*."""
    try:
        return folder is not None and any(_HASHED_NAME.fullmatch(one) for one in os.listdir(folder))  # noqa: PTH208
    except OSError:
        return False


def find_ca_bundle(settings: ConnectionSettings, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the path of the trusted certificates and what names it, None if nothing does."""
    if settings.ca_bundle:
        return settings.ca_bundle, "--ca-bundle"
    return next(((environ[name], name) for name in CA_VARIABLES if environ.get(name)), None)


def describe_trust(settings: ConnectionSettings, environ: Mapping[str, str]) -> str:
    """Return what ``find_trust`` finds, for a message: the paths, and the option or the variable that names them."""
    bundle, trusted = find_ca_bundle(settings, environ), find_trust(settings, environ)
    if trusted.is_system:
        return "the trust store of this system"
    paths = " and ".join(quoted(path) for path in (trusted.file, trusted.folder) if path)
    return f"{paths} ({bundle[1]})" if bundle is not None else paths


def check_tls_files(settings: ConnectionSettings, environ: Mapping[str, str]) -> None:
    """Raise BadConfiguration if a certificate file cannot be used. Costs nothing without one."""
    if not (find_ca_bundle(settings, environ) or settings.client_cert or settings.client_key):
        return
    bundle = find_ca_bundle(settings, environ)
    if bundle is not None and settings.verify_tls and not os.path.isdir(bundle[0]):  # noqa: PTH112 - Path.is_dir may raise
        _check_bundle(*bundle)
    _load_client_certificate(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), settings)


@lru_cache  # for the options and for the connection: reading the certificates of a system takes long
def _check_bundle(path: str, origin: str) -> None:
    """Raise BadConfiguration if the file cannot be used; it is read once."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _load(path, origin, lambda: context.load_verify_locations(path), "no CA certificate in PEM format")


def tls_context(settings: ConnectionSettings, environ: Mapping[str, str]) -> ssl.SSLContext:
    """Return a TLS context as *settings* say, with the client certificate. Raises BadConfiguration."""
    trusted = find_trust(settings, environ) if settings.verify_tls else None
    context: ssl.SSLContext
    if trusted is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif trusted.is_system:
        import truststore  # only other systems than Linux have it

        context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    else:
        context = ssl.create_default_context(cafile=trusted.file, capath=trusted.folder)
        context.hostname_checks_common_name = False
    # Some systems' Python takes an older one from the configuration of OpenSSL.
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
    context.set_alpn_protocols(["http/1.1"])  # some servers choose another protocol without it, or none
    _load_client_certificate(context, settings)
    return context


def _load_client_certificate(context: ssl.SSLContext, settings: ConnectionSettings) -> None:
    """Load the client certificate of *settings* into *context*. Raises BadConfiguration."""
    if settings.client_cert is None:
        if settings.client_key is not None:
            raise WrongUsage(
                "--client-key without --client-cert",
                "A private key is of no use without its certificate",
                run_again("name the certificate", add=("--client-cert", "FILE")),
            )
        return
    certificate, key = settings.client_cert, settings.client_key
    # Not in *context*, which would then trust it.
    alone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _load(
        certificate,
        "--client-cert",
        lambda: alone.load_verify_locations(certificate),
        "no certificate in PEM format",
    )
    # Without a password, OpenSSL would ask for it on the terminal.
    _load(
        key or certificate,
        "--client-key" if key else "--client-cert",
        lambda: context.load_cert_chain(certificate, key, password=""),
        "no private key in PEM format, without a passphrase, that belongs to the certificate"
        + ("" if key else "; --client-key names the file of the key"),
    )
    context.post_handshake_auth = True  # some servers ask for it only when they know the path


def _load(path: str, origin: str, load: Callable[[], None], wanted: str) -> None:
    try:
        load()
    except ssl.SSLError as exc:
        raise BadConfiguration(
            f"the file {quoted(path)} cannot be used",
            f"{origin} names it, and it contains {wanted}",
            run_again(f"correct {origin}", option=origin),
        ) from exc
    except OSError as exc:
        if limit_reached(exc):
            raise
        raise BadConfiguration(
            f"cannot read {quoted(path)}",
            f"{origin} names it: {exc.strerror}",
            run_again(f"correct {origin}", option=origin),
        ) from exc
