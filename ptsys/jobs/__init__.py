"""Jobs: records, leases, the queue that announces them, and interactive requests.

It may import the store, data, types and what lies below; never JAX, the engine or the models'
networks. Its queue alone imports Celery, to send by name.
"""
