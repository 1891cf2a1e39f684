"""GitHub webhooks: verify, parse, decide, record. Nothing slow happens here."""
