# the second plugin comes where the first has been
make_cli_trace mappings t.mst && msanalyze modules t.mst && msanalyze modules --format=csv t.mst
