"""Checks of the whole source before anything is published: its size, its MD5, its SHA-256."""

from __future__ import annotations

import hashlib
from pathlib import Path

from msgspec.structs import force_setattr

from obsup.errors import DataMismatch, NextStep, WrongUsage
from obsup.local.source.digest import Gate, PartDigest
from obsup.local.source.file import blocks_of, hash_part
from obsup.model import Part, SourceStat
from obsup.text import quoted
from obsup.value import Value

_HEX = "0123456789abcdef"


class SourceDigests(Value):
    """The digests of a whole file: the SHA-256 in hex, and the CRC-64/XZ, which those of its parts are combined to."""

    sha256: str | None
    crc64: int


class Expectation(Value):
    """The expected ``size`` in bytes, ``md5`` and ``sha256`` in hex; None is not checked.

    Raises WrongUsage for an invalid digest.
    """

    size: int | None = None
    md5: str | None = None
    sha256: str | None = None

    def __post_init__(self) -> None:
        for name, length in (("md5", 32), ("sha256", 64)):
            value = getattr(self, name)
            if value is None:
                continue
            plain = value.strip().lower()
            if len(plain) != length or plain.strip(_HEX):
                raise WrongUsage(
                    f"the expected {name.upper()} {value!r} is not valid",
                    f"It must have {length} hexadecimal digits",
                    NextStep(f"give the digest as {name}sum prints it"),
                )
            force_setattr(self, name, plain)

    def meter(self) -> SourceMeter:
        """Return a meter that compares a source with this expectation."""
        return SourceMeter(self)

    def check_file(
        self,
        path: Path,
        stat: SourceStat,
        gate: Gate | None = None,
        *,
        with_sha256: bool = False,
        with_crc64: bool = False,
    ) -> SourceDigests | None:
        """Raise DataMismatch if the file differs; return its digests if it was read, or None.

        It is read only if a digest is expected or requested. Raises what PartBody raises.
        """
        if self.size is not None:
            by_size = Expectation(self.size).meter()
            by_size.size = stat.size
            by_size.check(quoted(path))
        if self.md5 is None and self.sha256 is None and not (with_sha256 or with_crc64):
            return None
        meter, digest = SourceMeter(self, with_sha256=with_sha256), PartDigest(crc64=True)
        whole = Part(1, 0, stat.size)
        if meter.is_idle:
            hash_part(path, whole, stat, digest, gate)
        else:
            for block in blocks_of(path, whole, stat, digest, gate):
                meter.update(block)
            meter.check(quoted(path))
        assert digest.crc64 is not None
        return SourceDigests(meter.sha256, digest.crc64)


class SourceMeter:
    """Counts a source while it is read, and computes the digests that are expected."""

    def __init__(self, expectation: Expectation, *, with_sha256: bool = False) -> None:
        self._expected = expectation
        self.size = 0
        wanted = {"md5": expectation.md5 is not None, "sha256": with_sha256 or expectation.sha256 is not None}
        # usedforsecurity: it detects accidental changes, which FIPS mode allows.
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in wanted if wanted[name]}

    @property
    def is_idle(self) -> bool:
        """Whether no digest is computed."""
        return not self._hashes

    @property
    def sha256(self) -> str | None:
        """The SHA-256 so far in hex, None if it is not computed."""
        return self._hashes["sha256"].hexdigest() if "sha256" in self._hashes else None

    def update(self, block: memoryview) -> None:
        """Add the next bytes."""
        self.size += len(block)
        for one in self._hashes.values():
            one.update(block)

    def check_size_so_far(self, name: str) -> None:
        """Raise DataMismatch if the source *name* is already larger than expected."""
        if self._expected.size is not None and self.size > self._expected.size:
            raise _mismatch(name, f"has more than {self._expected.size} bytes", "--expect-size")

    def check(self, name: str) -> None:
        """Raise DataMismatch if the complete source *name* differs from the expectation."""
        if self._expected.size is not None and self.size != self._expected.size:
            raise _mismatch(name, f"has {self.size} bytes, not {self._expected.size}", "--expect-size")
        for kind, title in (("md5", "MD5"), ("sha256", "SHA-256")):
            expected = getattr(self._expected, kind)
            if expected is not None and (found := self._hashes[kind].hexdigest()) != expected:
                raise _mismatch(name, f"has the {title} {found}, not {expected}", f"--expect-{kind}")


def _mismatch(name: str, what: str, option: str) -> DataMismatch:
    return DataMismatch(
        f"{name} {what}",
        f"{option} allows only the expected content, so nothing was published",
        NextStep(f"check how {name} was created"),
    )
