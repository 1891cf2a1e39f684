"""What operators see of the running bot: logs, metrics, readiness."""
