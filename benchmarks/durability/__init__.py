"""Warren's processes and its database killed at random moments: what was committed is there exactly once."""
