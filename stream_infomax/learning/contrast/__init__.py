"""Greedy InfoMax (Loewe et al. 2019): gradient-isolated contrastive modules."""
