"""Frozen T5 models: the network, and its weights in every form they come in."""
