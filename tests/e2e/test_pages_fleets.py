"""The examples of obsup-fleets(7), run unchanged."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.servers.free_ports import find_ports
from tests.support.batch import assert_stored, make_files
from tests.support.pipes import Bash
from tests.support.readme import FLEETS_PAGE, block
from tests.support.shell import Shell

pytestmark = pytest.mark.slow

MakeFile = Callable[..., Path]
PARTS = 5


@pytest.fixture
def bash(shell: Shell, tmp_path: Path) -> Bash:
    """Bash with obsup in it."""
    return Bash.with_folder(shell, tmp_path / "bin")


@pytest.fixture
def source(make_file: MakeFile) -> Path:
    """The file of the examples."""
    return make_file(1_600_000)


def example(name: str) -> str:
    """Return an example; it ends at the first command that fails."""
    return "set -e\n" + block(FLEETS_PAGE, f"fleet: {name}")


def check(sandbox: Sandbox, source: Path) -> None:
    """The object is the file, and each part was sent once."""
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()
    sent = Counter(r.part_number for r in sandbox.requests if r.operation == "part")
    assert sent == Counter(range(1, PARTS + 1))
    assert sandbox.uploads() == []


@pytest.mark.slow
def test_xargs(bash: Bash, sandbox: Sandbox, source: Path) -> None:
    """On one machine, with one checkpoint."""
    outcome = bash.run(example("xargs"))
    assert outcome.code == 0, outcome.err
    check(sandbox, source)


def test_parallel(bash: Bash, sandbox: Sandbox, source: Path) -> None:
    """xargs stands in for GNU parallel if the machine has none."""
    if shutil.which("parallel") is None:
        bash.stand_in("parallel", 'shift 4; exec xargs -P 4 -I {} "$@"')
    outcome = bash.run(example("parallel"))
    assert outcome.code == 0, outcome.err
    check(sandbox, source)


@pytest.mark.slow
def test_slurm(bash: Bash, sandbox: Sandbox, source: Path, tmp_path: Path) -> None:
    """The tasks share the file and the upload id."""
    (tmp_path / "part.sh").write_text(block(FLEETS_PAGE, "fleet: part.sh"))
    sbatch(bash, tmp_path, 5)
    outcome = bash.run(example("slurm"))
    assert outcome.code == 0, outcome.err
    check(sandbox, source)


@pytest.fixture
def photos(shell: Shell) -> list[str]:
    """The files that are shared out."""
    names = [f"photos/{number}.jpg" for number in range(40)]
    make_files(shell, *names)
    return names


def check_shares(sandbox: Sandbox, shell: Shell, photos: list[str]) -> None:
    """Each file was sent once."""
    assert_stored(shell, sandbox, "2026/", photos)
    sent = Counter(record.key for record in sandbox.requests if record.operation == "put")
    assert sent == Counter(f"2026/{name}" for name in photos)


def test_shards(bash: Bash, sandbox: Sandbox, shell: Shell, photos: list[str]) -> None:
    """Every file is sent once, by one of the two; an invalid share is refused before anything is sent."""
    outcome = bash.run(example("shard"))
    assert outcome.code == 0, outcome.err
    check_shares(sandbox, shell, photos)
    plans = [
        shell.run(
            "upload", "-r", "photos", "bucket/2026/", "--shard", f"{index}/2", "--dry-run", "--no-checkpoint"
        )
        for index in (1, 2)
    ]
    assert sorted(line.split()[1] for plan in plans for line in plan.out.splitlines()[:-1]) == sorted(photos)
    assert all(len(plan.out.splitlines()) > 5 for plan in plans)
    before = len(sandbox.requests)
    for wrong in ("3/2", "0/2"):
        assert shell.run("upload", "-r", "photos", "bucket/2026/", "--shard", wrong).code == 2
    assert len(sandbox.requests) == before


def sbatch(bash: Bash, tmp_path: Path, tasks: int) -> None:
    """Let a loop stand in for sbatch; each task gets its number and a separate home."""
    bash.stand_in(
        "sbatch",
        f'test "$1 $2" = "--wait --array=1-{tasks}" || exit 64\n'
        "shift 2\n"
        "code=0\n"
        f"for task in $(seq {tasks}); do\n"
        f'    HOME={tmp_path}/node$task SLURM_ARRAY_TASK_ID=$task sh "$@" || code=$?\n'
        "done\n"
        "exit $code",
    )


def test_shards_of_a_slurm_array(
    bash: Bash, sandbox: Sandbox, shell: Shell, photos: list[str], tmp_path: Path
) -> None:
    """A task that fails, fails the array; the array again, and then the check, send only what is missing."""
    (tmp_path / "share.sh").write_text(block(FLEETS_PAGE, "fleet: share.sh"))
    sbatch(bash, tmp_path, 4)
    sandbox.add_fault("error=403:AccessDenied,op=put,key=*/7.jpg,times=always")
    assert bash.run(example("shard-slurm")).code == 77
    sandbox.clear_faults()
    outcome = bash.run(example("shard-slurm"))
    assert outcome.code == 0, outcome.err
    sandbox.object_path("bucket", "2026/photos/7.jpg").unlink()
    assert bash.run(f"obsup status photos bucket/2026/\n{example('shard-verify')}").code == 65
    outcome = bash.run(example("shard-check"))
    assert outcome.code == 0, outcome.err
    assert bash.run(example("shard-verify")).code == 0
    assert_stored(shell, sandbox, "2026/", photos)
    sent = Counter(r.key for r in sandbox.requests if r.operation == "put" and r.status == 200)
    assert sent == Counter(f"2026/{name}" for name in [*photos, "photos/7.jpg"])


@pytest.mark.parametrize("example_name", ["shard-xargs", "shard-cron"])
def test_shards_of_one_machine(
    bash: Bash, sandbox: Sandbox, shell: Shell, photos: list[str], example_name: str
) -> None:
    """The line of the crontab is that of the third of four machines."""
    if example_name == "shard-xargs":
        script = example(example_name)
    else:
        schedule, _, command = block(FLEETS_PAGE, f"fleet: {example_name}").strip().rpartition("*  ")
        assert f"{schedule}*" == "*/10 * * * *"
        script = "set -e\n" + "\n".join(command.replace("3/4", f"{number}/4") for number in (1, 2, 3, 4))
    for _ in range(2):
        outcome = bash.run(script)
        assert outcome.code == 0, outcome.err
    check_shares(sandbox, shell, photos)


def test_a_machine_that_saw_another_file_is_found(
    bash: Bash, sandbox: Sandbox, source: Path, tmp_path: Path
) -> None:
    """One task of the Slurm array reads another file of the same size; then a machine without the file completes."""
    right, wrong = source.read_bytes(), tmp_path / "node3"
    wrong.mkdir()
    (wrong / "bigfile").write_bytes(bytes(len(right)))
    (tmp_path / "part.sh").write_text(block(FLEETS_PAGE, "fleet: part.sh"))
    bash.stand_in(
        "sbatch",
        f"TOP={tmp_path}\n"
        "shift 2\n"
        "for task in 1 2 3 4 5; do\n"
        '    (test ! -d node$task || cd node$task; SLURM_ARRAY_TASK_ID=$task sh "$TOP/$1" "$2") || exit 1\n'
        "done",
    )
    outcome = bash.run(example("slurm"))
    assert (outcome.code, "part 3 does not match bigfile" in outcome.err) == (65, True), outcome.err
    [upload] = sandbox.uploads()
    fixed = f"obsup part bigfile bucket/key --upload-id {upload.upload_id} --parts 5 --part-number 3\n"
    outcome = bash.run(f"id={upload.upload_id}\n{fixed}" + example("without-source"))
    assert outcome.code == 0, outcome.err
    assert sandbox.object_path("bucket", "key").read_bytes() == right


def test_append(bash: Bash, shell: Shell, sandbox: Sandbox, source: Path) -> None:
    """The old object is copied inside the store; only the new bytes are sent. A pipe that is cut off is found."""
    assert shell.run("upload", source, "bucket/old.log").code == 0
    cut = bash.run(example("append").replace("-c 300000", "-c 200000"))
    assert cut.code == 65, cut.err
    [upload] = sandbox.uploads()
    assert shell.run("abort", "bucket/long.log", "--upload-id", upload.upload_id).code == 0
    outcome = bash.run(example("append"))
    assert outcome.code == 0, outcome.err
    data = source.read_bytes()
    assert sandbox.object_path("bucket", "long.log").read_bytes() == data + data[-300_000:]


def test_dask(bash: Bash, sandbox: Sandbox, source: Path) -> None:
    """Scheduler and workers have no credentials and need seconds to start; only the port differs from the page."""
    bash.stand_in(
        "dask",
        f'unset AccessKeyID SecretAccessKey\nexec {sys.executable} -m dask "$@" --no-dashboard >>dask.log 2>&1',
    )
    [port] = find_ports(1)
    # -m: jobs have numbers, as in a terminal.
    outcome = bash.run("set -m\n" + example("dask").replace("8786", str(port)))
    assert outcome.code == 0, outcome.err + (source.parent / "dask.log").read_text()
    check(sandbox, source)


@pytest.mark.mpi
def test_mpi(bash: Bash, sandbox: Sandbox, source: Path) -> None:
    """mpiexec puts its folder first on the PATH of the ranks, and rejects root and more ranks than cores."""
    mpiexec = shutil.which("mpiexec")
    bash.stand_in(
        "mpiexec",
        'test "$1 $2 $3" = "-n 3 python3" || exit 64\n'
        "shift 3\n"
        f'exec {mpiexec} --allow-run-as-root --oversubscribe -n 3 {sys.executable} "$@"',
    )
    outcome = bash.run(example("mpi"))
    assert outcome.code == 0, outcome.err
    check(sandbox, source)
