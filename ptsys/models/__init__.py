"""Frozen models, a folder a kind: the network, and its weights in every form they come in.

It may import kinds, sharding, the store and types; never passes or the engine.
"""
