make_cli_trace small t.mst && msanalyze all t.mst >/dev/full
