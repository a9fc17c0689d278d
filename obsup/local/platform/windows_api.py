"""The functions of Windows that Python does not have. Only this package imports it, and only on Windows."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
from ctypes import POINTER, byref, wintypes
from functools import cache
from typing import Any

from obsup.local.platform.paths import exact

assert sys.platform == "win32"
import msvcrt  # noqa: E402 - for mypy, after the assertion

_kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
_advapi32 = ctypes.WinDLL("advapi32", use_last_error=True)
_shell32 = ctypes.WinDLL("shell32", use_last_error=True)

_GENERIC_READ, _GENERIC_WRITE, _DELETE, _SYNCHRONIZE = 0x80000000, 0x40000000, 0x10000, 0x100000
_APPEND_ONLY = 0x120116 & ~0x2  # FILE_GENERIC_WRITE without FILE_WRITE_DATA
_FILE_READ_ATTRIBUTES = 0x80
_SHARE_ALL, _SHARE_DELETE = 0x7, 0x4
_CREATE_NEW, _CREATE_ALWAYS, _OPEN_EXISTING, _OPEN_ALWAYS, _TRUNCATE_EXISTING = range(1, 6)
_BACKUP_SEMANTICS, _OPEN_REPARSE_POINT, _NORMAL = 0x02000000, 0x00200000, 0x80
_INVALID_HANDLE = ctypes.c_void_p(-1).value
_LOCK_FAIL_IMMEDIATELY, _LOCK_EXCLUSIVE = 1, 2
_ERROR_LOCK_VIOLATION, _ERROR_IO_PENDING, _ERROR_BROKEN_PIPE = 33, 997, 109
_FILE_BASIC_INFO, _FILE_RENAME_INFO_EX = 0, 22
_RENAME_REPLACE_POSIX = 0x1 | 0x2
_OWNER_AND_DACL = 0x1 | 0x4
_TOKEN_QUERY, _TOKEN_USER = 0x8, 1
_KILL_ON_JOB_CLOSE, _EXTENDED_LIMITS = 0x2000, 9
_EPOCH_100NS = 116_444_736_000_000_000


class _Overlapped(ctypes.Structure):
    _fields_ = (
        ("internal", ctypes.c_void_p),
        ("internal_high", ctypes.c_void_p),
        ("offset", wintypes.DWORD),
        ("offset_high", wintypes.DWORD),
        ("event", wintypes.HANDLE),
    )


class _SecurityAttributes(ctypes.Structure):
    _fields_ = (("length", wintypes.DWORD), ("descriptor", ctypes.c_void_p), ("inherit", wintypes.BOOL))


class _BasicInfo(ctypes.Structure):
    _fields_ = (
        ("created", ctypes.c_int64),
        ("accessed", ctypes.c_int64),
        ("written", ctypes.c_int64),
        ("changed", ctypes.c_int64),
        ("attributes", wintypes.DWORD),
    )


class _JobLimits(ctypes.Structure):
    _fields_ = (
        ("times", ctypes.c_int64 * 2),
        ("flags", wintypes.DWORD),
        ("working_set", ctypes.c_size_t * 2),
        ("active", wintypes.DWORD),
        ("affinity", ctypes.c_size_t),
        ("classes", wintypes.DWORD * 2),
        ("counters", ctypes.c_uint64 * 6),
        ("memory", ctypes.c_size_t * 4),
    )


class _MemoryStatus(ctypes.Structure):
    _fields_ = (
        ("length", wintypes.DWORD),
        ("load", wintypes.DWORD),
        ("total", ctypes.c_uint64),
        ("available", ctypes.c_uint64),
        ("others", ctypes.c_uint64 * 5),
    )


_kernel32.CreateFileW.restype = wintypes.HANDLE
_kernel32.CreateFileW.argtypes = (
    wintypes.LPCWSTR,
    wintypes.DWORD,
    wintypes.DWORD,
    ctypes.c_void_p,
    wintypes.DWORD,
    wintypes.DWORD,
    wintypes.HANDLE,
)
_kernel32.CreateJobObjectW.restype = wintypes.HANDLE
_kernel32.GetCurrentProcess.restype = wintypes.HANDLE
_kernel32.LocalFree.argtypes = (ctypes.c_void_p,)
_shell32.CommandLineToArgvW.restype = POINTER(wintypes.LPWSTR)
for _function in (_kernel32.CloseHandle, _kernel32.GetFileType):
    _function.argtypes = (wintypes.HANDLE,)


def _failure(path: str | None = None, code: int | None = None) -> OSError:
    """Return the error of the last call."""
    number = ctypes.get_last_error() if code is None else code
    return OSError(None, ctypes.FormatError(number).rstrip(" ."), path, number)


def _require(is_done: Any, path: str | None = None) -> None:
    if not is_done:
        raise _failure(path)


def _create(
    path: str, access: int, disposition: int, attributes: int, security: Any = None, share: int = _SHARE_ALL
) -> int:
    handle = _kernel32.CreateFileW(
        exact(path), access, share, security and byref(security), disposition, attributes, None
    )
    if handle in (None, _INVALID_HANDLE):
        raise _failure(path)
    return int(handle)


def open_file(path: str, flags: int, *, private: bool, follow: bool, removable: bool = True) -> int:
    """Open the file: see ``files.open_file``. It cannot be removed or replaced while it is open, unless *removable*."""
    access = _GENERIC_WRITE if flags & os.O_WRONLY else _GENERIC_READ
    if flags & os.O_RDWR:
        access = _GENERIC_READ | _GENERIC_WRITE
    elif flags & os.O_APPEND:
        access = _APPEND_ONLY
    disposition = _OPEN_EXISTING
    if flags & os.O_CREAT:
        disposition = _CREATE_NEW if flags & os.O_EXCL else _OPEN_ALWAYS
        disposition = _CREATE_ALWAYS if flags & os.O_TRUNC else disposition
    elif flags & os.O_TRUNC:
        disposition = _TRUNCATE_EXISTING
    attributes = _NORMAL | (0 if follow else _OPEN_REPARSE_POINT)
    security = _private_attributes() if private and flags & os.O_CREAT else None
    share = _SHARE_ALL if removable else _SHARE_ALL & ~_SHARE_DELETE
    try:
        handle = _create(path, access, disposition, attributes, security, share)
    except PermissionError:
        if os.path.isdir(path):  # noqa: PTH112 - as other systems say it
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path) from None
        raise
    descriptor = msvcrt.open_osfhandle(handle, flags & os.O_APPEND | os.O_NOINHERIT)
    if not follow and os.fstat(descriptor).st_file_attributes & stat.FILE_ATTRIBUTE_REPARSE_POINT:
        os.close(descriptor)
        raise OSError(errno.ELOOP, "It is a symbolic link", path)
    return descriptor


@cache
def _private_attributes() -> _SecurityAttributes:
    """Return the attributes of a new file that only this user, administrators and the system can use."""
    descriptor = ctypes.c_void_p()
    text = f"D:P(A;;FA;;;SY)(A;;FA;;;BA)(A;;FA;;;{user_sid()})"
    convert = _advapi32.ConvertStringSecurityDescriptorToSecurityDescriptorW
    _require(convert(ctypes.c_wchar_p(text), 1, byref(descriptor), None))
    return _SecurityAttributes(
        ctypes.sizeof(_SecurityAttributes), descriptor, False
    )  # never freed: one per file


def rename(source: str, target: str) -> None:
    """Rename a file over another one, which may be open, if Windows can do that. Raises OSError."""
    if not _rename_over_open(source, target):
        os.replace(exact(source), exact(target))  # noqa: PTH105


def _rename_over_open(source: str, target: str) -> bool:
    r"""Return whether the file was renamed as POSIX defines it, which NTFS can since Windows 10, version 1709."""
    name = os.path.abspath(target)  # noqa: PTH100
    if not name.startswith("\\\\"):
        name = f"\\\\?\\{name}"
    data = name.encode("utf-16-le", "surrogatepass")
    pointer = ctypes.sizeof(ctypes.c_void_p)
    header = (
        _RENAME_REPLACE_POSIX.to_bytes(pointer, "little") + bytes(pointer) + len(data).to_bytes(4, "little")
    )
    info = ctypes.create_string_buffer(header + data + b"\0\0")
    try:
        handle = _create(source, _DELETE | _SYNCHRONIZE, _OPEN_EXISTING, _NORMAL)
    except OSError:
        return False
    try:
        return bool(
            _kernel32.SetFileInformationByHandle(
                wintypes.HANDLE(handle), _FILE_RENAME_INFO_EX, info, len(header) + len(data) + 2
            )
        )
    finally:
        _kernel32.CloseHandle(handle)


def change_time_ns(place: str | int, *, follow: bool = True) -> int:
    """Return when the content or the attributes of the file at a path, or of an open one, changed. Raises OSError."""
    if isinstance(place, int):
        return _change_time_of(msvcrt.get_osfhandle(place))
    attributes = _BACKUP_SEMANTICS | (0 if follow else _OPEN_REPARSE_POINT)
    handle = _create(place, _FILE_READ_ATTRIBUTES, _OPEN_EXISTING, attributes)
    try:
        return _change_time_of(handle)
    finally:
        _kernel32.CloseHandle(handle)


def _change_time_of(handle: int) -> int:
    info = _BasicInfo()
    query = _kernel32.GetFileInformationByHandleEx
    _require(query(wintypes.HANDLE(handle), _FILE_BASIC_INFO, byref(info), ctypes.sizeof(info)))
    return (int(info.changed) - _EPOCH_100NS) * 100


def final_path(descriptor: int) -> str:
    """Return the path of an open file without links. Raises OSError."""
    buffer = ctypes.create_unicode_buffer(32768)
    handle = wintypes.HANDLE(msvcrt.get_osfhandle(descriptor))
    _require(_kernel32.GetFinalPathNameByHandleW(handle, buffer, len(buffer), 0))
    return buffer.value


def lock_byte(descriptor: int, offset: int, *, shared: bool, wait: bool) -> bool:
    """Lock one byte of the open file; return False if another has it and *wait* is false. Raises OSError."""
    flags = (0 if shared else _LOCK_EXCLUSIVE) | (0 if wait else _LOCK_FAIL_IMMEDIATELY)
    where = _Overlapped(None, None, offset & 0xFFFFFFFF, offset >> 32, None)
    handle = wintypes.HANDLE(msvcrt.get_osfhandle(descriptor))
    if _kernel32.LockFileEx(handle, flags, 0, 1, 0, byref(where)):
        return True
    if ctypes.get_last_error() in (_ERROR_LOCK_VIOLATION, _ERROR_IO_PENDING):
        return False
    raise _failure()


def unlock_byte(descriptor: int, offset: int) -> None:
    """Release the lock of one byte of the open file. Raises OSError."""
    where = _Overlapped(None, None, offset & 0xFFFFFFFF, offset >> 32, None)
    handle = wintypes.HANDLE(msvcrt.get_osfhandle(descriptor))
    _require(_kernel32.UnlockFileEx(handle, 0, 1, 0, byref(where)))


def security_of(place: str | int) -> bytes:
    """Return the security descriptor (owner and access list) of the file at a path, or of an open one."""
    size = wintypes.DWORD(4096)
    while True:
        buffer = ctypes.create_string_buffer(size.value)
        if isinstance(place, int):
            what: Any = wintypes.HANDLE(msvcrt.get_osfhandle(place))
            query = _advapi32.GetKernelObjectSecurity
        else:
            query, what = _advapi32.GetFileSecurityW, ctypes.c_wchar_p(exact(place))
        if query(what, _OWNER_AND_DACL, buffer, len(buffer), byref(size)):
            return buffer.raw
        if size.value <= len(buffer):
            raise _failure(place if isinstance(place, str) else None)


def user_sid() -> str:
    """Return the security identifier of this user, as S-1-…. Raises OSError."""
    token, size = wintypes.HANDLE(), wintypes.DWORD()
    process = wintypes.HANDLE(_kernel32.GetCurrentProcess())
    _require(_advapi32.OpenProcessToken(process, _TOKEN_QUERY, byref(token)))
    try:
        buffer = ctypes.create_string_buffer(256)
        _require(_advapi32.GetTokenInformation(token, _TOKEN_USER, buffer, len(buffer), byref(size)))
        sid, text = ctypes.cast(buffer, POINTER(ctypes.c_void_p))[0], wintypes.LPWSTR()
        _require(_advapi32.ConvertSidToStringSidW(ctypes.c_void_p(sid), byref(text)))
        name = text.value or ""
        _kernel32.LocalFree(text)
        return name
    finally:
        _kernel32.CloseHandle(token)


def account_of(sid: str) -> str:
    """Return the name of the account *sid*, or *sid* itself if it has none."""
    binary, use = ctypes.c_void_p(), wintypes.DWORD()
    if not _advapi32.ConvertStringSidToSidW(ctypes.c_wchar_p(sid), byref(binary)):
        return sid
    name, domain = ctypes.create_unicode_buffer(512), ctypes.create_unicode_buffer(512)
    sizes = (wintypes.DWORD(512), wintypes.DWORD(512))
    lookup = _advapi32.LookupAccountSidW
    is_known = lookup(None, binary, name, byref(sizes[0]), domain, byref(sizes[1]), byref(use))
    _kernel32.LocalFree(binary)
    return (f"{domain.value}\\{name.value}" if domain.value else name.value) if is_known else sid


def bytes_in_pipe(descriptor: int) -> int | None:
    """Return how many bytes can be read from a pipe now; None if it is not a pipe, or its writer has closed it."""
    handle, count = wintypes.HANDLE(msvcrt.get_osfhandle(descriptor)), wintypes.DWORD()
    if _kernel32.PeekNamedPipe(handle, None, 0, None, byref(count), None):
        return count.value
    return None


def split_command_line(text: str) -> list[str]:
    """Return the words of a command line, as programs of Windows see it."""
    count = ctypes.c_int()
    words = _shell32.CommandLineToArgvW(ctypes.c_wchar_p(text), byref(count))
    _require(words)
    found = [words[number] or "" for number in range(count.value)]
    _kernel32.LocalFree(words)
    return found


def memory() -> tuple[int, int]:
    """Return the memory of this computer and how much of it is free, in bytes."""
    status = _MemoryStatus(length=ctypes.sizeof(_MemoryStatus))
    _require(_kernel32.GlobalMemoryStatusEx(byref(status)))
    return int(status.total), int(status.available)


class Job:
    """Processes that end with this process: Windows ends them when it closes the last handle of their job."""

    def __init__(self, process_handle: int) -> None:
        self._handle = wintypes.HANDLE(_kernel32.CreateJobObjectW(None, None))
        limits = _JobLimits(flags=_KILL_ON_JOB_CLOSE)
        setting = _kernel32.SetInformationJobObject
        setting(self._handle, _EXTENDED_LIMITS, byref(limits), ctypes.sizeof(limits))
        self.is_assigned = bool(
            _kernel32.AssignProcessToJobObject(self._handle, wintypes.HANDLE(process_handle))
        )

    def terminate(self) -> bool:
        """End all its processes; return whether that was possible."""
        return self.is_assigned and bool(_kernel32.TerminateJobObject(self._handle, 1))


def enable_escape_sequences(descriptor: int) -> bool:
    """Let the console interpret escape sequences; return whether it does."""
    handle, mode = wintypes.HANDLE(msvcrt.get_osfhandle(descriptor)), wintypes.DWORD()
    if not _kernel32.GetConsoleMode(handle, byref(mode)):
        return False
    return bool(_kernel32.SetConsoleMode(handle, mode.value | 0x4))
