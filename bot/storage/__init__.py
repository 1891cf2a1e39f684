"""The artifact store: content-addressed files, and one manifest for each deployment."""
