"""Notes with a command line: uploads that stay open."""

from __future__ import annotations

from tests.support.next_lines import Case

_NONE_OPEN = "! obsup uploads bucket | grep -q ."
_DENIED = "fault error=403:AccessDenied,op=part,times=always"

CASES = (
    Case(
        "engine/steps/abort: _forget_interrupted",
        0,
        before="obsup init bigfile bucket/key",
        command="obsup abort bigfiel bucket/key",
        check="obsup uploads bucket/key | grep -q .",
        line="Note",
    ),
    Case(
        "engine/upload/adoption: report_left_alone",
        0,
        before="XDG_STATE_HOME=elsewhere obsup init bucket/key",
        command="obsup upload bigfile bucket/key --parts 2",
        check=_NONE_OPEN,
        line="Note",
    ),
    Case(
        "engine/verify/etag_trial: abort_unused",
        0,
        before="fault error=403:AccessDenied,op=abort,times=always",
        command="obsup upload bigfile bucket/key --sse AES256",
        check=_NONE_OPEN,
        line="Note",
    ),
    Case(
        "engine/upload/preconditions: _initiate_trial 2",
        75,
        before="fault drop-answer,op=initiate",
        command="obsup upload bigfile bucket/key --sse AES256",
        check="obsup uploads bucket/key | grep -q .",
        line="Note",
    ),
    Case(
        "engine/upload/uploader: Uploader._note_open_upload",
        0,
        before="broken; cat bigfile | obsup upload - bucket/key",
        command="obsup upload bigfile bucket/key --skip-identical",
        check=_NONE_OPEN,
        line="Note",
    ),
    Case(
        "engine/stream/uploader: StreamUploader._clean_up",
        77,
        before=f"fault drop-answer,op=initiate; {_DENIED}",
        command="cat bigfile | OBSUP_RETRY_FOR=5s obsup upload - bucket/key --part-size 100K --abort-on-failure",
        check=_NONE_OPEN,
        line="Note",
    ),
    Case(
        "engine/stream/uploader: StreamUploader._clean_up 2",
        77,
        before=_DENIED,
        command="cat bigfile | obsup upload - bucket/key --part-size 100K",
        check=_NONE_OPEN,
        line="Note",
    ),
)
