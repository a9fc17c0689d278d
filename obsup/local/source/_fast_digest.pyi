from collections.abc import Callable, Sequence

MD5_WAY: str

def crc(
    fd: int,
    offset: int,
    length: int,
    polynomial: int,
    value: int,
    gate: Callable[[int], int] | None,
    /,
) -> int: ...
def md5s(
    fd: int,
    windows: Sequence[tuple[int, int]],
    gate: Callable[[int], int] | None,
    way: str | None = None,
    /,
) -> list[bytes]: ...
