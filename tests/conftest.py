"""What holds for every test: hypothesis measures no time. Speed is for `bench/`; a busy machine is no mistake.

Tests that run beside each other see only their own sandboxes: each of pytest-xdist's workers has a runtime directory
of its own.
"""

import os
import shutil
import tempfile

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("drill", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("drill")


def pytest_configure(config: pytest.Config) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        home = tempfile.mkdtemp(prefix="drill-test-")
        os.environ["XDG_RUNTIME_DIR"] = home
        config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
