make_cli_trace forks t.mst && msanalyze leaks t.mst
