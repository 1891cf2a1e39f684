"""Uploads: what arrives without a webhook, and how it becomes a tree that may be trusted."""
