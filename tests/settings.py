"""Settings of the tests: Warren's own, over a data folder and a database file of this process alone.

Nothing of the environment's WARREN_* reaches a test, and nothing of a test reaches the checkout's `var/`. Where
WARREN_TEST_DATABASE_URL is set, the tests run on that server instead, in a database that they make and drop.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

_TESTS_OWN = ("WARREN_TEST_",)
for _name in [name for name in os.environ if name.startswith("WARREN_") and not name.startswith(_TESTS_OWN)]:
    del os.environ[_name]
_folder = Path(tempfile.mkdtemp(prefix=f"warren-tests-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}-"))
atexit.register(shutil.rmtree, _folder, ignore_errors=True)
os.environ["WARREN_DATA_DIR"] = str(_folder)
_other_database = os.environ.get("WARREN_TEST_DATABASE_URL", "")
if _other_database:
    os.environ["WARREN_DATABASE_URL"] = _other_database

from dashboard.settings import *  # noqa: E402, F403
from dashboard.settings import DATABASES, STORAGES  # noqa: E402

if _other_database:
    DATABASES["default"]["TEST"] = {"NAME": f"test_{DATABASES['default']['NAME']}"}
else:
    # A file, since a database in memory can't be shared between threads as the real one is.
    DATABASES["default"]["TEST"] = {"NAME": str(_folder / "test.sqlite3")}
# Pages in tests need no collected files.
STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.StaticFilesStorage"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
