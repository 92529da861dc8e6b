"""Our own word lists, as compact strings that are split at import."""
