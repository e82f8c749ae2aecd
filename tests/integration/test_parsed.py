"""What tests may share of dbt's work, and what not."""

from tests.integration.warehouse import MODEL, Warehouse


def test_a_parse_is_shared_by_warehouses_of_one_configuration(tmp_path):
    # As no other test calls it, so that the first has to parse.
    model = MODEL | {"name": "parsed"}
    one, two = (Warehouse(tmp_path / name, {"monitored_models": [model]}) for name in "ab")
    other = Warehouse(tmp_path / "c", {"monitored_models": [model | {"latency_threshold_ms": 21}]})
    assert is_parsed_anew(one)
    assert not is_parsed_anew(two)
    assert is_parsed_anew(other)
    # It could not be shared if it named a folder.
    manifest = (one.folder / "target/manifest.json").read_text()
    assert "int_as_of" in manifest and str(tmp_path) not in manifest


def is_parsed_anew(warehouse: Warehouse) -> bool:
    parse = warehouse.dbt("parse")
    assert parse.exit_code == 0, parse.end
    return "Starting full parse" in parse.output
