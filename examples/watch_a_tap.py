"""Watch a running pipeline from outside: every service publishes its frames on a tap.

python examples/watch_a_tap.py ipc://runs/photographs/learner.tap
"""

import sys

from stream_infomax import TapReader

if len(sys.argv) != 2:
    raise SystemExit(__doc__)

with TapReader(sys.argv[1]) as reader:
    for frame in reader:
        for name, array in frame.arrays.items():
            print(frame.offset, name, array.axes, array.data.shape, f"mean {array.data.mean():.3f}")
