"""Augmentations: rounds of chains of stages, each stage a resident; what the library has is asked
through `Sources`."""
