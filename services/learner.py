"""Learner: windows and online infomax; reads frames, writes features.

Reads the outlet of the service before it; writes frames with encoded features to its own outlet and its tap.
"""

import sys

from stream_infomax.configuration.serving import serve

if __name__ == "__main__":
    sys.exit(serve(__doc__))
