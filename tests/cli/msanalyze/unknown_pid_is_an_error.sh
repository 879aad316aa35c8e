make_cli_trace small t.mst && msanalyze leaks --pid 7 t.mst
