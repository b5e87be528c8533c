import json

from tests.benchmarks import prepare


def test_made_up_rows_are_prepared_and_measured(capfd):
    # Mutation: rows that are all alike, of which one would be left.
    assert prepare.main(["--rows", "300"]) == 0
    told = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert told["rows"] == 298  # of 300, two repeat another
    assert told["peak_mib"] > 0
