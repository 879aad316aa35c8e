make_cli_trace small t.mst && msanalyze summary --format=json t.mst
