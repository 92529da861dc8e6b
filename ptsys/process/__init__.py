"""What a process tells those who keep it: logs, readiness, traces. Imports words alone."""
