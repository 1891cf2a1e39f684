"""Previews: a WSGI layer that answers from immutable manifests. It never imports builders."""
