"""Names: what a fleet writes into its run folder, for all that read or remove it."""

from __future__ import annotations

# A line for each round, the bases of the rounds, where deltas are handed in, and the basis at the end.
LINES, ROUNDS, ADDRESS, BASIS = "rounds.jsonl", "rounds", "rounds.address", "basis.safetensors"
