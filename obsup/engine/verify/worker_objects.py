"""Are the objects that remote workers make in the store that this host sees?"""

from __future__ import annotations

from collections.abc import Callable

from obsup.engine.verify.existing_object import Made, another_object, is_another
from obsup.errors import UNAVAILABLE, BadConfiguration, run_again
from obsup.model import Target
from obsup.store.interface import ObjectStore


class WorkerObjects:
    """Requests the first object of each worker at *store*, unless that is None. Thread-safe.

    The keys of a worker may be those of another account, which has other buckets of the same names at some stores
    (Swift, Ceph), and its network may lead to another store. *note* reports that nothing was checked.
    """

    def __init__(self, store: ObjectStore | None, note: Callable[[str], None]) -> None:
        self._store = store
        self._note = note
        self._known: set[str] = set()

    def is_known(self, worker: str) -> bool:
        """Return whether nothing has to be checked for *worker*."""
        return self._store is None or worker in self._known

    def check(self, worker: str, target: Target, made: Made) -> None:
        """Raise BadConfiguration if *target*, which *worker* made, does not exist here, NotFinished if it is another.

        Without the permission for HeadObject, that is noted.
        """
        if self._store is None or worker in self._known:
            return
        try:
            info = self._store.head_object(target)
        except UNAVAILABLE as exc:
            self._note(f"it was not checked that this host sees the objects of the workers: {exc.what}")
        else:
            if info is None:
                raise BadConfiguration(
                    f"{target} was stored by {worker}, but does not exist for this host",
                    "The keys of the worker may be those of another account, or its network may lead to another store",
                    run_again("give the worker the keys and the network of this host"),
                )
            if is_another(info, made):
                raise another_object(target, made, info)
        self._known.add(worker)
