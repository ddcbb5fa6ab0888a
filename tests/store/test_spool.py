"""The spool: durable, in order, and clear when the disk refuses."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from bson.int64 import Int64
from hypothesis import given, settings
from hypothesis import strategies as st

from include.errors import BadInputError, IntegrityError, TransientError
from include.store.spool import Spool
from include.store.whole_file import remove_torn

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "state" / "spool")


@pytest.mark.critical
def test_documents_come_back_in_order_with_their_types(spool: Spool) -> None:
    at = datetime(2026, 1, 1, 12, tzinfo=UTC)
    documents = [
        {"_id": f"run-{n}", "n": n, "big": Int64(2**40), "x": 0.1, "at": at, "raw": b"\x00"} for n in range(30)
    ]
    paths = [spool.append("training_jobs", document) for document in documents]
    assert spool.pending() == paths
    read = [spool.read(path) for path in spool.pending()]
    assert [part.document for part in read] == documents
    assert {part.collection for part in read} == {"training_jobs"}
    assert isinstance(read[0].document["big"], Int64)
    assert read[0].document["at"].utcoffset() is not None
    assert read[0].spooled_at.utcoffset() is not None


KEYS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=5)


@settings(max_examples=40, deadline=None)  # each is synced to the disk
@given(
    document=st.dictionaries(
        KEYS.filter(lambda key: key[0] != "$"),
        st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    )
)
def test_any_document_survives(document: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> None:
    spool = Spool(tmp_path_factory.mktemp("spool"))
    whole = {**document, "_id": "run"}
    assert spool.read(spool.append("c", whole)).document == whole


def test_order_survives_a_clock_that_is_set_back(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    first = spool.append("c", {"_id": 1})
    past = time.time_ns() - 3_600 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: past)
    second = Spool(spool.folder).append("c", {"_id": 2})
    assert spool.pending() == [first, second]


def test_threads_lose_nothing_and_each_ones_order_is_kept(spool: Spool) -> None:
    barrier = threading.Barrier(6)

    def write(worker: int) -> None:
        barrier.wait()
        for n in range(10):
            spool.append("c", {"_id": f"{worker}-{n}", "worker": worker, "n": n})

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(6)))
    read = [spool.read(path).document for path in spool.pending()]
    assert len(read) == 60
    for worker in range(6):
        assert [part["n"] for part in read if part["worker"] == worker] == list(range(10))


def test_removed_documents_are_gone_and_removing_twice_is_no_error(spool: Spool) -> None:
    path, other = spool.append("c", {"_id": 1}), spool.append("c", {"_id": 2})
    spool.remove(path)
    spool.remove(path)
    assert spool.pending() == [other]


def test_spool_that_was_never_written_to_is_empty(spool: Spool) -> None:
    assert spool.pending() == []


def test_torn_write_of_a_process_that_died_is_not_pending_and_in_nobodys_way(spool: Spool) -> None:
    """The process ends between writing and syncing its second document."""
    script = """
import os, sys
from pathlib import Path
from include.store.spool import Spool
from include.store.whole_file import remove_torn
spool = Spool(Path(sys.argv[1]))
spool.append("c", {"_id": 1})
os.fsync = lambda _: os._exit(42)
spool.append("c", {"_id": 2})
"""
    done = subprocess.run([sys.executable, "-c", script, str(spool.folder)], cwd=REPOSITORY, check=False)
    assert done.returncode == 42
    assert len(list(spool.folder.iterdir())) == 2
    assert remove_torn(spool.folder) == 0, "its writer may still be at it"
    assert remove_torn(spool.folder, older_than_s=-1) == 1
    assert remove_torn(spool.folder / "nowhere") == 0
    spool.append("c", {"_id": 3})
    assert [spool.read(path).document["_id"] for path in spool.pending()] == [1, 3]


@pytest.mark.parametrize(
    "content", [b"", b'{"collection": "c", "docu', b"[]", b'{"collection": "c"}', b"\xff\xfe", b'"x"',
                b'{"collection": "c", "document": {}, "spooled_at": 1}',
                b'{"collection": "c", "document": {"_id": {"$date": "x"}}, "spooled_at": 1}'],
)  # fmt: skip
def test_damaged_file_is_named(spool: Spool, content: bytes) -> None:
    path = spool.append("c", {"_id": 1})
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match=path.name):
        spool.read(path)


@pytest.mark.parametrize("document", [{}, {"n": 1}, {"_id": None}])
def test_document_without_id_is_refused_because_it_could_be_stored_twice(
    spool: Spool, document: dict[str, object]
) -> None:
    with pytest.raises(BadInputError, match="without an _id"):
        spool.append("c", document)
    assert spool.pending() == []


def test_nan_is_refused(spool: Spool) -> None:
    with pytest.raises(BadInputError, match=r"metrics\.sharpe is nan"):
        spool.append("c", {"_id": 1, "metrics": {"sharpe": float("nan")}})
    assert spool.pending() == []


def test_folder_that_is_a_file_is_a_clear_transient_error(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("in the way")
    spool = Spool(tmp_path / "spool")
    with pytest.raises(TransientError, match=f"cannot spool a document of c in {spool.folder}"):
        spool.append("c", {"_id": 1})
    with pytest.raises(TransientError, match="cannot read the spool"):
        spool.pending()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc, the one folder that root cannot write to")
def test_read_only_folder_is_a_clear_transient_error() -> None:
    with pytest.raises(TransientError, match="cannot spool a document of c in /proc/self/spool"):
        Spool(Path("/proc/self/spool")).append("c", {"_id": 1})


def test_full_disk_is_a_clear_transient_error_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    """The kernel refuses to let the file grow, in a process of its own (a limit counts for the whole process)."""
    script = """
import resource, sys
from pathlib import Path
from include.errors import TransientError
from include.store.spool import Spool
from include.store.whole_file import remove_torn
spool = Spool(Path(sys.argv[1]))
spool.append("c", {"_id": 1})
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
try:
    spool.append("c", {"_id": 2, "text": "x" * 5000})
except TransientError as error:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "free space" in str(error), error
    assert [spool.read(path).document for path in spool.pending()] == [{"_id": 1}]
    assert len(list(spool.folder.iterdir())) == 1
    sys.exit(42)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 42, done.stderr
