import pytest

from benchmarks.cluster import standalone_cluster


@pytest.fixture(scope="session")
def remote(tmp_path_factory):
    """Spark Connect on a master and two workers."""
    with standalone_cluster(tmp_path_factory.mktemp("cluster")) as address:
        yield address
