r"""Paths of this system, and the folders of the user. Windows has drives, shares, and ``\`` besides ``/``."""

from __future__ import annotations

import codecs
import ntpath
import os
import re
import shlex
import sys
from collections.abc import Mapping

_IS_WINDOWS = sys.platform == "win32"
# Whether the shells have printf with its escapes, and ``env -u NAME COMMAND``.
HAS_POSIX_TOOLS = not _IS_WINDOWS
# The default of --config, for messages and the help.
CONFIG_PATH_TEXT = "%APPDATA%\\obsup\\config.toml" if _IS_WINDOWS else "~/.config/obsup/config.toml"
# Without a meaning in cmd.exe and in PowerShell.
_PLAIN = re.compile(r"[\w./\\:=+-]+")
# With a meaning within the double quotes of PowerShell, which takes typographic quotes for quotes.
_EXPANDED = re.compile('["$`“”„]')


# With the longer name of a checkpoint beside the file, it may have more than 260 characters.
_LONG = 200
# Names that end with a dot or a blank, except . and .., and names of devices behind a folder.
_CHANGED = re.compile(
    r"(?:[^\\/:]{2}|[^\\/:.])[. ](?=[\\/]|$)"
    r"|[\\/](?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?=[.:\\/]|$)",
    re.IGNORECASE,
)


def exact(path: str, *, windows: bool = _IS_WINDOWS) -> str:
    r"""Return *path* in the form that Windows uses as it is, ``\\?\``, if it would change or reject the usual form.

    It rejects more than 260 characters, drops dots and blanks at the ends of names, and takes some names in folders for
    devices. A device without a folder, such as NUL, remains one.
    """
    if not windows or (len(path) < _LONG and not _CHANGED.search(path)):
        return path
    if path.startswith(("\\\\?\\", "\\\\.\\")):
        return path
    drive, rest = ntpath.splitdrive(path)
    if not drive or not rest.startswith(("\\", "/")):  # ntpath.abspath(path) would change the names, too
        path = ntpath.join(ntpath.abspath(drive or "."), rest)
    whole = ntpath.normpath(path)
    return f"\\\\?\\UNC{whole[1:]}" if whole.startswith("\\\\") else f"\\\\?\\{whole}"


def split_source(source: str, *, windows: bool = _IS_WINDOWS) -> tuple[str, str]:
    r"""Return the path of SOURCE without separators at its end, and its last name: "" if it stands for its contents.

    It does if it ends with a separator, or with ``.`` or ``..``, and the root of a file system does.
    """
    drive, rest = drive_of(with_slashes(source, windows=windows), windows=windows)
    inner = rest.rstrip("/")
    path = drive + (inner or ("/" if rest else ""))
    last = inner.rpartition("/")[2]
    is_contents = rest.endswith("/") or last in (".", "..")
    return native(path, windows=windows), "" if is_contents else last


def with_slashes(path: str, *, windows: bool = _IS_WINDOWS) -> str:
    r"""Return *path* with ``/`` between its names: those of Windows may have ``\``."""
    return path.replace("\\", "/") if windows else path


def native(path: str, *, windows: bool = _IS_WINDOWS) -> str:
    """Return *path* with the separators of this system."""
    return path.replace("/", "\\") if windows else path


def name_beside(name: str, *, windows: bool = _IS_WINDOWS) -> str:
    """Return *name* for a file beside SOURCE. With the colon of an alternate stream, it would be another stream."""
    return name.replace(":", "~") if windows else name


def drive_of(path: str, *, windows: bool = _IS_WINDOWS) -> tuple[str, str]:
    """Return the drive or the share of *path*, and the rest; the drive is empty on other systems."""
    return ntpath.splitdrive(path) if windows else ("", path)


def quote_word(text: str, *, windows: bool = _IS_WINDOWS, powershell: bool | None = None) -> str:
    """Return a printable word quoted for the shell; under Windows for both shells if one form fits both.

    *powershell*: whether the shell is PowerShell; by default whether this process was started from one.
    """
    if not windows:
        return shlex.quote(text)
    if _PLAIN.fullmatch(text):
        return text
    # The C library of a program reads backslashes before a quotation mark as half as many.
    escaped = re.sub(r'(\\*)("|$)', lambda found: found[1] * 2 + found[2].replace('"', r"\""), text)
    if _EXPANDED.search(text) and (_in_powershell() if powershell is None else powershell):
        return "'" + re.sub("(['‘’‚‛])", r"\1\1", escaped) + "'"
    return f'"{escaped}"'


def key_file_command(count: int, *, windows: bool = _IS_WINDOWS) -> str:
    """Return the command of a shell that creates a file of *count* random bytes, KEYFILE, for this user only.

    Under Windows, in one of the folders of this user: others cannot read what is in them.
    """
    if windows:
        return f"python -c \"import os; open('KEYFILE', 'xb').write(os.urandom({count}))\""
    return f"(umask 077; head -c {count} /dev/urandom > KEYFILE)"


def _in_powershell() -> bool:
    """Return whether a PowerShell started this process: it adds the user's own modules to this variable."""
    return os.environ.get("PSMODULEPATH", "").count(";") > 1


def decode_line(line: bytes, *, windows: bool = _IS_WINDOWS) -> str:
    """Return the path in a line of a list. Raises ValueError if the list of Windows is not UTF-8.

    Lines of Windows may end with CR LF, and the first one may begin with a byte order mark.
    """
    if not windows:
        return os.fsdecode(line)
    return line.removeprefix(codecs.BOM_UTF8).removesuffix(b"\r").decode("utf-8")


# By the XDG Base Directory Specification, or the known folders of Windows.
if sys.platform == "win32":

    def home_folder(environ: Mapping[str, str]) -> str | None:
        """Return the folder of the user's profile; None if it is unknown."""
        return environ.get("USERPROFILE") or None

    def config_folder(environ: Mapping[str, str]) -> str | None:
        """Return the folder of configuration files, which follows the user to other computers."""
        return environ.get("XDG_CONFIG_HOME") or environ.get("APPDATA") or None

    def state_folder(environ: Mapping[str, str]) -> str | None:
        """Return the folder of state, which stays on this computer."""
        return environ.get("XDG_STATE_HOME") or environ.get("LOCALAPPDATA") or None

    HOME_PREFIXES = ("~/", "~\\")
    TEMPORARY_FOLDER = "C:\\Windows\\Temp"

else:

    def home_folder(environ: Mapping[str, str]) -> str | None:
        """Return $HOME if it is absolute, otherwise the home directory of the account; None if it has none."""
        for path in (environ.get("HOME", ""), _home_of_account()):
            if path.startswith("/"):
                return path
        return None

    def config_folder(environ: Mapping[str, str]) -> str | None:
        """Return the folder of configuration files; None without a home directory."""
        return _named_folder("XDG_CONFIG_HOME", ".config", environ)

    def state_folder(environ: Mapping[str, str]) -> str | None:
        """Return the folder of state; None without a home directory."""
        default = "Library/Application Support" if sys.platform == "darwin" else ".local/state"
        return _named_folder("XDG_STATE_HOME", default, environ)

    HOME_PREFIXES = ("~/",)
    TEMPORARY_FOLDER = "/tmp"

    def _named_folder(variable: str, default: str, environ: Mapping[str, str]) -> str | None:
        """Return the folder that *variable* names, which must be absolute, or *default* below the home directory."""
        named = environ.get(variable, "")
        if named.startswith("/"):
            return named
        home = home_folder(environ)
        return home and os.path.join(home, default)  # noqa: PTH118

    def _home_of_account() -> str:
        import pwd

        try:
            return pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:
            return ""
