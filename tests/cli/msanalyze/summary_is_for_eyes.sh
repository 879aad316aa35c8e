make_cli_trace small t.mst && msanalyze summary t.mst
