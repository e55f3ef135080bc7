"""How much a worker may send as a result."""

from sleaprtc.client.results.limits import GIB, ResultAllowance
from sleaprtc.protocol.limits import MAX_RESULT_BYTES, MAX_RESULT_FILES
from sleaprtc.protocol.transfer import FileOffer


def offer(name: str = "m.zip", size_bytes: int = 1) -> FileOffer:
    return FileOffer("t", name, size_bytes, "sha256:" + "0" * 64, "model")


def test_a_file_that_is_taken_up_again_and_again_counts_once() -> None:
    allowance = ResultAllowance()
    for _ in range(10 * MAX_RESULT_FILES):
        assert allowance.excess(offer(size_bytes=MAX_RESULT_BYTES)) is None
        allowance.begin(offer(size_bytes=MAX_RESULT_BYTES))


def test_as_many_files_as_allowed_and_no_more() -> None:
    allowance = ResultAllowance()
    for number in range(MAX_RESULT_FILES):
        assert allowance.excess(offer(str(number))) is None
        allowance.begin(offer(str(number)))
        allowance.end()
    assert allowance.excess(offer("one more")) == f"more than {MAX_RESULT_FILES} files"


def test_a_file_that_the_worker_always_gives_up_has_an_end() -> None:
    allowance = ResultAllowance()
    for _ in range(MAX_RESULT_FILES):
        assert allowance.excess(offer()) is None
        allowance.begin(offer())
        allowance.end()
    assert allowance.excess(offer()) is not None


def test_parts_of_lost_attempts_count_as_they_lie_on_the_disk() -> None:
    allowance = ResultAllowance()
    allowance.begin(offer("a", MAX_RESULT_BYTES - GIB))
    assert allowance.excess(offer("b", GIB)) is None
    assert allowance.excess(offer("b", GIB + 1)) == f"more than {MAX_RESULT_BYTES // GIB} GiB"
