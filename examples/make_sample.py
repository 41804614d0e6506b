"""Makes `sample.mp4`: a face in a slow pan and zoom, slightly blurred and compressed, with a soft tone.

The picture is scikit-image's `astronaut`: Eileen Collins, photographed by NASA, in the public domain.

    pip install 'segs-detailer[video]' scikit-image
    python examples/make_sample.py
"""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from skimage import data

WIDTH, HEIGHT = 480, 360
FRAMES, RATE = 48, 24
BLUR = 0.9
SAMPLE_RATE = 44_100
TONE_HERTZ, TONE_LEVEL = 220.0, 0.05
# Center and width of the view in the photograph, at the first and at the last frame.
FIRST_VIEW, LAST_VIEW = (190.0, 190.0, 380.0), (245.0, 160.0, 320.0)


def view_at(frame: int) -> tuple[float, float, float]:
    """Center and width of the view, moving smoothly from the first to the last."""
    t = 0.5 - 0.5 * math.cos(math.pi * frame / (FRAMES - 1))
    x, y, width = (a + (b - a) * t for a, b in zip(FIRST_VIEW, LAST_VIEW, strict=True))
    return x, y, width


def picture(photo: np.ndarray, frame: int) -> np.ndarray:
    """One frame, uint8."""
    x, y, width = view_at(frame)
    scale = WIDTH / width
    matrix = np.array([[scale, 0, WIDTH / 2 - scale * x], [0, scale, HEIGHT / 2 - scale * y]])
    sharp = cv2.warpAffine(photo, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return cv2.GaussianBlur(sharp, (0, 0), BLUR)


def tone() -> np.ndarray:
    """Make a soft tone as long as the clip, fading in and out, `(1, n)` float32."""
    count = SAMPLE_RATE * FRAMES // RATE
    time = np.arange(count) / SAMPLE_RATE
    fade = np.sin(np.pi * np.arange(count) / count) ** 2
    return (TONE_LEVEL * fade * np.sin(2 * np.pi * TONE_HERTZ * time)).astype(np.float32)[None]


def main() -> None:
    """Write the clip beside this script."""
    photo = data.astronaut()
    target = Path(__file__).with_name("sample.mp4")
    with av.open(str(target), "w", container_options={"movflags": "+faststart"}) as container:
        video = container.add_stream("libx264", rate=RATE, options={"crf": "27", "preset": "slow"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        context = video.codec_context
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = 6, 6, 6, 1
        audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        audio.bit_rate = 32_000
        for index in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(picture(photo, index), format="rgb24")
            container.mux(video.encode(frame.reformat(format="yuv420p", dst_colorspace="ITU601")))
        sound = av.AudioFrame.from_ndarray(tone(), format="fltp", layout="mono")
        sound.sample_rate, sound.pts, sound.time_base = SAMPLE_RATE, 0, Fraction(1, SAMPLE_RATE)
        container.mux(audio.encode(sound))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    print(f"{target}: {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
