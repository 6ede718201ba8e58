"""What `manage.py up` leaves running: one small process, without Django, that keeps the others alive."""
