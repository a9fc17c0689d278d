"""Many files, and a local system at its limits."""

from __future__ import annotations

from tests.support.next_lines import Case

_TREE = "mkdir folder; cp bigfile folder/a; cp bigfile folder/b"
_BATCH = "obsup upload -r folder/ bucket/p/"
_STORED = "obsup verify bigfile bucket/p/a && obsup verify bigfile bucket/p/b"

CASES = (
    Case(
        "cli/report/batch: failure_of",
        75,
        before=f"{_TREE}; fault error=503:SlowDown,op=put,key=p/b,times=always",
        command=_BATCH,
        check=_STORED,
    ),
    Case(
        "cli/report/batch: failure_of 2",
        69,
        before=f"{_TREE}; fault error=400:Whatever,op=put,key=p/b,times=always; "
        "fault error=404:NoSuchBucket,op=put,key=p/a,times=always",
        command=_BATCH,
        check=_STORED,
    ),
    Case(
        "cli/report/next_command: next_step",
        75,
        before="fault delay=30,op=part,part=2,times=always",
        command="obsup upload bigfile bucket/key --parts 2 -j 1 --max-time 1s",
        fill=("--max-time 1s", ""),
    ),
    Case(
        "local/walk/file_list: _ends_in_cr",
        66,
        before=f"{_TREE}; printf 'folder/a\\r\\nfolder/b\\r\\n' > list",
        command="obsup upload --from-list list bucket/p/",
        fix="tr -d '\\r' < list > lines && mv lines list",
        check="obsup verify bigfile bucket/p/folder/a && obsup verify bigfile bucket/p/folder/b",
    ),
    Case(
        "errors: limit_reached",
        74,
        command="bash -c 'ulimit -s 2000000 -v 2500000; "
        "exec obsup upload bigfile bucket/key --parts 2 --executor processes'",
        is_real=True,
    ),
    Case(
        "errors: too_many_files",
        74,
        command="bash -c 'ulimit -n 5; exec obsup upload bigfile bucket/key --parts 2'",
        is_real=True,
    ),
    Case(
        "local/source/identity: stat_source",
        66,
        before=f"{_TREE}; when put ln -sf ../bigfile folder/$(test -e $STORE/bucket/p/a && echo b || echo a)",
        command=f"{_BATCH} -j 1 --links skip",
        fix="cp --remove-destination bigfile folder/a; cp --remove-destination bigfile folder/b",
        check=_STORED,
    ),
)
