"""REST API v1: typed, with its OpenAPI document, bearer tokens and problem details for every error."""
