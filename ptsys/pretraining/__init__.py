"""How the built-in model is made from nothing: its rows and episodes, the steps, and the run.

It may import passes, models, data, generated tasks, the store and what lies below them; nothing of
the service, so that it runs where JAX and little else is installed.
"""
