"""Batches rows of many users into the steps of one device."""
