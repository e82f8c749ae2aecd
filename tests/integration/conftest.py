import subprocess
import sys

import pytest

from tests.integration.warehouse import PROJECT, Warehouse


@pytest.fixture
def warehouse(tmp_path):
    return Warehouse(tmp_path)


@pytest.fixture(scope="module")
def module_warehouse(tmp_path_factory):
    """One warehouse for tests that only read what one build made."""
    return Warehouse(tmp_path_factory.mktemp("warehouse"))


@pytest.fixture(scope="session")
def demo_landing(tmp_path_factory):
    """Twelve days of the demo's landing files, the release of v2 among them."""
    landing = tmp_path_factory.mktemp("demo") / "landing"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "demo.generate",
            "--landing",
            str(landing),
            "--quiet",
            "--start",
            "2013-07-08",
            "--end",
            "2013-07-20",
        ],
        cwd=PROJECT,
        check=True,
    )
    return landing


def pytest_addoption(parser):
    parser.addoption("--schedules", type=int, default=3, help="schedules of test_schedules.py")
    parser.addoption("--kills", type=int, default=6, help="kills of test_crashes.py")


@pytest.fixture
def schedule_count(request):
    return request.config.getoption("--schedules")


@pytest.fixture
def kill_count(request):
    return request.config.getoption("--kills")
