"""Large runs, configured by gin, without the queue.

It may import the engine, the library, jobs, pretraining and what lies below.
"""
