"""The values that travel between client, jobs and workers. Pydantic models, unknown keys refused."""
