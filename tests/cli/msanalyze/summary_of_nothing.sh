make_cli_trace empty t.mst && msanalyze summary --format=json t.mst && msanalyze all t.mst
