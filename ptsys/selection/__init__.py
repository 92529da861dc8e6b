"""Choosing a few examples of many: a file a method, found by name, and the picture of a choice.

NumPy and scikit-learn alone: it knows nothing of HTTP, jobs and models. It may import types, errors
and how the library draws maps.
"""
