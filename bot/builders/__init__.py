"""From a commit or a folder to a published deployment. Knows neither Flask nor Huey nor GitHub."""
