"""The demo: a RabbitMQ of its own with a little shop on it, and traffic that keeps the shop alive."""
