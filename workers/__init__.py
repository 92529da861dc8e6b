"""The thin Celery layer: processes that take jobs and requests, and hand them to the engine."""
