"""The number of threads, one output for two calls, Ctrl-C; what the ops do on threads is in `test_concurrency`."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from processes import printed_by
from segs_detailer import _native
from segs_detailer.errors import InvalidArgumentError


@pytest.fixture(autouse=True)
def _restore_threads():
    yield
    _native.set_num_threads(0)


def test_the_number_of_threads_is_set_and_reset():
    default = _native.get_num_threads()
    _native.set_num_threads(3)
    assert _native.get_num_threads() == 3
    _native.set_num_threads(10**6)
    assert _native.get_num_threads() == 256
    _native.set_num_threads(0)
    assert _native.get_num_threads() == default


@pytest.mark.parametrize(
    ("environment", "threads"),
    [
        ({"SEGS_DETAILER_NUM_THREADS": "3", "RAYON_NUM_THREADS": "4", "OMP_NUM_THREADS": "5"}, "3"),
        ({"SEGS_DETAILER_NUM_THREADS": "", "RAYON_NUM_THREADS": "4", "OMP_NUM_THREADS": "5"}, "4"),
        ({"SEGS_DETAILER_NUM_THREADS": "0", "RAYON_NUM_THREADS": "many", "OMP_NUM_THREADS": " 5 "}, "5"),
    ],
)
def test_the_environment_sets_the_default(environment, threads):
    script = "from segs_detailer import _native; print(_native.get_num_threads())"
    assert printed_by(script, **environment) == [threads]


def test_one_output_for_two_calls_at_once_is_refused_or_done():
    frames, out = np.zeros((4, 300, 400, 3), np.float32), np.empty((4, 300, 400, 3), np.float32)

    def call(_):
        try:
            _native.crop_frames(frames, np.array([[0, 0, 400, 300]]), out)
        except InvalidArgumentError as error:
            return error.argument
        return "done"

    with ThreadPoolExecutor(4) as executor:
        results = set(executor.map(call, range(40)))
    assert "done" in results
    assert results <= {"done", "out"}


@pytest.mark.skipif(os.name == "nt", reason="no interval timers on this system")
@pytest.mark.parametrize("threads", ["1", "2"])
def test_ctrl_c_stops_a_long_call(threads):
    # Seconds of work on memory that is committed only where it is touched.
    script = """
        import signal
        import numpy as np
        from segs_detailer import _native

        signal.signal(signal.SIGALRM, signal.default_int_handler)
        frames = np.zeros((400, 1000, 1000, 4), np.uint8)
        crops = np.full((1, 1000, 1000, 4), 200, np.uint8)
        masks = np.full((1, 1000, 1000), 0.5, np.float32)
        region = np.array([[0, 0, 1000, 1000]])
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            _native.paste(frames, crops, masks, region, 1.0)
        except KeyboardInterrupt:
            # The borrow is given back: the same arrays can be used again.
            last_was_reached = frames[-1].any()
            _native.paste(frames[:1], crops, masks, region, 1.0)
            print("interrupted", last_was_reached, frames[0].all())
    """
    assert printed_by(script, SEGS_DETAILER_NUM_THREADS=threads) == ["interrupted", "False", "True"]


# Calls whose first job takes long: it must stop within, before it has written the row that is named here. Frames of
# zeros take no memory where they are only read.
LONG_JOBS = {
    "crop between pixels": (
        "crop_frames(np.zeros((1, 128, 600000, 3), np.uint8), np.array([[9, 0, 500009, 128]]), out,"
        " shifts=np.full((1, 2), 0.5))",
        "np.ones((1, 128, 500000, 3), np.uint8)",
        127,
    ),
    "dilate 7000": ("dilate(noise, 7000, out)", "np.zeros((1, 4000, 4000), np.float32)", 1999),
    "feather 150": ("feather_mask(noise, 150, out)", "np.zeros((1, 4000, 4000), np.float32)", 1999),
    "resize": ("resize_frames(np.zeros((1, 9000, 9000, 3), np.float32), out)", "np.ones((1, 8, 8, 3), np.float32)", 0),
    "resize bytes": (
        "resize_frames(np.zeros((1, 20000, 9000, 3), np.uint8), out)",
        "np.ones((1, 8, 8, 3), np.uint8)",
        0,
    ),
    "resize rows": (
        "resize_frames(np.zeros((1, 9000, 9000, 3), np.float32), out)",
        "np.ones((1, 8, 9000, 3), np.float32)",
        0,
    ),
}


@pytest.mark.skipif(os.name == "nt", reason="no interval timers on this system")
@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("name", LONG_JOBS)
def test_ctrl_c_stops_within_a_job(name, threads):
    call, out, row = LONG_JOBS[name]
    script = f"""
        import signal
        import numpy as np
        from segs_detailer import _native

        signal.signal(signal.SIGALRM, signal.default_int_handler)
        noise = np.random.default_rng(0).random((1, 4000, 4000), dtype=np.float32)
        out = {out}
        before = out[:, {row}].copy()
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            _native.{call}
        except KeyboardInterrupt:
            print("interrupted", np.array_equal(out[:, {row}], before))
    """
    assert printed_by(script, SEGS_DETAILER_NUM_THREADS=threads) == ["interrupted", "True"]
