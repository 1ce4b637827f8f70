"""Contrast: gradient-isolated contrastive modules; reads features, writes their outputs and contexts.

Reads the outlet of the service before it; writes frames with each module's output (and, forward only, the training
batch for the next module) to its own outlet and its tap. Any number of modules may stand in one process.
"""

import sys

from stream_infomax.configuration.serving import serve

if __name__ == "__main__":
    sys.exit(serve(__doc__))
