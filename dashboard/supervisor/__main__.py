"""`python -m dashboard.supervisor DESCRIPTOR`: run the plan that waits there. `manage.py up` becomes this."""

from __future__ import annotations

import sys

from dashboard.supervisor.loop import Supervisor
from dashboard.supervisor.plan import receive

if __name__ == "__main__":
    sys.exit(Supervisor(receive(int(sys.argv[1]))).run())
