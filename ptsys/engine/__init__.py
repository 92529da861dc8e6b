"""Batches rows of many users into the steps of one device.

It may import passes, models, prompts, sharding and what lies below; never jobs, the API or Celery.
"""
