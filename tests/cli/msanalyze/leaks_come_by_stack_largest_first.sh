make_cli_trace small t.mst && msanalyze leaks t.mst
