# what leaks in an incomplete trace is not certain
make_cli_trace open t.mst && msanalyze leaks --fail-over=0 t.mst >/dev/null
