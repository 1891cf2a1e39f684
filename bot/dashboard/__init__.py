"""The web pages that people look at: home, builds, logs."""
