"""Short reference versions of learners that no installable package has, to be measured beside the project's own.

`OnlineOrica` takes rows as they come. Each other is a generator: given whitened rows X (n, K0) and a start C (K0, K1)
whose columns are filters, it yields C again and again while it learns, so that a benchmark can stop the clock and look.
They follow the publications named in each module and are checked on known sources in
tests/benchmarks/test_reference_learners.py.
"""

from reference_learners.infomax_ica import infomax_ica
from reference_learners.mmica import mmica
from reference_learners.online_orica import OnlineOrica
from reference_learners.orica import orica
from reference_learners.paper import batch_infomax, batch_infomax_blocks, batch_overcomplete

__all__ = [
    "OnlineOrica",
    "batch_infomax",
    "batch_infomax_blocks",
    "batch_overcomplete",
    "infomax_ica",
    "mmica",
    "orica",
]
