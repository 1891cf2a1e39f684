"""What GitHub is told: statuses, the one comment, deployments; all through the outbox."""
