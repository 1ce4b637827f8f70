"""Learn from sensor streams while they run: online infomax, Greedy InfoMax and a linear classifier."""

__version__ = "0.1.0"
