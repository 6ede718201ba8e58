"""Warren: the dashboard, all that a person touches."""
