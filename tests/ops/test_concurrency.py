"""The ops on any number of threads, called by many Python threads, in forked children, beside torch's threads."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial

import numpy as np
import pytest
import torch

from processes import printed_by
from segs_detailer import _native, ops

DTYPES = ("float32", "float16", "uint8")
THREADS = (1, 2, 3, 5, 8)

# Large enough that the work is shared: see PARALLEL_BYTES in rust/segs-core/src/parallel.
FRAMES, CROP, MASKS = (8, 300, 320, 3), (250, 210), (4, 420, 430)
SIZES = ((411, 530), (120, 97), (500, 90))
# Over the edge, so that bands differ in their work.
REGION = (150, -40, 150 + CROP[1], CROP[0] - 40)


@cache
def pixels(seed, shape, dtype="float32"):
    """Random pixels that no test may change."""
    values = np.random.default_rng(seed).random(shape, dtype=np.float32)
    array = (values * 255).round().astype(np.uint8) if dtype == "uint8" else values.astype(dtype)
    array.flags.writeable = False
    return array


def binary():
    return pixels(4, (900, 1000)) > 0.45


def patch(dtype):
    return pixels(1, FRAMES, dtype), pixels(2, (8, *CROP, 3), dtype), pixels(3, CROP), REGION


def crop(dtype):
    return ops.crop_frames(pixels(1, FRAMES, dtype), REGION)


def resize(dtype, size):
    return ops.resize_frames(pixels(1, FRAMES, dtype), size)


def paste(dtype):
    return ops.paste(*patch(dtype), alpha=0.9)


def paste_in_place(dtype):
    return ops.paste_(pixels(1, FRAMES, dtype).copy(), *patch(dtype)[1:], alpha=0.9)


def crop_between_pixels(dtype):
    return ops.crop_frames(pixels(1, FRAMES, dtype), np.array(REGION) + 0.375)


def paste_between_pixels(dtype):
    frames, crops, mask, region = patch(dtype)
    return ops.paste(frames, crops, mask, np.array(region) + 0.625, alpha=0.9)


WORK = {
    **{f"crop_frames {dtype}": partial(crop, dtype) for dtype in DTYPES},
    **{f"crop_frames between pixels {dtype}": partial(crop_between_pixels, dtype) for dtype in DTYPES},
    **{f"paste between pixels {dtype}": partial(paste_between_pixels, dtype) for dtype in DTYPES},
    **{f"resize_frames {dtype} {size}": partial(resize, dtype, size) for dtype in DTYPES for size in SIZES},
    **{f"paste {dtype}": partial(paste, dtype) for dtype in DTYPES},
    **{f"paste_ {dtype}": partial(paste_in_place, dtype) for dtype in DTYPES},
    "resize_masks up": lambda: ops.resize_masks(pixels(5, MASKS), (700, 611)),
    "resize_masks down": lambda: ops.resize_masks(pixels(5, MASKS), (310, 205)),
    "feather_mask 5": lambda: ops.feather_mask(pixels(5, MASKS), 5),
    "feather_mask 60": lambda: ops.feather_mask(pixels(5, MASKS), 60),
    "threshold": lambda: ops.threshold(pixels(5, MASKS), 0.5),
    "dilate 9": lambda: ops.dilate(pixels(5, MASKS), 9),
    "dilate 120": lambda: ops.dilate(pixels(5, MASKS), 120),
    "erode 4": lambda: ops.erode(pixels(5, MASKS), 4),
    "fill_holes": lambda: ops.fill_holes(binary()),
    "connected_components": lambda: np.concatenate([part.ravel() for part in ops.connected_components(binary())]),
}
# Comparisons, copies and blends; filters may sum in another order where the processor can multiply and add at once.
EXACT = [name for name in WORK if not name.startswith(("resize", "feather")) and "between" not in name]


def digest(name):
    return hashlib.sha256(np.ascontiguousarray(WORK[name]())).hexdigest()


@pytest.fixture(autouse=True)
def _restore():
    level = _native.cpu_level()
    yield
    ops.set_num_threads(0)
    _native.set_cpu_level(level)


@pytest.mark.parametrize("name", WORK)
def test_every_number_of_threads_gives_the_same_bits(name):
    digests = set()
    for threads in THREADS:
        ops.set_num_threads(threads)
        assert ops.get_num_threads() == threads
        digests.add(digest(name))
    assert len(digests) == 1


@pytest.mark.parametrize("name", EXACT)
def test_every_level_of_the_processor_gives_the_same_bits(name):
    digests = set()
    for level in ("scalar", "avx2"):
        _native.set_cpu_level(level)
        digests.add(digest(name))
    assert len(digests) == 1


def test_the_environment_forbids_the_faster_levels():
    script = """
        import numpy as np
        from segs_detailer import _native, ops

        rng = np.random.default_rng(0)
        frames, crops = rng.random((2, 2, 50, 60, 3), dtype=np.float32)
        pasted = ops.paste(frames, crops, crops[0, ..., 0], (0, 0, 60, 50))
        print(_native.cpu_level(), pasted.tobytes().hex())
    """
    scalar, free = printed_by(script, SEGS_DETAILER_CPU="scalar"), printed_by(script, SEGS_DETAILER_CPU="")
    assert scalar[0] == "scalar"
    assert scalar[1] == free[1]


def test_many_python_threads_call_at_once():
    expected = {name: digest(name) for name in WORK}
    jobs = [name for _ in range(2) for name in WORK]
    for threads in (1, 3):
        ops.set_num_threads(threads)
        with ThreadPoolExecutor(8) as executor:
            assert list(executor.map(digest, jobs)) == [expected[name] for name in jobs]


def test_the_number_of_threads_may_change_while_ops_run():
    expected, stop = digest("dilate 9"), threading.Event()

    def change():
        while not stop.is_set():
            for threads in THREADS:
                ops.set_num_threads(threads)

    changing = threading.Thread(target=change)
    changing.start()
    try:
        assert {digest("dilate 9") for _ in range(20)} == {expected}
    finally:
        stop.set()
        changing.join()


LONG = {
    "crop_frames": lambda out: ops.crop_frames(pixels(1, FRAMES), (0, 0, 320, 300), out=out("frames", FRAMES)),
    "resize_frames": lambda out: ops.resize_frames(pixels(1, FRAMES), (600, 640), out=out("up", (8, 600, 640, 3))),
    "paste": lambda out: ops.paste(*patch("float32"), out=out("frames", FRAMES)),
    "paste_": lambda out: ops.paste_(out("frames", FRAMES), *patch("float32")[1:]),
    "resize_masks": lambda out: ops.resize_masks(pixels(5, MASKS), (900, 900), out=out("up", (4, 900, 900))),
    "feather_mask": lambda out: ops.feather_mask(pixels(5, MASKS), 60, out=out("masks", MASKS)),
    "threshold": lambda out: ops.threshold(pixels(5, MASKS), 0.5, out=out("flags", MASKS, np.uint8)),
    "dilate": lambda out: ops.dilate(pixels(5, MASKS), 60, out=out("masks", MASKS)),
    "erode": lambda out: ops.erode(pixels(5, MASKS), 60, out=out("masks", MASKS)),
}


@pytest.mark.parametrize("name", LONG)
def test_other_python_threads_go_on_during_a_call(name):
    buffers = {}

    def out(key, shape, dtype=np.float32):
        return buffers.setdefault(key, np.zeros(shape, dtype))

    LONG[name](out)
    count, stop = 0, False

    def advance():
        nonlocal count
        while not stop:
            count += 1
            time.sleep(0)  # gives the interpreter back

    # No thread is made to give the interpreter back: the other one has its turn only where a call does so by itself.
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    counting = threading.Thread(target=advance)
    try:
        counting.start()
        advanced = 0
        # On a busy machine the other thread may not get a core during one call.
        for _ in range(1000):
            before = count
            LONG[name](out)
            advanced = count - before
            if advanced:
                break
    finally:
        stop = True
        sys.setswitchinterval(interval)
        counting.join()
    assert advanced


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_ops_work_in_forked_children():
    script = """
        import hashlib, os
        import numpy as np
        from segs_detailer import ops

        ops.set_num_threads(3)
        rng = np.random.default_rng(0)
        frames, masks = rng.random((4, 300, 400, 3), dtype=np.float32), rng.random((4, 300, 400), dtype=np.float32)

        def digest():
            results = [
                ops.crop_frames(frames, (-9, 5, 391, 305)),
                ops.resize_frames(frames, (411, 333)),
                ops.paste(frames, frames, masks, (40, 30, 440, 330)),
                ops.resize_masks(masks, (555, 222)),
                ops.feather_mask(masks, 9),
                ops.dilate(masks, 9),
            ]
            return hashlib.sha256(b"".join(result.tobytes() for result in results)).digest()

        def in_child(check):
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    code = 0 if check() else 1
                finally:
                    os._exit(code)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

        before = digest()
        print(in_child(lambda: digest() == before))
        print(in_child(lambda: digest() == before and in_child(lambda: digest() == before) == 0))
        print(digest() == before)
    """
    assert printed_by(script) == ["0", "0", "True"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_fork_during_a_call_of_another_thread_leaves_the_child_free():
    script = """
        import os, threading
        import numpy as np
        from segs_detailer import ops

        ops.set_num_threads(3)
        masks = np.random.default_rng(0).random((4, 400, 500), dtype=np.float32)
        before, stop = ops.dilate(masks, 9), threading.Event()

        def work():
            while not stop.is_set():
                ops.dilate(masks, 9)

        busy = threading.Thread(target=work)
        busy.start()
        codes = []
        for _ in range(10):
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    code = 0 if (ops.dilate(masks, 9) == before).all() else 1
                finally:
                    os._exit(code)
            codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        stop.set()
        busy.join()
        print(*codes)
    """
    assert printed_by(script) == ["0"] * 10


def test_torch_keeps_its_number_of_threads():
    before = torch.get_num_threads()
    tensors = [torch.from_numpy(array.copy()) for array in patch("float32")[:3]]
    try:
        torch.set_num_threads(2)
        default = ops.get_num_threads()
        for threads in (1, 5, 0):
            ops.set_num_threads(threads)
            ops.paste(*tensors, REGION)
            ops.feather_mask(tensors[2], 9)
            ops.resize_frames(tensors[1], (300, 300))
            assert torch.get_num_threads() == 2
        ops.set_num_threads(3)
        torch.set_num_threads(1)
        assert ops.get_num_threads() == 3
        ops.set_num_threads(0)
        assert ops.get_num_threads() == default
    finally:
        torch.set_num_threads(before)


@pytest.mark.skipif(os.name == "nt", reason="no interval timers on this system")
def test_ctrl_c_stops_the_copy_of_frames_with_gaps():
    # Seconds of work on memory that is committed only where it is touched.
    script = """
        import signal
        import numpy as np
        from segs_detailer import ops

        signal.signal(signal.SIGALRM, signal.default_int_handler)
        frames = np.broadcast_to(np.ones((3, 1000, 1000), np.uint8), (400, 3, 1000, 1000)).transpose(0, 2, 3, 1)
        crop, out = np.ones((1, 9, 9, 3), np.uint8), np.zeros((400, 1000, 1000, 3), np.uint8)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            ops.paste(frames, crop, None, (0, 0, 9, 9), out=out)
        except KeyboardInterrupt:
            print("interrupted", out[-1].any())
    """
    assert printed_by(script) == ["interrupted", "False"]
