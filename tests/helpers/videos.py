"""Videos that tests make themselves."""

from fractions import Fraction

import numpy as np

MILLISECOND = Fraction(1, 1000)


def scenes(n, height=48, width=64, seed=0):
    """Return pictures (n, y, x, 3): blocks that move over a slope, so that pictures need those before them."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    slope = np.stack([255 * y / height, 255 * x / width, 127 + 0 * x], -1)
    pictures = np.repeat(slope[None], n, 0)
    places = rng.integers(0, [height - 9, width - 9], (4, 2))
    steps = rng.integers(-3, 4, (4, 2))
    for number, picture in enumerate(pictures):
        for place, step, colour in zip(places, steps, rng.integers(0, 255, (4, 3)), strict=True):
            top, left = (place + number * step) % (height - 8, width - 8)
            picture[top : top + 8, left : left + 8] = colour
    return pictures.astype(np.uint8)


def encode(path, pictures, codec="libx264", stamps=None, pixels="yuv420p", rotation=0, container=None, **options):
    """Write pictures (each (y, x, 3)) into a video; `stamps` are milliseconds, else there are 25 a second."""
    import av

    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(
            codec, rate=25, options={name.replace("_", "-"): str(v) for name, v in options.items()}
        )
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pixels
        if rotation:
            stream.set_display_rotation(rotation)
        if stamps is not None:
            stream.codec_context.time_base = MILLISECOND
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if stamps is not None:
                frame.pts, frame.time_base = stamps[number], MILLISECOND
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def damage(path, number, offset=20):
    """Write over some bytes of a packet."""
    import av

    with av.open(str(path)) as file:
        packets = [(packet.pos, packet.size) for packet in file.demux(video=0) if packet.size]
    place, size = packets[number]
    content = bytearray(path.read_bytes())
    size = min(40, size - offset)
    content[place + offset : place + offset + size] = b"\xff" * size
    path.write_bytes(content)


def decoded(path, form="gray"):
    """Return what a plain reading from the first picture to the last gives, and the seconds of each."""
    import av

    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        stream.codec_context.thread_count = 1
        frames = list(file.decode(stream))
        return [frame.to_ndarray(format=form) for frame in frames], [frame.time for frame in frames]
