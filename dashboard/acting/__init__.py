"""What people do through Warren: one audited function an act, shared by pages and API."""
