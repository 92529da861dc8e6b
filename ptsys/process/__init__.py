"""What a process tells those who keep it: logs, readiness, traces.

It may import types and errors alone.
"""
