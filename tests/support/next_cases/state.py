"""Interrupted uploads, changed sources, single steps, and files that obsup writes."""

from __future__ import annotations

from tests.support.next_lines import Case

_PARTS = "obsup upload bigfile bucket/key --parts 2 -j 1"
_INIT = "obsup init bigfile bucket/key --parts 2"
_SENT = (
    f"{_INIT}; obsup part bigfile bucket/key --part-number 1; obsup part bigfile bucket/key --part-number 2"
)
_PART_ELSEWHERE = (
    "cd other && XDG_STATE_HOME=$PWD obsup part bigfile bucket/key --upload-id $id --parts 2 --part-number"
)
_IS_OPEN = "obsup uploads bucket | grep -q ."
_NONE_OPEN = f"! {_IS_OPEN}"
_COPY = "obsup part bucket/key --upload-id $id --part-number 1 --copy-source bucket/old"
_NO_HEAD = (
    "fault error=403:AccessDenied,op=head,times=always; fault error=403:AccessDenied,op=get,times=always"
)
_KEY = "head -c 32 /dev/urandom > KEY && chmod 600 KEY; export OBSUP_SSE_C_KEY_FILE=KEY"
_UNEQUAL = (
    "obsup init bucket/key; obsup part bigfile bucket/key --upload-id $id --part-number 1 --offset 0 --part-size 100K; "
    "obsup part bigfile bucket/key --upload-id $id --part-number 2 --offset 102400"
)
_EQUAL = _UNEQUAL.replace("102400", "200000").replace("100K", "200000")
_ONE_PART = (
    "<ListPartsResult><IsTruncated>false</IsTruncated><Part><PartNumber>1</PartNumber><Size>5</Size>"
    "<ETag>e</ETag><LastModified>2026-01-01T00:00:00Z</LastModified></Part></ListPartsResult>"
)

