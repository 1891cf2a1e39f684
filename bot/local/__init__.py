"""DeployStack on one machine: starting it, trying it, and a GitHub push without GitHub."""
