make_cli_trace small t.mst && msanalyze leaks --format=json t.mst
