make_cli_trace small t.mst && msanalyze summary --format=csv t.mst
