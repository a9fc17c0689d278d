"""All cases, and the places whose next step no case can run."""

from __future__ import annotations

from tests.support.next_cases import batches, network, notes, responses, settings, state, usage, workers

CASES = (
    *usage.CASES,
    *settings.CASES,
    *state.CASES,
    *batches.CASES,
    *responses.CASES,
    *network.CASES,
    *workers.CASES,
    *notes.CASES,
)

NOT_RUN = {
    "engine/job/request: UploadRequest.initial_jobs": "the command line refuses --jobs 0 before",
    "engine/plan/file_plan: make_plan": "the command line refuses both options together before",
    "engine/stream/uploader: check_stream_request 2": "the command line refuses it for - before",
    "engine/send/workers: _check_presign": "upload sends --header only when it initiates, part has no --executor",
    "engine/proof/part_list: check_receipts": "a driver completes an upload only if it has all receipts",
    "engine/proof/part_list: check_receipts 2": "a receipt of another size is not accepted before",
    "local/source/identity: check_same_file": "only a worker on another host sees another file",
    "local/source/file: _read_failed": "needs a disk that fails while it is read",
    "local/state/table: open_table": "needs 8 MiB of file names, and a full temporary directory",
}
"""The command line does not print these, or a test cannot cause the failure: the reason."""

_DASK = "tests/e2e/test_executors_dask.py::test_"
RUN_ELSEWHERE = {
    "engine/verify/worker_objects: WorkerObjects.check": "tests/unit/engine/batch/test_file_groups.py"
    "::test_objects_of_a_worker_that_this_host_does_not_see",
    "engine/send/content: _not_shown": "tests/e2e/test_opaque_etags.py::test_nothing_shows_what_a_store_received",
    "engine/steps/copy_part: _check_version": "tests/e2e/test_part_step.py"
    "::test_another_version_was_copied_than_the_store_shows",
    "engine/stream/memory: check_memory": "tests/e2e/test_part_rules.py"
    "::test_a_stream_of_equal_parts_that_memory_cannot_hold",
    "engine/stream/reader_thread: ReaderThread.start": "tests/e2e/test_thread_limit.py::test_a_limit_of_threads",
    "local/source/command: CommandSource.start": "tests/e2e/test_thread_limit.py"
    "::test_a_command_that_a_limit_of_processes_stops",
    "store/answers/network_failure_table: files": "tests/e2e/test_thread_limit.py::test_a_limit_of_open_files",
    "store/answers/network_failure_table: no-copy": "tests/e2e/test_step_errors.py::"
    "test_a_copy_that_is_answered_with_an_empty_body_is_not_retried_for_long",
    "engine/upload/abort: abort_incomplete": "tests/e2e/test_primitives_reclaim.py"
    "::test_abort_and_restart_keep_an_upload_that_may_have_made_the_object",
    "engine/send/dask_backend: DaskBackend._all_unfit": f"{_DASK}workers_that_come_later",
    "engine/send/dask_backend: DaskBackend._lose": f"{_DASK}a_cluster_that_is_lost",
    "engine/send/dask_backend: DaskBackend._no_workers": f"{_DASK}workers_that_come_later",
    "engine/send/dask_backend: _connect": f"{_DASK}workers_that_come_later",
    "engine/send/dask_backend: _connect 2": f"{_DASK}a_cluster_with_tls",
    "engine/send/worker_failures: as_obsup_error 2": f"{_DASK}workers_with_changed_code",
    "engine/send/worker_failures: as_obsup_error 4": f"{_DASK}workers_with_changed_code",
    "engine/send/remote_task: compared_here": f"{_DASK}dask_workers_in_a_mount_namespace_with_another_file",
}
"""The test that runs the command, as FILE::FUNCTION."""
