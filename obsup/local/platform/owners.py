"""Who else can write or read a file: its owner and mode, or its access list under Windows."""

from __future__ import annotations

import os
import stat
import sys

if sys.platform == "win32":
    from functools import cache

    from obsup.local.platform import windows_api
    from obsup.local.platform.access_list import READS, TRUSTED, WRITES, Access, parse_security

    def is_trusted_owner(_user: int) -> bool:
        """Return True: Windows has no user ids; see ``distrust``."""
        return True

    def is_own(_user: int) -> bool:
        """Return True: Windows has no user ids; see ``distrust``."""
        return True

    def owner_name(_user: int) -> str:
        """Return the owner for a message, which Windows does not have in the status of a file."""
        return "another user"

    def distrust(status: os.stat_result, place: str | int) -> str:
        """Return why the file at a path, or an open one, is not trusted; "" if it is trusted.

        Its owner must be this user, SYSTEM or the administrators, and no other account may have the right to write it.
        """
        if stat.S_ISLNK(status.st_mode):
            return "it is a symbolic link"
        try:
            access = _access(place)
        except (OSError, ValueError) as exc:
            return f"its owner and access list cannot be read: {getattr(exc, 'strerror', None) or exc}"
        if access.owner not in TRUSTED | {_user_sid()}:
            return f"it belongs to {windows_api.account_of(access.owner)}"
        others = access.others(WRITES, _user_sid())
        return f"other users can write it ({_accounts(others)})" if others else ""

    def exposure(status: os.stat_result, path: str) -> str:
        """Return how other users can use the secret file at *path*; "" if only this user can read it, or it is a pipe.

        Administrators and the system can read every file.
        """
        if not stat.S_ISREG(status.st_mode):
            return ""
        try:
            others = _access(path).others(READS, _user_sid())
        except (OSError, ValueError) as exc:
            return f"its access list cannot be read: {getattr(exc, 'strerror', None) or exc}"
        return f"other users can read it ({_accounts(others)})" if others else ""

    def protect_command(path: str) -> tuple[str, ...]:
        """Return the command after which only this user can use the file at *path*."""
        return ("icacls", path, "/inheritance:r", "/grant:r", f"{os.environ.get('USERNAME', 'USER')}:F")

    def user_name() -> str:
        """Return what distinguishes this user in the name of a folder."""
        return _user_sid()

    def _access(place: str | int) -> Access:
        return parse_security(windows_api.security_of(place))

    def _accounts(sids: list[str]) -> str:
        return ", ".join(windows_api.account_of(sid) for sid in sids)

    @cache
    def _user_sid() -> str:
        return windows_api.user_sid()

else:

    def is_trusted_owner(user: int) -> bool:
        """Return whether the user with this id may decide what obsup does: this user or root.

        With sudo, the user who ran it controls this process anyway.
        """
        trusted, invoking = {0, os.geteuid()}, os.environ.get("SUDO_UID", "")
        if os.geteuid() == 0 and invoking.isascii() and invoking.isdigit():
            trusted.add(int(invoking))
        return user in trusted

    def is_own(user: int) -> bool:
        """Return whether *user* is the id of this user."""
        return user == os.geteuid()

    def distrust(status: os.stat_result, _place: str | int) -> str:
        """Return why a file with this *status* is not trusted; "" if it is trusted."""
        if stat.S_ISLNK(status.st_mode):
            return f"it is a symbolic link of {owner_name(status.st_uid)}"
        if not is_trusted_owner(status.st_uid):
            return f"it belongs to {owner_name(status.st_uid)}"
        if stat.S_ISREG(status.st_mode) and status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return f"other users can write it (mode {stat.S_IMODE(status.st_mode):04o})"
        return ""

    def exposure(status: os.stat_result, path: str) -> str:
        """Return how other users can use the secret file at *path*; "" if only this user can, or it is a pipe."""
        mode = stat.S_IMODE(status.st_mode)
        if not stat.S_ISREG(status.st_mode) or not mode & 0o077 or _is_mounted_secret(status, path):
            return ""
        return f"other users can read it (mode {mode:04o})"

    def protect_command(path: str) -> tuple[str, ...]:
        """Return the command after which only this user can use the file at *path*."""
        return ("chmod", "600", path)

    def user_name() -> str:
        """Return what distinguishes this user in the name of a folder."""
        return str(os.getuid())

    def _is_mounted_secret(status: os.stat_result, path: str) -> bool:
        """Return whether root provides the file and this process cannot change it, as orchestrators mount secrets."""
        if status.st_uid != 0 or status.st_mode & 0o022:
            return False
        try:
            return os.geteuid() != 0 or bool(os.statvfs(path).f_flag & os.ST_RDONLY)
        except OSError:
            return False

    def owner_name(user: int) -> str:
        """Return the owner for a message."""
        try:
            import pwd

            return f"user {pwd.getpwuid(user).pw_name} (uid {user})"
        except (ImportError, KeyError, OSError):
            return f"uid {user}"
