"""Notes in time: deploys, incidents and whatever else people want to see on a chart later."""