CASES = (
    # The source has changed.
    Case("engine/upload/resume: source_changed", 65, before="broken; rewrite", command=_PARTS),
    Case("engine/upload/resume: source_changed", 65, before="broken; grow", command=_PARTS, note="larger"),
    Case(
        "local/source/identity: module",
        65,
        before="when part echo more >> bigfile",
        command=_PARTS,
        note="a part",
    ),
    Case(
        "local/source/identity: _disappeared",
        65,
        before="when part mv bigfile away",
        command=_PARTS,
        fix="mv away bigfile",
    ),
    Case(
        "engine/verify/comparison: Comparison._unchanged_source",
        65,
        before=f"{_PARTS}; when head echo more >> bigfile",
        command="obsup verify bigfile bucket/key",
        fix="head -c 300000 bigfile > same; mv same bigfile",
    ),
    Case(
        "engine/steps/lookup: FoundUpload.send_again",
        65,
        before=f"{_SENT}; grow",
        command="obsup complete bigfile bucket/key",
        check=_NONE_OPEN,
        note="the source has grown",
    ),
    Case(
        "engine/steps/lookup: FoundUpload.send_again",
        65,
        before=f"{_INIT}; touch bigfile",
        command="obsup part bigfile bucket/key --part-number 1",
        check=_NONE_OPEN,
        note="only its times differ",
    ),
    Case(
        "engine/steps/lookup: FoundUpload.send_again",
        65,
        before=f"{_INIT}; grow",
        command="obsup part bigfile bucket/key --part-number 1",
        check=_NONE_OPEN,
        note="a part of a source that has grown",
    ),
    Case(
        "engine/upload/resume: check_same_request",
        2,
        before="truncate -s 600K bigfile; broken",
        command="obsup upload bigfile bucket/key --parts 3",
    ),
    Case(
        "engine/upload/resume: check_same_request 2",
        2,
        before="truncate -s 600K bigfile; obsup init bigfile bucket/key --parts 3",
        command="obsup upload bigfile bucket/key --max-parts 2",
    ),
    # Uploads that are gone, open, or not known.
    Case(
        "engine/steps/lookup: FoundUpload.gone",
        69,
        command="obsup complete bucket/key --upload-id ABC",
        check=_IS_OPEN,
    ),
    Case(
        "engine/steps/lookup: FoundUpload.send_again",
        69,
        before=f"{_INIT}; f=$(echo *.obsup.json) && cp -p $f saved && obsup abort bigfile bucket/key && mv saved $f",
        command="obsup part bigfile bucket/key --part-number 1",
    ),
    Case(
        "engine/steps/lookup: FoundUpload.check_of_file",
        2,
        before="fault error=403:AccessDenied,op=part,part=2,times=always; "
        "! (cat bigfile | obsup upload - bucket/key --part-size 100K --checkpoint state -j 1)",
        command="obsup complete bigfile bucket/key --checkpoint state",
        check=_NONE_OPEN,
    ),
    Case(
        "engine/verify/existing_object: object_exists",
        69,
        before="obsup upload bigfile bucket/key",
        command="obsup upload bigfile s3://bucket/key --no-overwrite",
    ),
    Case(
        "engine/verify/existing_object: object_exists 2",
        69,
        before="truncate -s 6M bigfile; id=$(obsup init bigfile s3://bucket/key --part-size 5M --no-overwrite); "
        "obsup upload bigfile s3://bucket/key --no-checkpoint --part-size 6M",
        command="obsup upload bigfile s3://bucket/key --no-overwrite --part-size 5M",
        check=_NONE_OPEN,
    ),
    Case(
        "engine/upload/adoption: not_listed",
        69,
        before="fault empty-list,op=parts; fault error=500:InternalError,op=complete,times=always; "
        "whenever part obsup abort bucket/key --upload-id $(obsup uploads bucket | cut -f2)",
        command="obsup upload bigfile bucket/key --parts 1",
        fix="direct",
    ),
    Case(
        "engine/upload/starting_point: _Facts.check_gone",
        75,
        before="broken; fault error=404:NoSuchUpload,op=parts,times=always; "
        "fault error=404:NoSuchUpload,op=part,times=always",
        command=_PARTS,
    ),
    Case(
        "engine/upload/abort: abort_fully",
        75,
        before=f"obsup init bucket/key; answer parts 200 - {_ONE_PART}",
        command="obsup abort bucket/key --upload-id $id --max-time 1s",
        fix="direct",
        check=_NONE_OPEN,
    ),
    # Parts that do not fit together.
    Case(
        "engine/proof/part_list: check_parts",
        65,
        before=f"{_INIT}; obsup part bigfile bucket/key --part-number 1",
        command="obsup complete bigfile bucket/key",
        fix="obsup part bigfile bucket/key --part-number 2",
    ),
    Case(
        "engine/proof/part_list: check_parts 2",
        65,
        before="obsup init bucket/key; obsup part bigfile bucket/key --upload-id $id --part-number 1 --parts 2",
        command="obsup complete bigfile bucket/key --upload-id $id",
        fix="obsup part bigfile bucket/key --upload-id $id --part-number 2 --parts 2",
    ),
    Case(
        "engine/steps/completion_checks: _differing",
        65,
        before="obsup init bucket/key; head -c 150000 bigfile > a; head -c 150000 /dev/urandom > b; "
        "obsup part a bucket/key --upload-id $id --part-number 1 --offset 0; "
        "obsup part b bucket/key --upload-id $id --part-number 2 --offset 0",
        command="obsup complete bigfile bucket/key --upload-id $id",
        fix="obsup part bigfile bucket/key --upload-id $id --part-number 2 --offset 150000",
    ),
    # Parts that are copied in the store.
    Case(
        "engine/steps/copy_part: _check_size",
        65,
        before=f"obsup upload bigfile bucket/old; obsup init bucket/key; answer parts 200 - {_ONE_PART}",
        command=f"{_COPY} --copy-range 100000-299999",
        fix="direct",
    ),
    Case(
        "engine/steps/copy_part: _start_over",
        65,
        before=f"obsup upload bigfile bucket/old; obsup init bucket/key; {_COPY}; rewrite; "
        "obsup upload bigfile bucket/old",
        command=_COPY.replace("number 1", "number 2"),
        check=_NONE_OPEN,
    ),
    # verify.
    Case("engine/verify/comparison: Comparison._upload", 65, command="obsup verify bigfile bucket/key"),
    Case(
        "engine/verify/comparison: Comparison._upload",
        65,
        before="obsup upload bigfile bucket/key; rewrite",
        command="obsup verify bigfile bucket/key",
        note="other content",
    ),
    # Permissions.
    Case(
        "engine/verify/existing_object: find_existing",
        77,
        before=_NO_HEAD,
        command="obsup upload bigfile s3://bucket/key --no-overwrite",
    ),
    Case(
        "engine/verify/option_check: look_up",
        77,
        before="fault error=403:AccessDenied,op=head,times=always",
        command="obsup upload bigfile bucket/key --metadata a=b --strict-options",
    ),
    Case(
        "engine/verify/option_check: check_headers",
        69,
        before="fault ignore-options",
        command=f"{_PARTS} --metadata a=b --strict-options",
    ),
    # Streams.
    Case(
        "engine/stream/replay: _different_stream",
        65,
        before="fault error=403:AccessDenied,op=part,part=2,times=always; "
        "! (cat bigfile | obsup upload - bucket/key --part-size 100K --checkpoint state -j 1); clear; rewrite",
        command="cat bigfile | obsup upload - bucket/key --part-size 100K --checkpoint state -j 1",
        check="obsup verify bigfile bucket/key --part-size 100K",
    ),
    Case(
        "local/source/command: CommandSource._check",
        76,
        command="obsup upload --from-command bucket/key -- cat missing",
        fix="cp bigfile missing",
        check="obsup verify bigfile bucket/key",
    ),
    # Files of obsup.
    Case("local/state/checkpoint: save", 73, before="mkfifo pipe", command=f"{_PARTS} --checkpoint pipe"),
    Case(
        "local/state/checkpoint: save 2",
        73,
        command=f"{_PARTS} --checkpoint missing/state",
        fix="mkdir missing",
    ),
    Case(
        "local/state/journal: Journal.__init__",
        73,
        before="mkfifo pipe; mkdir folder; cp bigfile folder/",
        command="obsup upload -r folder/ bucket/p/ --checkpoint pipe",
        check="obsup verify bigfile bucket/p/bigfile",
    ),
    Case(
        "local/state/journal: _unwritable",
        73,
        before="mkdir folder; cp bigfile folder/",
        command="obsup upload -r folder/ bucket/p/ --checkpoint missing/state",
        fix="mkdir missing",
        check="obsup verify bigfile bucket/p/bigfile",
    ),
    Case(
        "local/state/copied_parts: _write",
        73,
        before="obsup upload bigfile bucket/old; obsup init bucket/key; export OBSUP_STATE_DIR=$PWD/file; touch file",
        command=_COPY,
        fix="rm file",
    ),
    Case(
        "engine/send/content: module",
        65,
        before="fault flip-bit,op=part,times=always",
        command=_PARTS,
    ),
    Case(
        "engine/steps/abort: _forget_interrupted 2",
        2,
        before="fault drop-answer,op=initiate,times=always; "
        "fault error=403:AccessDenied,op=parts,times=always; ! obsup init bigfile bucket/key --parts 2; clear",
        command="obsup abort bigfile bucket/key",
        check=_NONE_OPEN,
    ),
    Case(
        "engine/steps/completion_checks: PartsCheck._report_incomparable",
        65,
        before=f"{_KEY}; {_EQUAL}",
        command="obsup complete bigfile bucket/key --upload-id $id --verify-source",
        fix="obsup parts bucket/key --upload-id $id > list",
        fill=("FILE", "list"),
        tls="https",
    ),
    Case(
        "engine/steps/completion_checks: PartsCheck._report_incomparable 2",
        65,
        before=f"{_KEY}; {_UNEQUAL}",
        command="obsup complete bigfile bucket/key --upload-id $id",
        fix="obsup parts bucket/key --upload-id $id > list",
        fill=("FILE", "list"),
        tls="https",
    ),
    Case(
        "engine/steps/completion_checks: PartsCheck.require_content",
        1,
        before=f"{_KEY}; {_EQUAL}; obsup parts bucket/key --upload-id $id > list",
        command="obsup complete bigfile bucket/key --upload-id $id",
        fill=("FILE", "list"),
        tls="https",
    ),
    Case(
        "engine/steps/completion_checks: _require_proven",
        65,
        before="obsup init bigfile bucket/key --parts 2 --checkpoint CK; cp -p bigfile /dev/shm/obsup-next-case; "
        "obsup part /dev/shm/obsup-next-case bucket/key --part-number 1 --checkpoint CK; rm /dev/shm/obsup-next-case; "
        "obsup part bigfile bucket/key --part-number 2 --checkpoint CK",
        command="obsup complete bucket/key --checkpoint CK",
        fix="obsup part bigfile bucket/key --part-number 1 --checkpoint CK",
    ),
    Case(
        "engine/steps/copy_part: _check_unchanged",
        65,
        before="obsup upload bigfile bucket/old; obsup init bucket/key; "
        "fault error=403:AccessDenied,op=head,times=always,after=1; fault error=403:AccessDenied,op=get,times=always",
        command=_COPY,
    ),
    Case(
        "engine/steps/part: check_size",
        2,
        before="truncate -s 6G bigfile; obsup init bucket/key",
        command="obsup part bigfile bucket/key --upload-id $id --part-number 1 --offset 0 --part-size 6G",
        fix="fault error=404:NoSuchUpload,op=part,early=1",
        then=69,
    ),
    Case(
        "engine/stream/uploader: StreamUploader._too_long",
        65,
        command="cat bigfile | obsup upload - bucket/key --part-size 100K --max-parts 2",
        check="obsup verify bigfile bucket/key --part-size 200K",
    ),
    Case(
        "engine/upload/adoption: _unknown_upload",
        77,
        before="fault drop-answer,op=initiate; fault error=403:AccessDenied,op=uploads,times=always; "
        f"! {_PARTS}",
        command=_PARTS,
    ),
    Case(
        "engine/upload/initiate: _check_initiated",
        69,
        before="header initiate 2 x-obs-server-side-encryption AES256",
        command=f"{_PARTS} --sse kms",
    ),
    Case(
        "engine/upload/preconditions: _try_out",
        69,
        before="fault ignore-encryption",
        command="obsup upload bigfile bucket/key --sse AES256",
    ),
    Case(
        "engine/upload/preconditions: _initiate_trial",
        75,
        before="fault error=500:InternalError,op=initiate,times=always",
        command="obsup upload bigfile bucket/key --sse AES256 --retry-for 1s",
    ),
    Case(
        "engine/verify/existing_object: not_visible",
        75,
        before="answer head 404 NoSuchKey x",
        command="obsup upload bigfile bucket/key --metadata a=b --strict-options",
        fix="direct",
    ),
    Case(
        "engine/verify/object_probe: ObjectProbe._find_listed",
        77,
        before=f"fault drop-answer,op=complete; {_NO_HEAD}; "
        f"fault error=403:AccessDenied,op=list,times=always; ! {_PARTS}",
        command=_PARTS,
    ),
    Case(
        "engine/upload/other_sender: _busy",
        75,
        before=f"{_INIT}; touch -d '2 minutes ago' *.obsup.json; mkdir other && cp bigfile other; {_PART_ELSEWHERE} 1",
        command=_PARTS,
        fix=f"{_PART_ELSEWHERE} 2",
    ),
    Case(
        "local/state/lock: UploadLock.__enter__",
        75,
        before="fault stall=60,op=part; start upload bigfile bucket/key --parts 2",
        command=_PARTS,
        fix="stop",
    ),
    Case(
        "local/state/lock: UploadLock.__enter__",
        75,
        before="fault stall=60,op=part; start upload bigfile bucket/key --parts 2",
        command="obsup complete bigfile bucket/key",
        fix="stop; obsup part bigfile bucket/key --part-number 1; obsup part bigfile bucket/key --part-number 2",
        note="a command without --if-running",
    ),
    Case(
        "local/source/stream: read_failed",
        74,
        before="fault reset,op=get",
        command="exec 3<>/dev/tcp/127.0.0.1/$PORT && printf 'GET /bucket/x HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n' >&3 "
        "&& obsup upload - bucket/key <&3",
        fill=("…", "cat bigfile"),
        check="obsup verify bigfile bucket/key",
    ),
    Case(
        "engine/inspect/upload_cycle: UploadCycle._check_clock",
        78,
        before="fault skew=3600",
        command="obsup doctor bucket",
    ),
    Case(
        "engine/send/content: module",
        65,
        before="fault wrong-checksum,op=part",
        command="obsup doctor s3://bucket",
        note="doctor",
    ),
    Case(
        "engine/inspect/upload_cycle: UploadCycle._abort",
        77,
        before="fault error=403:AccessDenied,op=abort,times=always",
        command="obsup doctor bucket",
        check=_NONE_OPEN,
    ),
    Case(
        "cli/actions/doctor: Report.suggest_signature 2",
        77,
        before="fault error=403:SignatureDoesNotMatch,op=any,times=7",
        command="obsup doctor bucket",
    ),
    Case(
        "cli/actions/doctor: Report.suggest_signature",
        77,
        before="fault error=403:SignatureDoesNotMatch,op=any,times=always",
        command="obsup doctor bucket",
    ),
    Case(
        "engine/verify/object_lock: confirm_lock",
        69,
        before="fault object-lock=0; fault hide-lock",
        command="obsup upload bigfile s3://bucket/key --parts 1 --legal-hold",
        fix="fault object-lock=0",
    ),
    Case(
        "engine/verify/object_lock: _look_up",
        77,
        before=f"fault object-lock=0; {_NO_HEAD}",
        command="obsup upload bigfile s3://bucket/key --parts 1 --legal-hold",
        fix="fault object-lock=0",
    ),
    Case(
        "engine/verify/object_lock: _set_lock",
        69,
        before="fault object-lock=0; fault ignore-lock; fault error=403:AccessDenied,op=set-retention,times=always",
        command="obsup upload bigfile bucket/key --retention compliance --retain-until 30d",
        fix="fault object-lock=0; fault ignore-lock",
    ),
)
