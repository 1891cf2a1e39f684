"""Several machines that share nothing but Redis, PostgreSQL and S3."""
