make_cli_trace hostile t.mst && msanalyze leaks --top 1 t.mst && msanalyze summary t.mst | tail -5
